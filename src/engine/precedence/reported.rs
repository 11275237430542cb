//! Reads from a status what it shows about a resource's claims. A status may be out of date, so entries that are
//! seen in a target count more.

use std::collections::BTreeSet;

use super::contender::{Identified, Proof, PublicationState};
use crate::{
    api::{Condition, ConditionType, Reason, Status},
    engine::{CheckedInputs, Kind},
    workloads::Target,
};

fn condition(status: Option<&Status>, type_: ConditionType) -> Option<&Condition> {
    status
        .into_iter()
        .flat_map(|status| &status.conditions)
        .find(|condition| condition.type_ == type_.as_str())
}

pub(super) fn published(status: Option<&Status>) -> PublicationState {
    if status.is_some_and(|status| status.secret_ref.is_some()) {
        PublicationState::Yes
    } else {
        PublicationState::No
    }
}

pub(super) fn proof(status: Option<&Status>, generation: Option<i64>) -> Proof {
    let verified = condition(status, ConditionType::Verified);
    match verified.filter(|verified| verified.observed_generation == generation) {
        Some(verified) if verified.status == "True" => Proof::Verified,
        Some(verified) if verified.status == "False" => Proof::Unverified,
        Some(_) | None => Proof::Unchecked,
    }
}

/// The objects in which the resource has entries, as far as its status shows.
pub(super) fn delivered(status: Option<&Status>, target: Option<&Target>) -> BTreeSet<String> {
    let is_there = status.is_some_and(|status| status.revision.is_some());
    let objects = target.filter(|_| is_there).into_iter().flat_map(Target::objects);
    objects.map(ToString::to_string).collect()
}

pub(super) fn identified(status: Option<&Status>, generation: Option<i64>) -> Identified {
    let accepted = condition(status, ConditionType::Accepted);
    let had_lost = Reason::SUPERSEDED.map(Reason::as_str);
    if published(status) == PublicationState::No
        || accepted.is_some_and(|accepted| had_lost.contains(&accepted.reason.as_str()))
    {
        return Identified::Wants;
    }
    let is_current =
        |accepted: &Condition| accepted.status == "True" && accepted.observed_generation == generation;
    if accepted.is_some_and(is_current) { Identified::Works } else { Identified::Published }
}

/// Whether the target went back to no entries, and nobody has asked for another try since. Another resource may
/// use the exclusive settings then.
pub(super) fn has_failed<K: Kind>(object: &K, status: &Status) -> bool {
    let rolled_back = condition(Some(status), ConditionType::RolledOut)
        .is_some_and(|condition| condition.reason == Reason::RolledBack.as_str());
    status.revision.is_none()
        && rolled_back
        && status.observed_generation == object.meta().generation
        && CheckedInputs::has_recheck_of(object, status)
}
