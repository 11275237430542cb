//! What became of a change: pure judgement of workloads and pods.

use std::time::Duration;

use jiff::Timestamp;

/// How far a rollout came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Every pod runs with the entries as they are.
    Complete,
    /// Pods are still to come; what is waited for, as a sentence.
    Progressing(String),
    /// The new pods do not become available; what was seen of them, as a sentence.
    Failed(String),
}

/// How long is waited for pods, where the workload sets no limit of its own.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The longest wait.
    pub limit: Duration,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The present time.
    pub now: Timestamp,
}

impl Patience {
    /// Whether the wait has been too long.
    pub fn is_over(&self) -> bool {
        self.since.is_some_and(|since| {
            Duration::try_from(self.now.duration_since(since)).is_ok_and(|waited| waited > self.limit)
        })
    }
}
