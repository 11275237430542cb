//! What a resource comes to, from its status and from what the cluster shows beside it. Pure.

use std::time::Duration;

use serde::Serialize;
use strum::IntoStaticStr;

use super::{
    contradiction::contradiction,
    moments::minute,
    observed::{ObservedCluster, ObservedResource},
};
use crate::api::{Condition, ConditionType, Reason};

/// What a resource comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr)]
pub(super) enum ResourceStanding {
    /// Everything is as the spec says.
    Ready,
    /// The operator is at work.
    Progressing,
    /// Something is wrong.
    NotReady,
    /// `spec.suspend` is true.
    Suspended,
    /// It is deleted as soon as the operator has cleaned up.
    Deleting,
    /// No operator has looked at it, or at its newest spec.
    NotObserved,
    /// The status says Ready of what is not so any more.
    Outdated,
    /// This version cannot read its spec.
    Unreadable,
}

/// What a resource comes to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourceJudgement {
    pub(super) standing: ResourceStanding,
    /// The condition that says so.
    pub(super) condition: Option<String>,
    /// The reason of that condition.
    pub(super) reason: Option<String>,
    /// What to know and to do.
    pub(super) message: String,
}

/// By how much `status.lastCheckTime` may be behind beside two intervals: it is written once an hour at most, and
/// clocks differ.
pub(super) const LAG: Duration = Duration::from_mins(70);

/// Where to look when no operator does its work.
pub(super) const WHERE_TO_LOOK: &str = "Check that an operator runs and manages this namespace.";

/// What the resource comes to.
pub(super) fn standing(observed: &ObservedCluster, resource: &ObservedResource) -> ResourceJudgement {
    let told =
        |standing, message: String| ResourceJudgement { standing, condition: None, reason: None, message };
    if let Some(deleted) = resource.deleted {
        let waits = match resource.finalizers.as_slice() {
            [] => String::new(),
            finalizers => {
                format!(" It waits for what these finalizers stand for: {}.", finalizers.join(", "))
            }
        };
        let time = minute(deleted);
        let message = format!(
            "Its deletion was asked for at {time}.{waits} The events of the resource say more, if it takes longer."
        );
        return told(ResourceStanding::Deleting, message);
    }
    if let Err(words) = &resource.spec {
        let message = format!(
            "This program cannot read the spec ({words}), which is of another version. Use the program of the operator's version."
        );
        return told(ResourceStanding::Unreadable, message);
    }
    let status = &resource.status;
    let Some(ready) = find(&status.conditions, ConditionType::Ready) else {
        let message = format!("No operator has looked at this resource yet. {WHERE_TO_LOOK}");
        return told(ResourceStanding::NotObserved, message);
    };
    if let (Some(generation), Some(seen)) = (resource.generation, status.observed_generation)
        && seen < generation
    {
        let message = format!(
            "The status speaks of generation {seen} of the spec, which is at {generation}. {WHERE_TO_LOOK}"
        );
        return told(ResourceStanding::NotObserved, message);
    }
    let named = |standing, condition: &Condition, message: String| ResourceJudgement {
        standing,
        condition: Some(condition.type_.to_string()),
        reason: Some(condition.reason.to_string()),
        message,
    };
    if ready.status == "True" {
        return match contradiction(observed, resource) {
            Some(message) => told(ResourceStanding::Outdated, message),
            None => named(ResourceStanding::Ready, ready, ready.message.to_string()),
        };
    }
    if ready.reason == Reason::Suspended.as_str() {
        return named(ResourceStanding::Suspended, ready, ready.message.to_string());
    }
    let cause = cause(&status.conditions).unwrap_or(ready);
    let is_moving = cause.reason == Reason::Progressing.as_str();
    let kind = if is_moving { ResourceStanding::Progressing } else { ResourceStanding::NotReady };
    let beginning = format!("{} is {}: ", cause.type_, cause.status);
    let message = ready.message.strip_prefix(&beginning).unwrap_or(&ready.message);
    named(kind, cause, message.to_owned())
}

/// The condition of this type.
pub(super) fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// The conditions that Ready is made of, in their order.
pub(super) const STEPS: [ConditionType; 5] = [
    ConditionType::Accepted,
    ConditionType::ResolvedRefs,
    ConditionType::Verified,
    ConditionType::Published,
    ConditionType::RolledOut,
];

/// The condition that Ready speaks of.
fn cause(conditions: &[Condition]) -> Option<&Condition> {
    let steps = STEPS.iter().filter_map(|type_| find(conditions, *type_));
    steps.into_iter().find(|condition| condition.status != "True")
}
