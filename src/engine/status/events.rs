//! Which news is worth an event: pure.

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::ResourceExt;

use crate::engine::Publication;
use crate::{
    api::{ConditionType, Reason, Status, names::EventReason},
    problem::quote,
};

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// As it should be.
    Normal,
    /// Deserves a look.
    Warning,
}

/// An event that is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// Good news or bad.
    pub tone: EventType,
    /// The event's reason.
    pub reason: EventReason,
    /// The condition's reason or what was done; events that differ in it are not joined into one.
    pub action: String,
    /// The event's text.
    pub note: String,
}

impl EventDraft {
    /// Something that deserves a look.
    pub fn warning(reason: EventReason, action: &str, note: String) -> Self {
        Self { tone: EventType::Warning, reason, action: action.to_owned(), note }
    }
}

/// What is told of a write to the Secret; what holds without one needs no event.
pub fn written(publication: &Publication, secret_name: &str) -> EventDraft {
    let (action, note) = if *publication == Publication::Held {
        ("Hold", format!("Wrote the Secret \"{secret_name}\" so that it keeps the last verified values."))
    } else {
        ("Write", format!("Wrote the current values to the Secret \"{secret_name}\"."))
    };
    EventDraft { tone: EventType::Normal, reason: EventReason::Published, action: action.to_owned(), note }
}

/// What is told of a Secret that somebody else changed or deleted, and that is right again.
pub fn repaired(present: Option<&Secret>, secret_name: &str, own_manager: &str) -> EventDraft {
    let note = match present {
        None => {
            format!("The Secret \"{secret_name}\" was deleted, and was made again with the published values.")
        }
        Some(present) => {
            let entries = present.managed_fields().iter();
            let others =
                entries.filter(|entry| entry.manager.as_deref().is_some_and(|name| name != own_manager));
            let last = others.max_by_key(|entry| entry.time.clone());
            let last = last.and_then(|entry| entry.manager.as_deref());
            let by =
                last.map_or_else(String::new, |manager| format!(" by the field manager {}", quote(manager)));
            format!("The Secret \"{secret_name}\" was changed{by}, and has the published values again.")
        }
    };
    EventDraft::warning(EventReason::Repaired, "Repair", note)
}

/// The events of one run. Each is a write at the API server, so its good news are one event: with the reason of the
/// last step that it took, and what is to be told of every step.
pub fn joined(notices: Vec<EventDraft>) -> Vec<EventDraft> {
    let (mut good, mut events): (Vec<_>, Vec<_>) =
        notices.into_iter().partition(|notice| notice.tone == EventType::Normal);
    // The reasons are declared in the order of the steps.
    good.sort_by_key(|notice| notice.reason as usize);
    let one = good.into_iter().reduce(|earlier, later| {
        let note = format!("{} {}", later.note, earlier.note);
        EventDraft { note, ..later }
    });
    events.extend(one);
    events
}

/// The transitions between two statuses that are worth an event.
pub fn notices(previous: Option<&Status>, current: &Status) -> Vec<EventDraft> {
    let seen = |status: Option<&Status>, type_: ConditionType| {
        status
            .into_iter()
            .flat_map(|status| status.conditions.clone())
            .find(|condition| condition.type_ == type_.as_str())
    };
    let mut notices = Vec::new();
    for type_ in [
        ConditionType::Accepted,
        ConditionType::ResolvedRefs,
        ConditionType::Verified,
        ConditionType::Published,
        ConditionType::RolledOut,
    ] {
        let Some(now) = seen(Some(current), type_) else { continue };
        let before = seen(previous, type_);
        let flipped = before.is_none_or(|before| before.status != now.status || before.reason != now.reason);
        if flipped {
            notices.extend(notice(type_, now));
        }
    }
    notices
}

fn notice(type_: ConditionType, condition: Condition) -> Option<EventDraft> {
    let failed = condition.status == "False";
    let (tone, reason) = match type_ {
        ConditionType::Verified if condition.status == "True" => (EventType::Normal, EventReason::Verified),
        ConditionType::Verified if failed => (EventType::Warning, EventReason::CheckFailed),
        ConditionType::Published if condition.reason == Reason::HoldingLastVerified.as_str() => {
            (EventType::Warning, EventReason::HoldingLastVerified)
        }
        // Not yet verified is what the failed check says already.
        ConditionType::Published if condition.reason == Reason::NotYetVerified.as_str() => return None,
        ConditionType::Published if failed => (EventType::Warning, EventReason::PublishFailed),
        ConditionType::RolledOut if condition.status == "True" => (EventType::Normal, EventReason::RolledOut),
        ConditionType::RolledOut if condition.reason == Reason::Progressing.as_str() => return None,
        ConditionType::RolledOut if condition.reason == Reason::RolledBack.as_str() => {
            (EventType::Warning, EventReason::RolledBack)
        }
        ConditionType::RolledOut if failed => (EventType::Warning, EventReason::DeliveryFailed),
        ConditionType::Accepted if failed => (EventType::Warning, EventReason::NotAccepted),
        ConditionType::ResolvedRefs if failed => (EventType::Warning, EventReason::UnresolvedReference),
        _ => return None,
    };
    Some(EventDraft { tone, reason, action: condition.reason, note: condition.message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_good_news_of_a_run_are_one_event() {
        let good = |reason, note: &str| EventDraft {
            tone: EventType::Normal,
            reason,
            action: format!("{reason}"),
            note: note.to_owned(),
        };
        let verified = good(EventReason::Verified, "Checked.");
        let published = good(EventReason::Published, "Written.");
        let rolled_out = good(EventReason::RolledOut, "It runs.");
        let repaired = EventDraft::warning(EventReason::Repaired, "Repair", "Repaired.".to_owned());
        for (notices, expected) in [
            (vec![], vec![]),
            (vec![verified.clone()], vec![(EventReason::Verified, "Checked.")]),
            (vec![verified.clone(), published.clone()], vec![(EventReason::Published, "Written. Checked.")]),
            (
                vec![verified.clone(), rolled_out, published],
                vec![(EventReason::RolledOut, "It runs. Written. Checked.")],
            ),
            (
                vec![verified, repaired],
                vec![(EventReason::Repaired, "Repaired."), (EventReason::Verified, "Checked.")],
            ),
        ] {
            let events = joined(notices);
            let told: Vec<_> = events.iter().map(|event| (event.reason, event.note.as_str())).collect();
            assert_eq!(told, expected);
        }
    }
}
