//! What is to be done with an account's keys: pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Current,
    keys::{Maker, RemoteKey, identify},
    record::{Leftover, Previous, Record},
    settings::Rotation,
};

/// The next thing to be done. The key in use must be the one that the Secret holds, and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Revoke this key.
    Revoke {
        /// W&B's identifier.
        key_id: String,
    },
    /// Generate the key of this number.
    Generate {
        /// How many were generated with it.
        rotation: u32,
        /// How long the key before stays valid.
        overlap: Duration,
    },
    /// Nothing, for now.
    Rest,
    /// Nothing, since the server does not list the key in use as it was recorded: what else is in its list
    /// could be that key.
    Doubt,
}

/// Decides: first what runs that were cut short left behind goes, then the key whose overlap is over, and
/// only then another key is generated, where the spec still wants that. So there are never more than three.
pub fn decide(rotation: Option<Rotation>, current: &Current, listed: &[RemoteKey], now: Timestamp) -> Step {
    let in_use = match own_id(current, listed) {
        Identity::Known(id) => Some(id),
        Identity::Unknown => None,
        Identity::Contradicted => return Step::Doubt,
    };
    let previous = current.record.previous.as_ref();
    let in_overlap = previous.filter(|previous| now < previous.until.0).map(|previous| &previous.key_id);
    let is_over = |key: &&RemoteKey| {
        let was_ours =
            key.maker == Maker::Ourselves || previous.is_some_and(|previous| previous.key_id == key.id);
        was_ours
            && in_overlap != Some(&key.id)
            && in_use.map_or_else(|| !key.may_be(&current.key), |in_use| key.id != in_use)
    };
    if let Some(key) = listed.iter().find(is_over) {
        return Step::Revoke { key_id: key.id.clone() };
    }
    let is_in_overlap = in_overlap.is_some_and(|id| listed.iter().any(|key| key.id == *id));
    match rotation.filter(|rotation| is_due(*rotation, &current.record, now)) {
        Some(Rotation { overlap, .. }) if !is_in_overlap => {
            Step::Generate { rotation: current.record.rotation.saturating_add(1), overlap }
        }
        _ => Step::Rest,
    }
}

/// Which of the listed keys the key in use is.
enum Identity<'a> {
    Known(&'a str),
    /// It is a key that a person copied, and cannot be told from others.
    Unknown,
    /// It was generated, and is not in the list, or another one is in its place.
    Contradicted,
}

fn own_id<'a>(current: &Current, listed: &'a [RemoteKey]) -> Identity<'a> {
    let Some(recorded) = &current.record.key_id else {
        return identify(&current.key, listed).map_or(Identity::Unknown, Identity::Known);
    };
    match listed.iter().find(|key| key.id == *recorded) {
        Some(key) if key.may_be(&current.key) => Identity::Known(&key.id),
        _ => Identity::Contradicted,
    }
}

/// When the key in use is to be replaced.
pub fn next_rotation(rotation: Rotation, record: &Record) -> Option<Timestamp> {
    record.since.as_ref()?.0.checked_add(rotation.interval).ok()
}

fn is_due(rotation: Rotation, record: &Record, now: Timestamp) -> bool {
    next_rotation(rotation, record).is_some_and(|due| now >= due)
}

/// The record of a key that takes the place of the one in use.
pub fn succeed(
    overlap: Duration,
    current: &Current,
    listed: &[RemoteKey],
    (key_id, number): (String, u32),
    now: Timestamp,
) -> Record {
    let (previous, leftover) = match own_id(current, listed) {
        Identity::Known(id) => {
            let until = Time(now.checked_add(overlap).unwrap_or(now));
            (Some(Previous { key_id: id.to_owned(), until }), current.record.leftover)
        }
        Identity::Unknown | Identity::Contradicted => (None, Some(Leftover::Bootstrap)),
    };
    Record { rotation: number, key_id: Some(key_id), since: Some(Time(now)), previous, leftover }
}

/// The record without what is gone from the server, or in use again.
pub fn prune(current: &Current, listed: &[RemoteKey]) -> Record {
    let Current { record, .. } = current;
    let in_use = if let Identity::Known(id) = own_id(current, listed) { Some(id) } else { None };
    let is_listed = |previous: &Previous| listed.iter().any(|key| key.id == previous.key_id);
    let is_before = |previous: &Previous| is_listed(previous) && in_use != Some(&previous.key_id);
    let is_copied = listed.iter().any(|key| key.maker == Maker::Others);
    Record {
        previous: record.previous.clone().filter(is_before),
        leftover: record.leftover.filter(|_| is_copied),
        ..record.clone()
    }
}

#[cfg(test)]
mod tests;
