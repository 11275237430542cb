//! Decides which changes of a resource become events. The functions are pure.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::warnings::{WORTH_A_LOOK, count_warnings, names_of_warnings};
use crate::engine::Publication;
use crate::{
    api::{CheckResult, Condition, ConditionType, Reason, Status, names::EventReason},
    problem::quote,
};

/// The type of an event, as Kubernetes defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something is as it should be.
    Normal,
    /// Something that a person should look at.
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

/// The event about a write to the Secret; a Secret that needed no write needs no event.
pub fn written(publication: &Publication, secret_name: &str) -> EventDraft {
    let (action, note) = if *publication == Publication::Held {
        ("Hold", format!("Wrote the Secret \"{secret_name}\" so that it keeps the last verified values."))
    } else {
        ("Write", format!("Wrote the current values to the Secret \"{secret_name}\"."))
    };
    EventDraft { tone: EventType::Normal, reason: EventReason::Published, action: action.to_owned(), note }
}

/// The event about a Secret that somebody else changed or deleted, and that was restored.
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

/// Joins the events of one run. Each event is a write at the API server, so the good news of a run are one event: with
/// the reason of the last step that it took, and the note of every step.
pub fn joined(events: Vec<EventDraft>) -> Vec<EventDraft> {
    let (mut good, mut joined): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|event| event.tone == EventType::Normal && event.reason.is_step_of_run());
    // The reasons are declared in the order of the steps.
    good.sort_by_key(|event| event.reason as usize);
    let one = good.into_iter().reduce(|earlier, later| {
        let note = format!("{} {}", later.note, earlier.note);
        EventDraft { note, ..later }
    });
    joined.extend(one);
    joined
}

/// A change between two statuses that is worth a line of the log, and mostly an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which condition changed; the log names it.
    pub condition: ConditionType,
    /// Good news or bad.
    pub tone: EventType,
    /// The condition's reason.
    pub reason: String,
    /// All that the status says of it, for the log.
    pub message: String,
    /// The event, which is shorter: `kubectl describe` shows it below the same words.
    pub notice: Option<EventDraft>,
}

/// The transitions between two statuses, in the order of the conditions.
pub fn transitions(previous: Option<&Status>, current: &Status) -> Vec<Transition> {
    let ready = condition(Some(current), ConditionType::Ready);
    let mut transitions = Vec::new();
    for type_ in [
        ConditionType::Accepted,
        ConditionType::ResolvedRefs,
        ConditionType::Verified,
        ConditionType::Published,
        ConditionType::RolledOut,
    ] {
        let Some(now) = condition(Some(current), type_) else { continue };
        let before = condition(previous, type_);
        if before.is_none_or(|before| before.status != now.status || before.reason != now.reason) {
            transitions.extend(transition(type_, before, now, ready));
        }
    }
    transitions.extend(suspension(condition(previous, ConditionType::Ready), ready));
    transitions.extend(new_warnings(previous, current));
    transitions
}

fn condition(status: Option<&Status>, type_: ConditionType) -> Option<&Condition> {
    status?.conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

fn transition(
    type_: ConditionType,
    before: Option<&Condition>,
    now: &Condition,
    ready: Option<&Condition>,
) -> Option<Transition> {
    let has_failed = now.status == "False";
    let is_back = now.status == "True" && before.is_some_and(|before| before.status == "False");
    let event = match type_ {
        ConditionType::Verified if now.status == "True" => Some((EventType::Normal, EventReason::Verified)),
        ConditionType::Verified if has_failed => Some((EventType::Warning, EventReason::CheckFailed)),
        ConditionType::Published if now.reason == Reason::HoldingLastVerified.as_str() => {
            Some((EventType::Warning, EventReason::HoldingLastVerified))
        }
        // Not yet verified is what the failed check says already.
        ConditionType::Published if now.reason == Reason::NotYetVerified.as_str() => return None,
        ConditionType::Published if has_failed => Some((EventType::Warning, EventReason::PublishFailed)),
        ConditionType::RolledOut if now.status == "True" => Some((EventType::Normal, EventReason::RolledOut)),
        ConditionType::RolledOut if now.reason == Reason::Progressing.as_str() => None,
        ConditionType::RolledOut if now.reason == Reason::RolledBack.as_str() => {
            Some((EventType::Warning, EventReason::RolledBack))
        }
        ConditionType::RolledOut if has_failed => Some((EventType::Warning, EventReason::DeliveryFailed)),
        ConditionType::Accepted if has_failed => Some((EventType::Warning, EventReason::NotAccepted)),
        ConditionType::ResolvedRefs if has_failed => {
            Some((EventType::Warning, EventReason::UnresolvedReference))
        }
        _ if is_back => None,
        _ => return None,
    };
    let is_in_ready = ready.is_some_and(|ready| ready.message.contains(now.message.as_str()));
    let notice = event.map(|(tone, reason)| EventDraft {
        tone,
        reason,
        action: now.reason.to_string(),
        note: if is_in_ready && now.status != "True" {
            format!(
                "{type_} is {}: {}. The condition Ready says what was seen and what to do.",
                now.status, now.reason
            )
        } else {
            // The warnings have an event of their own.
            now.message.split(WORTH_A_LOOK).next().unwrap_or_default().to_owned()
        },
    });
    Some(Transition {
        condition: type_,
        tone: event.map_or(EventType::Normal, |(tone, _)| tone),
        reason: now.reason.to_string(),
        message: now.message.to_string(),
        notice,
    })
}

/// That the resource was suspended, or goes on.
fn suspension(before: Option<&Condition>, now: Option<&Condition>) -> Option<Transition> {
    let is_suspended =
        |ready: Option<&Condition>| ready.is_some_and(|ready| ready.reason == Reason::Suspended.as_str());
    let (reason, message) = match (is_suspended(before), is_suspended(now)) {
        (false, true) => (EventReason::Suspended, now?.message.to_string()),
        (true, false) => {
            let message = "spec.suspend is false again, so the resource is checked and written as before.";
            (EventReason::Resumed, message.to_owned())
        }
        _ => return None,
    };
    Some(Transition::of(EventDraft {
        tone: EventType::Normal,
        reason,
        action: reason.to_string(),
        note: message,
    }))
}

/// The warnings that were not there before, all of them in one event.
fn new_warnings(previous: Option<&Status>, current: &Status) -> Option<Transition> {
    let before = previous.map(|previous| names_of_warnings(&previous.checks)).unwrap_or_default();
    // A check that was skipped says nothing of whether the warning was there before.
    let was_skipped = |name: &str| {
        let mut checks = previous.into_iter().flat_map(|previous| &previous.checks);
        checks.any(|check| check.name == name && check.result == CheckResult::Skipped)
    };
    let mut new = names_of_warnings(&current.checks);
    new.retain(|name| !before.contains(name) && !was_skipped(name));
    let checks = current.checks.iter().filter(|check| new.contains(&check.name.as_str()));
    let words: Vec<_> = checks.map(|check| format!("{}: {}", check.name, check.message)).collect();
    if new.is_empty() {
        return None;
    }
    let note = format!("New: {}. status.checks says what was seen.", count_warnings(&new));
    let notice = EventDraft::warning(EventReason::CheckWarned, "Warn", note);
    Some(Transition { message: words.join(" "), ..Transition::of(notice) })
}

impl Transition {
    /// Of the resource as a whole.
    fn of(notice: EventDraft) -> Self {
        Self {
            condition: ConditionType::Ready,
            tone: notice.tone,
            reason: notice.action.clone(),
            message: notice.note.clone(),
            notice: Some(notice),
        }
    }
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
