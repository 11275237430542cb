//! How long to wait after a run that failed for reasons of our own.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Doubling waits, one series a resource; kube has none that knows the resource.
#[derive(Default)]
pub(super) struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_mins(2);

impl Backoff {
    /// Counts a failure and tells how long to wait.
    pub(super) fn next(&self, key: String) -> Duration {
        let mut failures = self.failures();
        let count = failures.entry(key).or_default();
        let wait = FIRST.saturating_mul(1 << (*count).min(16)).min(LONGEST);
        *count = count.saturating_add(1);
        wait
    }

    /// Whether a series of failures is under way.
    pub(super) fn is_failing(&self, key: &str) -> bool {
        self.failures().contains_key(key)
    }

    /// Ends the series after a success.
    pub(super) fn forget(&self, key: &str) {
        self.failures().remove(key);
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_limit_and_starts_anew_after_a_success() {
        let backoff = Backoff::default();
        let waits: Vec<_> = (0..10).map(|_| backoff.next("a".into())).collect();
        assert_eq!(waits[0], FIRST);
        assert_eq!(waits[1], FIRST * 2);
        assert_eq!(waits[9], LONGEST);
        assert_eq!(backoff.next("b".into()), FIRST);
        backoff.forget("a");
        assert_eq!(backoff.next("a".into()), FIRST);
    }
}
