//! What is to be done with an account's keys: pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Current,
    keys::{KeyOrigin, RemoteKey, identify},
    record::{Leftover, Previous, Record},
    settings::Rotation,
    verify::whole_seconds,
};

/// What a decision depends on beside the keys.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// When the spec wants keys to be replaced, if at all.
    pub rotation: Option<Rotation>,
    /// How long a key stays valid that was replaced, whoever did it.
    pub overlap: Duration,
    /// How long another process may take to publish a key that it made.
    pub patience: Duration,
    /// The generated keys that are known to have been published last.
    pub published: &'a [String],
    /// The time.
    pub now: Timestamp,
    /// The earliest that it may be: a revoked key does not come back.
    pub earliest: Timestamp,
    /// The latest that it may be: an overlap is not to end before it has passed.
    pub latest: Timestamp,
}

/// The next thing to be done. The key in use must be the one that the Secret holds, and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
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

/// Decides: first what runs that were cut short left behind goes, then the keys whose overlap is over, and
/// only then another key is generated, where the spec still wants that. So there are never more than three,
/// unless somebody restored an older Secret.
pub fn decide(circumstances: Circumstances<'_>, current: &Current, listed: &[RemoteKey]) -> RotationStep {
    let identity = own_id(current, listed);
    if matches!(identity, KeyIdentity::Contradicted) {
        return RotationStep::Doubt;
    }
    let fate = |key: &RemoteKey| fate(circumstances, current, &identity, key);
    if let Some(key) = listed.iter().find(|key| fate(key) == KeyDisposition::Expired) {
        return RotationStep::Revoke { key_id: key.id.clone() };
    }
    let has_company = listed.iter().any(|key| fate(key) == KeyDisposition::InOverlap);
    match circumstances.rotation.filter(|rotation| is_due(*rotation, &current.record, circumstances.now)) {
        Some(Rotation { overlap, .. }) if !has_company => {
            RotationStep::Generate { rotation: current.record.rotation.saturating_add(1), overlap }
        }
        _ => RotationStep::Rest,
    }
}

/// What is to become of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyDisposition {
    /// It is in use, or no concern of ours.
    Stays,
    /// Programs may have it still, or are about to.
    InOverlap,
    /// Nobody needs it.
    Expired,
}

fn fate(
    circumstances: Circumstances<'_>,
    current: &Current,
    identity: &KeyIdentity<'_>,
    key: &RemoteKey,
) -> KeyDisposition {
    if identity.may_be(current, key) {
        return KeyDisposition::Stays;
    }
    let Circumstances { now, earliest, patience, published, .. } = circumstances;
    if let Some(previous) = current.record.previous.iter().find(|previous| previous.key_id == key.id) {
        return if earliest < previous.until.0 { KeyDisposition::InOverlap } else { KeyDisposition::Expired };
    }
    match key.maker {
        KeyOrigin::Others => KeyDisposition::Stays,
        KeyOrigin::Ourselves if published.contains(&key.id) => KeyDisposition::InOverlap,
        // Whoever made it wrote down the time, which may be the earliest or not.
        KeyOrigin::Ourselves if [now, earliest].iter().any(|time| key.is_young(*time, patience)) => {
            KeyDisposition::InOverlap
        }
        KeyOrigin::Ourselves => KeyDisposition::Expired,
    }
}

/// The record with every key that was published last and is not the one in use: somebody restored an older
/// Secret, or the server did not accept that key for a moment. Programs may have it, whatever the record says.
pub fn extend_overlaps(circumstances: Circumstances<'_>, current: &Current, listed: &[RemoteKey]) -> Record {
    let mut record = current.record.clone();
    let identity = own_id(current, listed);
    let until = end_of_overlap(circumstances.overlap, circumstances.latest);
    for key in listed.iter().filter(|key| circumstances.published.contains(&key.id)) {
        let known = record.previous.iter_mut().find(|previous| previous.key_id == key.id);
        if identity.may_be(current, key) {
            continue;
        }
        match known {
            Some(known) if known.until.0 < until.0 => known.until = until.clone(),
            None if key.maker == KeyOrigin::Ourselves => {
                record.previous.push(Previous { key_id: key.id.clone(), until: until.clone() });
            }
            Some(_) | None => {}
        }
    }
    record
}

