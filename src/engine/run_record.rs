//! What a status says of the runs themselves: when the checks ran, when the Secret was written, and which versions of
//! the referenced objects were read. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};

use super::{Fetched, ObjectKey};
use crate::api::{
    Status,
    status::{ObservedReference, ServerPodStatus},
};

/// By how much `status.lastCheckTime` may be behind: a run that finds nothing new writes no status within this time.
pub(super) const CHECK_TIME_LAG: SignedDuration = SignedDuration::from_hours(1);

/// How many characters of the re-check annotation are repeated.
const RECHECK_LIMIT: usize = 256;

/// By how much the API server's clock, as this process follows it, may differ from the times in objects.
const CLOCK_NOISE: SignedDuration = SignedDuration::from_secs(5);

/// What a run has done, beside what it came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRecord {
    /// When the checks ran last, as far as this process knows.
    pub last_check: Option<Timestamp>,
    /// When the Secret was written last, as far as it tells.
    pub written_at: Option<Timestamp>,
    /// The re-check annotation of the resource that the run looked at.
    pub recheck: Option<String>,
    /// The referenced objects as they were read; nothing where they were not read.
    pub references: Option<Vec<ObservedReference>>,
    /// What became of the checks from a pod like the server's.
    pub server_pod: ServerPodNews,
    /// Whether checks are under way whose findings the status does not have yet.
    pub is_under_way: bool,
}

/// What a run has to say of the checks from a pod like the server's.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ServerPodNews {
    /// Nothing new.
    #[default]
    Unchanged,
    /// This is known of them.
    Known(ServerPodStatus),
    /// There are none any more, and nothing is left of them.
    Over,
}

impl RunRecord {
    /// Puts it into a status; what this run says nothing of is taken over from the status before.
    pub(super) fn complete(&self, status: Status, previous: Option<&Status>) -> Status {
        // Until the checks are over, nothing that asked for them is answered.
        let status = if self.is_under_way {
            let checked_inputs = previous.and_then(|previous| previous.checked_inputs.clone());
            Status { checked_inputs, ..status }
        } else {
            status
        };
        let before = |field: fn(&Status) -> Option<&Time>| previous.and_then(field).cloned();
        let last_check = before(|status| status.last_check_time.as_ref());
        let recheck = self.recheck.as_ref().filter(|_| !self.is_under_way);
        let recheck = recheck.map(|value| value.chars().take(RECHECK_LIMIT).collect());
        let references = || previous.map(|previous| previous.observed_references.clone());
        let last_published_time = status
            .secret_ref
            .is_some()
            .then(|| newer(before(|status| status.last_published_time.as_ref()), self.written_at));
        Status {
            last_check_time: self.last_check.map(Time).or(last_check),
            last_published_time: last_published_time.flatten(),
            last_handled_recheck: recheck
                .or_else(|| previous.and_then(|previous| previous.last_handled_recheck.clone())),
            observed_references: self.references.clone().or_else(references).unwrap_or_default(),
            server_pod: match &self.server_pod {
                ServerPodNews::Unchanged => previous.and_then(|previous| previous.server_pod.clone()),
                ServerPodNews::Known(known) => Some(known.clone()),
                ServerPodNews::Over => None,
            },
            ..status
        }
    }
}

/// The later of the time in the status before and the time that the Secret itself shows. Times that differ by no more than clocks do
/// are the same, so that no status is written for that.
fn newer(before: Option<Time>, found: Option<Timestamp>) -> Option<Time> {
    match (before, found) {
        (Some(before), Some(found)) if found.duration_since(before.0) > CLOCK_NOISE => Some(Time(found)),
        (Some(before), _) => Some(before),
        (None, found) => found.map(Time),
    }
}

/// The status as it is to be written: that the checks ran again, and found the same, is no reason for a write
/// before [`CHECK_TIME_LAG`] is over.
pub(super) fn without_news_of_time(previous: Option<&Status>, status: Status) -> Status {
    let (Some(previous), Some(now)) = (previous, &status.last_check_time) else { return status };
    let Some(before) = &previous.last_check_time else { return status };
    // A clock that was far ahead must not keep the time from being written for ever.
    if now.0.duration_since(before.0).abs() >= CHECK_TIME_LAG {
        return status;
    }
    let same = Status { last_check_time: Some(before.clone()), ..status.clone() };
    if same == *previous { same } else { status }
}

