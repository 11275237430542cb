//! Decides what to do next with an account's keys. This is pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    keys::{KeyOrigin, RemoteKey, identify},
    record::{Current, Leftover, Previous, Record, whole_seconds},
    requests::{HandledRequests, KeyRequests},
    settings::Rotation,
};

/// What a decision depends on, apart from the keys.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// When keys are replaced, if the spec asks for that.
    pub rotation: Option<Rotation>,
    /// How long a key stays valid after it was replaced, whoever replaced it.
    pub overlap: Duration,
    /// How long another process may take to publish a key that it generated.
    pub patience: Duration,
    /// The identifiers of the generated keys that are known to have been published last.
    pub published: &'a [String],
    /// The replaced keys that the status names.
    pub overlapping: &'a [Previous],
    /// What the annotations ask for, whether it was handled or not.
    pub asked: &'a KeyRequests,
    /// What was handled, as the status says.
    pub acknowledged: &'a HandledRequests,
    /// The current time.
    pub now: Timestamp,
    /// The earliest possible current time. Overlaps end by this time, because a revoked key cannot be restored.
    pub earliest: Timestamp,
    /// The latest possible current time. New overlaps begin at this time, so that they are not too short.
    pub latest: Timestamp,
}

/// The next thing to do. The key in use must be in the Secret, and the server must have accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Revoke this key.
    Revoke {
        /// W&B's identifier of the key.
        key_id: String,
    },
    /// Generate the next key.
    Generate {
        /// The number of the new key; it becomes [`Record::rotation`].
        rotation: u32,
        /// How long the replaced key stays valid.
        overlap: Duration,
    },
    /// Do nothing for now.
    Rest,
    /// Do nothing for now, although a person asked for a new key: another process may be about to publish one.
    Wait,
    /// Do nothing, although a person asked for a new key: too many replaced keys are still valid.
    Crowded {
        /// How many they are.
        overlapping: usize,
    },
    /// Do nothing, because the server does not list the key in use as it was recorded. Any other key in the list
    /// could be the key in use.
    Ambiguous,
}

/// The greatest number of replaced keys that are valid at the same time because a person asked for one key after the
/// other.
pub const MOST_OVERLAPPING: usize = 4;

/// Decides what to do. Keys that interrupted runs left behind and keys whose overlap has ended are revoked first.
/// Only then another key is generated, if the spec still asks for rotation or a person asks for a key. By the spec
/// alone there are never more than three keys, unless somebody restored an older Secret.
///
/// If a person asks for a new key and for the end of the overlap, the new key comes first, so that the key that it
/// replaces is revoked, too.
pub fn decide(circumstances: Circumstances<'_>, current: &Current, listed: &[RemoteKey]) -> RotationStep {
    let identity = own_id(current, listed);
    if matches!(identity, KeyIdentity::Contradicted) {
        return RotationStep::Ambiguous;
    }
    let disposition = |key: &RemoteKey| disposition(circumstances, current, &identity, key);
    if let Some(key) = listed.iter().find(|key| disposition(key) == KeyDisposition::Expired) {
        return RotationStep::Revoke { key_id: key.id.clone() };
    }
    let count = |wanted| listed.iter().filter(|key| disposition(key) == wanted).count();
    let (overlapping, young) = (count(KeyDisposition::InOverlap), count(KeyDisposition::Young));
    let generate =
        |overlap| RotationStep::Generate { rotation: current.record.rotation.saturating_add(1), overlap };
    let open = circumstances.open(&current.record);
    if open.rotate.is_some() {
        return match (overlapping, young) {
            // If the overlap is to end right afterwards, there is soon one key less than now, not one more.
            (MOST_OVERLAPPING.., _) if open.revoke_previous.is_none() => {
                RotationStep::Crowded { overlapping }
            }
            (_, 1..) => RotationStep::Wait,
            _ => generate(circumstances.overlap),
        };
    }
    match circumstances.rotation.filter(|rotation| is_due(*rotation, &current.record, circumstances.now)) {
        Some(Rotation { overlap, .. }) if overlapping + young == 0 => generate(overlap),
        _ => RotationStep::Rest,
    }
}

impl Circumstances<'_> {
    /// What a person asks for and no run has handled yet.
    pub fn open(&self, record: &Record) -> KeyRequests {
        record.open(self.asked)
    }

    /// Whether a person asks to revoke the replaced keys now.
    pub fn ends_overlap(&self, record: &Record) -> bool {
        let open = self.open(record);
        open.rotate.is_none() && open.revoke_previous.is_some()
    }
}

/// What to do with a listed key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyDisposition {
    /// The key is in use, or does not belong to this resource.
    Stays,
    /// Programs may still use the key.
    InOverlap,
    /// Another process may have generated the key a short while ago, and be about to publish it.
    Young,
    /// Nobody needs the key any more.
    Expired,
}

fn disposition(
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
        let is_over = earliest >= previous.until.0 || circumstances.ends_overlap(&current.record);
        return if is_over { KeyDisposition::Expired } else { KeyDisposition::InOverlap };
    }
    match key.origin {
        KeyOrigin::Others => KeyDisposition::Stays,
        KeyOrigin::Ourselves if published.contains(&key.id) => KeyDisposition::InOverlap,
        // The process that generated the key wrote its own time into the description, which may or may not have
        // been the earliest possible one.
        KeyOrigin::Ourselves if [now, earliest].iter().any(|time| key.is_young(*time, patience)) => {
            KeyDisposition::Young
        }
        KeyOrigin::Ourselves => KeyDisposition::Expired,
    }
}

