//! Decides how long to wait after a run that failed for a reason that is no user's problem.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use tokio::sync::Notify;

use crate::engine::watching::trouble::is_unanswered;
use crate::{error::Error, text::Text};

/// The waits of each resource, which double with each failure. kube has no backoff that knows the resource.
#[derive(Default)]
pub(in crate::engine) struct Backoff {
    series: Mutex<HashMap<ResourceKey, Series>>,
    success: Notify,
}

/// A resource's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct ResourceKey {
    namespace: Text,
    name: Text,
}

/// The failures of one resource since its last success.
struct Series {
    failures: u32,
    failure: Failure,
    /// Whether it was retried early once. If it fails again, it waits for its time.
    let_go: bool,
}

/// The reason for which a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Failure {
    /// The API server did not answer, which concerns all resources.
    Unanswered,
    /// Anything else, which concerns this resource only.
    Own,
}

const FIRST: Duration = Duration::from_millis(500);

/// The longest wait for an API server that does not answer.
const LONGEST_UNANSWERED: Duration = Duration::from_secs(10);

/// The longest wait for anything else.
const LONGEST: Duration = Duration::from_mins(1);

impl ResourceKey {
    /// The resource of that name.
    pub(in crate::engine) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The object's.
    pub(in crate::engine) fn of(object: &impl Resource) -> Self {
        Self::new(&object.namespace().unwrap_or_default(), &object.name_any())
    }

    /// The namespace.
    pub(in crate::engine) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object as a controller's queue knows it.
    pub(in crate::engine) fn reference<K: Resource<DynamicType = ()>>(&self) -> ObjectRef<K> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl Failure {
    /// What an error means.
    pub(in crate::engine) fn of(error: &Error) -> Self {
        match error {
            // If the API server said when to retry, the resource must not be retried earlier.
            Error::Api(error) if is_unanswered(error) && retry_after(error).is_none() => Self::Unanswered,
            _ => Self::Own,
        }
    }
}

impl Backoff {
    /// Counts a failure, and returns how long to wait. `share` is a random number between 0 and 1.
    pub(in crate::engine) fn next(&self, key: ResourceKey, failure: Failure, share: f64) -> Duration {
        let mut all = self.series();
        let series = all.entry(key).or_insert(Series { failures: 0, failure, let_go: false });
        series.failure = failure;
        let longest = match failure {
            Failure::Unanswered => LONGEST_UNANSWERED,
            Failure::Own => LONGEST,
        };
        let pause = wait(series.failures, FIRST, longest, share);
        series.failures = series.failures.saturating_add(1);
        pause
    }

    /// Whether the last run of this resource failed.
    pub(in crate::engine) fn is_failing(&self, key: &ResourceKey) -> bool {
        self.series().contains_key(key)
    }

    /// Ends the series of failures after a success, and wakes [`Self::success`] if other resources still wait for
    /// the API server.
    pub(in crate::engine) fn succeeded(&self, key: &ResourceKey) {
        self.forget(key);
        if self.series().values().any(Series::may_go) {
            self.success.notify_one();
        }
    }

    /// Forgets a resource.
    pub(in crate::engine) fn forget(&self, key: &ResourceKey) {
        self.series().remove(key);
    }

    /// Waits until a run succeeds while other resources wait for the API server.
    pub(in crate::engine) async fn success(&self) {
        self.success.notified().await;
    }

    /// The resources that wait for an API server that did not answer. Each is returned only once until its next
    /// success.
    pub(in crate::engine) fn let_go(&self) -> Vec<ResourceKey> {
        let mut all = self.series();
        let waiting = all.iter_mut().filter(|(_, series)| series.may_go());
        waiting
            .map(|(key, series)| {
                series.let_go = true;
                key.clone()
            })
            .collect()
    }

    fn series(&self) -> MutexGuard<'_, HashMap<ResourceKey, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn may_go(&self) -> bool {
        self.failure == Failure::Unanswered && !self.let_go
    }
}

/// How long the API server asked to wait, if it did.
pub(in crate::engine) fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// A wait that doubles with each failure up to the longest one. Up to half of it is left out at random, so that
/// resources that failed together are not retried together.
pub(in crate::engine) fn wait(failures: u32, first: Duration, longest: Duration, share: f64) -> Duration {
    let pause = first.saturating_mul(1 << failures.min(16)).min(longest);
    pause.mul_f64(f64::midpoint(1.0, share.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusDetails};

    use super::*;

    fn key(name: &str) -> ResourceKey {
        ResourceKey::new("here", name)
    }

    #[test]
    fn doubles_up_to_a_limit_and_starts_anew_after_a_success() {
        let backoff = Backoff::default();
        let waits = |failure| -> Vec<_> { (0..10).map(|_| backoff.next(key("a"), failure, 1.0)).collect() };
        let own = waits(Failure::Own);
        assert_eq!((own[0], own[1], own[9]), (FIRST, FIRST * 2, LONGEST));
        assert_eq!(waits(Failure::Unanswered)[9], LONGEST_UNANSWERED);
        assert_eq!(backoff.next(key("b"), Failure::Own, 1.0), FIRST);
        backoff.succeeded(&key("a"));
        assert_eq!(backoff.next(key("a"), Failure::Own, 1.0), FIRST);
    }

    #[test]
    fn those_who_failed_together_do_not_come_back_together() {
        for (share, pause) in [(0.0, 500), (0.5, 750), (1.0, 1000)] {
            assert_eq!(wait(1, FIRST, LONGEST, share), Duration::from_millis(pause));
        }
        assert!(wait(u32::MAX, FIRST, LONGEST, 0.0) >= LONGEST / 2);
    }

    #[tokio::test]
    async fn a_success_lets_those_go_whom_the_api_server_did_not_answer() {
        let backoff = Backoff::default();
        backoff.next(key("unanswered"), Failure::Unanswered, 1.0);
        backoff.next(key("refused"), Failure::Own, 1.0);
        backoff.succeeded(&key("another"));
        backoff.success().await;
        assert_eq!(backoff.let_go(), [key("unanswered")]);
        // A resource that fails again after an early retry waits for its time; otherwise every success would lead
        // to another failure.
        backoff.next(key("unanswered"), Failure::Unanswered, 1.0);
        assert!(backoff.let_go().is_empty());
        backoff.succeeded(&key("unanswered"));
        backoff.next(key("unanswered"), Failure::Unanswered, 1.0);
        assert_eq!(backoff.let_go(), [key("unanswered")]);
    }

    #[test]
    fn only_what_concerns_everybody_is_let_go() {
        let answer = |code, retry_after_seconds| {
            let details: StatusDetails =
                serde_json::from_value(serde_json::json!({ "retryAfterSeconds": retry_after_seconds }))
                    .unwrap();
            let status = Status { code, details: Some(details), ..Status::default() };
            Error::Api(kube::Error::Api(Box::new(status)))
        };
        for (error, failure) in [
            (answer(503, 0), Failure::Unanswered),
            (answer(429, 0), Failure::Unanswered),
            (answer(429, 7), Failure::Own),
            (answer(403, 0), Failure::Own),
            (answer(500, 0), Failure::Own),
            (Error::Api(kube::Error::Service("connection refused".into())), Failure::Unanswered),
            (Error::Panicked, Failure::Own),
        ] {
            assert_eq!(Failure::of(&error), failure, "{error}");
        }
        let Error::Api(error) = answer(429, 7) else { panic!() };
        assert_eq!(retry_after(&error), Some(Duration::from_secs(7)));
    }
}