/// When something is next to be done about a key that nobody needs.
pub fn next_look(
    circumstances: Circumstances<'_>,
    current: &Current,
    listed: &[RemoteKey],
) -> Option<Timestamp> {
    let untils = current.record.previous.iter().map(|previous| Some(previous.until.0));
    let young = listed.iter().filter(|key| key.is_young(circumstances.now, circumstances.patience));
    let grown = young.map(|key| key.made?.checked_add(circumstances.patience).ok());
    untils.chain(grown).flatten().filter(|time| *time > circumstances.now).min()
}

/// In whole seconds, as a record holds it, and not a moment too early.
fn end_of_overlap(overlap: Duration, latest: Timestamp) -> Time {
    let end = latest.checked_add(overlap).unwrap_or(latest);
    let up = i64::from(end.subsec_nanosecond() > 0);
    Time(Timestamp::from_second(end.as_second().saturating_add(up)).unwrap_or(end))
}

/// Which of the listed keys the key in use is.
enum KeyIdentity<'a> {
    Known(&'a str),
    /// It is a key that a person copied, and cannot be told from others.
    Unknown,
    /// It was generated, and is not in the list, or another one is in its place; or it may be one that was
    /// generated although nothing of that was recorded.
    Contradicted,
}

impl KeyIdentity<'_> {
    /// Whether the listed key may be the one in use.
    fn may_be(&self, current: &Current, key: &RemoteKey) -> bool {
        match self {
            Self::Known(id) => key.id == *id,
            Self::Unknown => key.may_be(&current.key),
            Self::Contradicted => true,
        }
    }
}

fn own_id<'a>(current: &Current, listed: &'a [RemoteKey]) -> KeyIdentity<'a> {
    let Some(recorded) = &current.record.key_id else {
        let may_be_ours =
            || listed.iter().any(|key| key.maker == KeyOrigin::Ourselves && key.may_be(&current.key));
        return match identify(&current.key, listed) {
            Some(id) => KeyIdentity::Known(id),
            None if may_be_ours() => KeyIdentity::Contradicted,
            None => KeyIdentity::Unknown,
        };
    };
    match listed.iter().find(|key| key.id == *recorded) {
        Some(key) if key.may_be(&current.key) => KeyIdentity::Known(&key.id),
        _ => KeyIdentity::Contradicted,
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
pub fn successor_record(
    Circumstances { now, latest, .. }: Circumstances<'_>,
    overlap: Duration,
    current: &Current,
    listed: &[RemoteKey],
    (key_id, number): (String, u32),
) -> Record {
    let (previous, leftover) = match own_id(current, listed) {
        KeyIdentity::Known(id) => {
            let before = Previous { key_id: id.to_owned(), until: end_of_overlap(overlap, latest) };
            (vec![before], current.record.leftover)
        }
        KeyIdentity::Unknown | KeyIdentity::Contradicted => (Vec::new(), Some(Leftover::Bootstrap)),
    };
    Record { rotation: number, key_id: Some(key_id), since: whole_seconds(now), previous, leftover }
}

/// The record without what is gone from the server, or in use again.
pub fn prune(current: &Current, listed: &[RemoteKey]) -> Record {
    let Current { record, .. } = current;
    let in_use = if let KeyIdentity::Known(id) = own_id(current, listed) { Some(id) } else { None };
    let is_listed = |previous: &Previous| listed.iter().any(|key| key.id == previous.key_id);
    let is_before = |previous: &&Previous| is_listed(previous) && in_use != Some(&previous.key_id);
    let is_copied = listed.iter().any(|key| key.maker == KeyOrigin::Others);
    Record {
        previous: record.previous.iter().filter(is_before).cloned().collect(),
        leftover: record.leftover.filter(|_| is_copied),
        ..record.clone()
    }
}

#[cfg(test)]
mod tests;