/// The Secrets and ConfigMaps among what was read.
pub(super) fn observed(objects: &BTreeMap<ObjectKey, Fetched>) -> Vec<ObservedReference> {
    let found = objects.iter().filter_map(|(key, fetched)| {
        let Fetched::Found { version, .. } = fetched else { return None };
        // The identifier of the object follows after a dot.
        let resource_version = version.split_once('.').map_or(version.as_str(), |(version, _)| version);
        Some(ObservedReference {
            kind: key.source.kind().into(),
            name: key.name.as_str().into(),
            resource_version: resource_version.into(),
        })
    });
    found.collect()
}

/// When a field manager wrote an object last, as the API server has noted it.
pub(super) fn written_by(entries: &[ManagedFieldsEntry], manager: &str) -> Option<Timestamp> {
    let own = entries.iter().filter(|entry| entry.manager.as_deref() == Some(manager));
    own.filter_map(|entry| Some(entry.time.as_ref()?.0)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::status::SecretReference, engine::ReferenceSource};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn checked(second: i64, warnings: u32) -> Status {
        Status { last_check_time: Some(Time(at(second))), warnings: Some(warnings), ..Status::default() }
    }

    #[test]
    fn a_check_that_finds_the_same_is_told_once_an_hour() {
        for (previous, now, told) in [
            (Some(checked(1000, 0)), checked(1300, 0), 1000),
            (Some(checked(1000, 0)), checked(4599, 0), 1000),
            (Some(checked(1000, 0)), checked(4600, 0), 4600),
            // Something else is written anyway.
            (Some(checked(1000, 0)), checked(1300, 1), 1300),
            (None, checked(1300, 0), 1300),
            (Some(Status::default()), checked(1300, 0), 1300),
            // A clock was a little ahead, or far.
            (Some(checked(1310, 0)), checked(1300, 0), 1310),
            (Some(checked(999_999, 0)), checked(1300, 0), 1300),
        ] {
            let status = without_news_of_time(previous.as_ref(), now);
            assert_eq!(status.last_check_time, Some(Time(at(told))), "{previous:?}");
        }
    }

    #[test]
    fn what_a_run_says_nothing_of_stays() {
        let published =
            Status { secret_ref: Some(SecretReference { name: "a".to_owned() }), ..Status::default() };
        let reference =
            ObservedReference { kind: "Secret".into(), name: "ldap".into(), resource_version: "7".into() };
        let record = RunRecord {
            last_check: Some(at(1000)),
            written_at: Some(at(900)),
            recheck: Some("a".repeat(300)),
            references: Some(vec![reference]),
            ..RunRecord::default()
        };
        let first = record.complete(published.clone(), None);
        assert_eq!(first.last_handled_recheck.as_deref(), Some("a".repeat(256).as_str()));
        assert_eq!(first.last_published_time, Some(Time(at(900))));
        assert_eq!(RunRecord::default().complete(published.clone(), Some(&first)), first);
        // The Secret's own time is the same, but for what clocks differ by.
        for (written_at, told) in [(800, 900), (904, 900), (906, 906)] {
            let record = RunRecord { written_at: Some(at(written_at)), ..RunRecord::default() };
            let status = record.complete(published.clone(), Some(&first));
            assert_eq!(status.last_published_time, Some(Time(at(told))), "{written_at}");
        }
        let gone = RunRecord::default().complete(Status::default(), Some(&first));
        assert_eq!(gone.last_published_time, None, "there is no Secret");
        let nothing = RunRecord { references: Some(Vec::new()), ..RunRecord::default() };
        assert!(nothing.complete(published, Some(&first)).observed_references.is_empty());
    }

    #[test]
    fn only_what_was_found_is_observed() {
        let key = |source, name: &str| ObjectKey { source, name: name.into() };
        let found = |version: &str| Fetched::Found { version: version.into(), data: BTreeMap::new() };
        let objects = BTreeMap::from([
            (key(ReferenceSource::Secret, "bind"), found("12.uid")),
            (key(ReferenceSource::ConfigMap, "authority"), found("7.uid")),
            (key(ReferenceSource::Secret, "missing"), Fetched::Missing { similar: None }),
        ]);
        let mut seen: Vec<_> = observed(&objects)
            .into_iter()
            .map(|one| format!("{} {} {}", one.kind, one.name, one.resource_version))
            .collect();
        seen.sort();
        assert_eq!(seen, ["ConfigMap authority 7", "Secret bind 12"]);
    }
}
