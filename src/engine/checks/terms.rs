//! On which terms a run makes its checks: how old findings may be, when they are due, which credentials may be sent
//! again, and which answers to other resources count.

use std::time::{Duration, Instant};

use crate::engine::{
    CheckHistory, CheckKey, CheckedInputs, Kind, RunVerdict, Schedule, delivery::Checks, precedence::Proof,
};
use crate::net::{Consent, Sharing, Terms};

/// How old findings may be when a run uses them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Age {
    /// They may be as old as the check interval of the spec allows.
    AsScheduled,
    /// They must be younger than [`FRESH`], except for findings that must not be repeated.
    Fresh,
}

/// How long a passed check counts as fresh.
pub(in crate::engine) const FRESH: Duration = Duration::from_secs(10);

/// The state of the checks for runs that made none.
pub(in crate::engine) const UNCHECKED: (Checks, Proof) = (Checks::Open, Proof::Unverified);

/// The state of the checks for a takeover: from somebody else (first part), and from another resource (second
/// part).
pub(in crate::engine) fn checks<K: Kind>(object: &K, history: &CheckHistory<K::Evidence>) -> (Checks, Proof) {
    match history.verdict(object.common().failure_threshold) {
        RunVerdict::Passed if history.age(Instant::now()).is_some_and(|age| age <= FRESH) => {
            (Checks::Fresh, Proof::Verified)
        }
        RunVerdict::Passed => (Checks::Stale, Proof::Verified),
        RunVerdict::Tolerated { .. } => (Checks::Open, Proof::Verified),
        RunVerdict::Failed(_) | RunVerdict::Held(_) => (Checks::Open, Proof::Unverified),
        RunVerdict::Pending(_) => (Checks::Open, Proof::Unchecked),
    }
}

pub(in crate::engine) fn schedule<K: Kind>(object: &K) -> Schedule {
    let common = object.common();
    Schedule {
        interval: common.interval_of_passed_checks(),
        retry: common.check_interval.get(),
        threshold: common.failure_threshold,
    }
}

/// The terms on which this run may send credentials that were refused before.
pub(in crate::engine) fn terms<K: Kind>(
    object: &K,
    known: Option<&CheckHistory<K::Evidence>>,
    check_key: &CheckKey,
    checked_inputs: &CheckedInputs,
) -> Terms {
    let interval = object.common().check_interval.get();
    let is_asked = object.status().is_some_and(|status| checked_inputs.is_asked_since(status));
    let consent = if is_asked { Consent::Given } else { Consent::None };
    known.map_or(Terms { consent, last_look: None, interval }, |known| known.terms(check_key, interval))
}

/// Which answers to other resources this run takes for its own.
pub(in crate::engine) fn sharing<K: Kind>(
    object: &K,
    known: Option<&CheckHistory<K::Evidence>>,
    check_key: &CheckKey,
    checked_inputs: &CheckedInputs,
    age: Age,
) -> Sharing {
    let now = Instant::now();
    let is_asked = object.status().is_some_and(|status| checked_inputs.is_asked_since(status));
    let not_before = match known {
        Some(known) => known.news_since(check_key, now),
        None => is_asked.then_some(now),
    };
    let sharing = Sharing::since(not_before, object.common().check_interval.get());
    // A Secret that was changed may go with a change at the server.
    let is_outdated = known.is_some_and(|known| known.is_outdated(check_key));
    let sharing = if is_outdated { sharing.just_now() } else { sharing };
    match age {
        Age::AsScheduled => sharing,
        // The findings must be younger than [`FRESH`] when the checks are over.
        Age::Fresh => sharing.just_now(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{
        api::LdapConfig,
        engine::{InputsHash, SpecDigest},
    };

    #[test]
    fn what_must_be_fresh_is_shared_for_a_second_only() {
        let object: LdapConfig = serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": "corp", "namespace": "team", "generation": 1},
            "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org", "checkInterval": "5m"},
        }))
        .unwrap();
        let inputs = CheckedInputs::known(&object, &SpecDigest::of(&object), &BTreeMap::new());
        let hash = InputsHash::from(1);
        let check_key = CheckKey {
            inputs: hash,
            spec: hash,
            recheck: None,
            dependency_readiness: Vec::new(),
            requests: Vec::new(),
        };
        let at_most = |age| sharing(&object, None, &check_key, &inputs, age).freshness.at_most;
        assert_eq!(at_most(Age::AsScheduled), Duration::from_mins(5));
        assert_eq!(at_most(Age::Fresh), Duration::from_secs(1));
        assert!(at_most(Age::Fresh) < FRESH, "they are that fresh when the checks are over");
    }
}
