//! Reads from a status what an earlier run found. The functions are pure.

use crate::api::{Condition, ConditionType, Reason, Status};

pub(super) fn find(conditions: &[Condition], type_: ConditionType) -> Option<Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str()).cloned()
}

/// Whether a status says that the resource is suspended.
pub fn is_suspended(status: &Status) -> bool {
    find(&status.conditions, ConditionType::Ready)
        .is_some_and(|ready| ready.reason == Reason::Suspended.as_str())
}

/// Whether a status says that all is as the spec says.
pub fn is_ready(status: &Status) -> bool {
    true_reason(status, ConditionType::Ready).is_some()
}

/// Whether a status tells that no check counts as failed.
pub fn is_verified(status: &Status) -> bool {
    true_reason(status, ConditionType::Verified).is_some()
}

/// Whether a status tells that the inputs it speaks of passed at some time.
pub fn was_verified_once(status: &Status) -> bool {
    is_verified(status) || true_reason(status, ConditionType::Published) == Some(Reason::Published.as_str())
}

/// The reason of a condition that is True.
fn true_reason(status: &Status, type_: ConditionType) -> Option<&str> {
    let is_meant = |condition: &&Condition| condition.type_ == type_.as_str() && condition.status == "True";
    status.conditions.iter().find(is_meant).map(|condition| condition.reason.as_str())
}
