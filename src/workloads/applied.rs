//! What a target shows of the entries of a resource.

use std::collections::BTreeSet;

use jiff::Timestamp;

/// Which revisions the owner's entries in a target refer to, and who changed that last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedState {
    /// The revisions that the owner's entries refer to: none, one, or several if somebody changed only some
    /// entries.
    pub numbers: BTreeSet<u64>,
    /// When the owner's field manager last changed the target, or `None` if it has no field there.
    pub applied_at: Option<Timestamp>,
    /// Who else pointed the owner's entries to their current revision.
    pub moved: Option<RepointedBy>,
    /// The workloads that were made of the target, but no longer have its entries.
    pub undone: Option<Undone>,
}

/// Workloads that were made of a target and matched it, until somebody else changed them. They count only if
/// nobody, such as the W&B operator, corrects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The revisions that these workloads refer to instead.
    pub numbers: BTreeSet<u64>,
    /// The workloads, such as `Deployment/wandb`, each with its generation.
    pub workloads: Vec<(String, Option<i64>)>,
    /// Who changed the workloads last.
    pub by: RepointedBy,
}

impl Undone {
    /// The titles of the workloads, such as `Deployment/wandb`.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.workloads.iter().map(|(title, _)| title.as_str())
    }
}

/// Records that somebody else pointed entries to another revision, as `kubectl rollout undo` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepointedBy {
    /// The field manager that changed them.
    pub by: String,
    /// The time of the change.
    pub at: Option<Timestamp>,
}