/// The record, extended by every key that was published last but is not in use now, and by those whose overlap the
/// status names. That happens if somebody restored an older Secret, or if the server briefly did not accept that key.
/// Programs may still use it, so it has an overlap, whatever the record says. Likewise a request that the status says was handled is not handled
/// again.
pub fn extend_overlaps(circumstances: Circumstances<'_>, current: &Current, listed: &[RemoteKey]) -> Record {
    let mut record = current.record.clone();
    let asked = circumstances.asked;
    record.handled = Some(match record.handled {
        Some(handled) => handled.and(circumstances.acknowledged, asked),
        None => circumstances.acknowledged.clone().with(asked.clone()),
    });
    let identity = own_id(current, listed);
    let until = end_of_overlap(circumstances.overlap, circumstances.latest);
    let overlapping = circumstances.overlapping.iter().map(|key| (&key.key_id, &key.until));
    let published = circumstances.published.iter().map(|key_id| (key_id, &until));
    for (key_id, until) in overlapping.chain(published) {
        let Some(key) = listed.iter().find(|key| key.id == *key_id) else { continue };
        if identity.may_be(current, key) {
            continue;
        }
        match record.previous.iter_mut().find(|previous| previous.key_id == *key_id) {
            Some(known) if known.until.0 < until.0 => known.until = until.clone(),
            None if key.origin == KeyOrigin::Ourselves => {
                record.previous.push(Previous { key_id: key_id.clone(), until: until.clone() });
            }
            Some(_) | None => {}
        }
    }
    record
}

/// The next time at which a key may have to be revoked, or generated because a person asked for it.
pub fn next_look(
    circumstances: Circumstances<'_>,
    current: &Current,
    listed: &[RemoteKey],
) -> Option<Timestamp> {
    let replaced = &current.record.previous;
    let untils = replaced.iter().map(|previous| Some(previous.until.0));
    let young = listed.iter().filter(|key| key.is_young(circumstances.now, circumstances.patience));
    let grown = young.map(|key| key.made?.checked_add(circumstances.patience).ok());
    untils.chain(grown).flatten().filter(|time| *time > circumstances.now).min()
}

/// The end of an overlap, rounded up to whole seconds, which is what a record can hold.
fn end_of_overlap(overlap: Duration, latest: Timestamp) -> Time {
    let end = latest.checked_add(overlap).unwrap_or(latest);
    let up = i64::from(end.subsec_nanosecond() > 0);
    Time(Timestamp::from_second(end.as_second().saturating_add(up)).unwrap_or(end))
}

/// Which of the listed keys the key in use is.
enum KeyIdentity<'a> {
    Known(&'a str),
    /// A person copied the key, and it cannot be told apart from other keys.
    Unknown,
    /// The list contradicts the record: the generated key is missing, or another key has its identifier. This is
    /// also the case if the key may be a generated one without a record of that.
    Contradicted,
}

impl KeyIdentity<'_> {
    /// Whether the listed key may be the key in use.
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
            || listed.iter().any(|key| key.origin == KeyOrigin::Ourselves && key.may_be(&current.key));
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

/// When the key in use must be replaced.
pub fn next_rotation(rotation: Rotation, record: &Record) -> Option<Timestamp> {
    record.since.as_ref()?.0.checked_add(rotation.interval).ok()
}

fn is_due(rotation: Rotation, record: &Record, now: Timestamp) -> bool {
    next_rotation(rotation, record).is_some_and(|due| now >= due)
}

/// The record of the new key, which replaces the key in use.
pub fn successor_record(
    circumstances: Circumstances<'_>,
    overlap: Duration,
    current: &Current,
    listed: &[RemoteKey],
    (key_id, number): (String, u32),
) -> Record {
    let Circumstances { now, latest, .. } = circumstances;
    // Any new key answers to whoever asked for one.
    let answered = KeyRequests { revoke_previous: None, ..circumstances.open(&current.record) };
    let Record { mut previous, mut leftover, handled, .. } = prune(circumstances, current, listed);
    match own_id(current, listed) {
        KeyIdentity::Known(id) => {
            previous.push(Previous { key_id: id.to_owned(), until: end_of_overlap(overlap, latest) });
        }
        KeyIdentity::Unknown | KeyIdentity::Contradicted => leftover = Some(Leftover::Bootstrap),
    }
    let handled = handled.map(|handled| handled.with(answered));
    Record { rotation: number, key_id: Some(key_id), since: whole_seconds(now), previous, leftover, handled }
}

/// The record without previous keys that the server no longer lists or that are in use again. If a person asked for
/// the end of the overlap, and no key is left in it, that is handled.
pub fn prune(circumstances: Circumstances<'_>, current: &Current, listed: &[RemoteKey]) -> Record {
    let Current { record, .. } = current;
    let in_use = if let KeyIdentity::Known(id) = own_id(current, listed) { Some(id) } else { None };
    let is_listed = |previous: &Previous| listed.iter().any(|key| key.id == previous.key_id);
    let is_before = |previous: &&Previous| is_listed(previous) && in_use != Some(&previous.key_id);
    let is_copied = listed.iter().any(|key| key.origin == KeyOrigin::Others);
    let previous: Vec<_> = record.previous.iter().filter(is_before).cloned().collect();
    let leftover = record.leftover.filter(|_| is_copied);
    // A copied key that nobody can tell from others stays valid until a person deletes it, and so does the request.
    let is_over = circumstances.ends_overlap(record) && previous.is_empty() && leftover.is_none();
    let ended = if is_over { circumstances.open(record) } else { KeyRequests::default() };
    let handled = record.handled.clone().map(|handled| handled.with(ended));
    Record { previous, leftover, handled, ..record.clone() }
}

#[cfg(test)]
mod tests;
