//! Derives the status of a resource from the outcome of a run. The functions are pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    conditions::{accepted, progress, published, ready, resolved, rolled_out, shorten, verified},
    draft::{ConditionDraft, ConditionState},
    inputs::{Destination, Outcome, StatusInputs},
    reading::find,
    warnings::{names_of_warnings, number_of_warnings},
};
use crate::api::{CheckStatus, Condition, ConditionType, Status, status::SecretReference};
use crate::engine::{
    Finding, Publication,
    delivery::{Delivered, Progress},
};

/// The status that follows from these inputs.
///
/// A condition keeps the times of the previous status unless its `status` value changed, so that equal inputs
/// give an equal status and no write.
pub fn derive(previous: Option<&Status>, facts: &StatusInputs<'_>, now: Timestamp) -> Status {
    let mut drafts = vec![accepted(facts), resolved(&facts.outcome), verified(facts), published(facts)];
    if facts.destination == Destination::Target {
        drafts.push(rolled_out(facts));
    }
    let (checks, checked_inputs): (Vec<_>, _) = match &facts.outcome {
        Outcome::Checked { findings, checked_inputs, .. } => {
            let findings = findings.list.iter().chain(facts.looks);
            (findings.map(Finding::status).collect(), Some(checked_inputs.to_string()))
        }
        // The findings of the last run stay, with the inputs that they are about: a restart must not forget a
        // refusal.
        Outcome::Suspended | Outcome::NotAccepted(_) | Outcome::Unresolved(_) => previous
            .map(|previous| (previous.checks.clone(), previous.checked_inputs.clone()))
            .unwrap_or_default(),
    };
    let warnings = names_of_warnings(&checks);
    drafts.push(ready(&drafts, facts, &warnings));
    drafts.extend(progress(&drafts, &facts.outcome, previous, (facts.generation, now)));
    shorten(&mut drafts, &facts.outcome);
    let kept = |draft: &ConditionDraft| {
        let stays = matches!(facts.outcome, Outcome::Suspended) && draft.type_ != ConditionType::Ready;
        previous.filter(|_| stays).and_then(|previous| find(&previous.conditions, draft.type_))
    };
    let dated =
        |draft| kept(&draft).unwrap_or_else(|| with_transition_time(draft, previous, facts.generation, now));
    let conditions = drafts.into_iter().map(dated).collect();
    let secret_ref = match &facts.publication {
        Some(Publication::Current | Publication::Unproven | Publication::Held) => {
            Some(SecretReference { name: facts.secret_name.clone() })
        }
        Some(_) => None,
        None => previous.and_then(|previous| previous.secret_ref.clone()),
    };
    let (revision, previous_revision) = match facts.delivered {
        // The target was not looked at, so the condition keeps what is known.
        Some(Delivered { state: Progress::Failed(_), revision: None, .. }) | None => previous
            .filter(|_| facts.destination == Destination::Target)
            .map(|previous| (previous.revision, previous.previous_revision))
            .unwrap_or_default(),
        Some(delivered) => (delivered.revision, delivered.previous),
    };
    let status = Status {
        observed_generation: facts.generation,
        conditions,
        warnings: number_of_warnings(&checks),
        checks,
        checked_inputs,
        secret_ref,
        revision,
        previous_revision,
        ..Status::default()
    };
    facts.record.complete(status, previous)
}

/// The previous status, with the findings of a run that is still going on. A condition that was True and no
/// longer is, or about which nothing is known with these inputs, must not stay beside these findings: the process
/// may end before the run does, and the next process relies on this status.
pub fn noted(previous: &Status, facts: &StatusInputs<'_>, now: Timestamp) -> Status {
    let mut derived = derive(Some(previous), facts, now);
    let checked = std::mem::take(&mut derived.checks);
    let is_at_target =
        |check: &&CheckStatus| Finding::from_status(check).is_some_and(|it| it.name.looks_at_target());
    let at_target = previous.checks.iter().filter(is_at_target).cloned();
    let checks: Vec<_> = checked.into_iter().chain(at_target).collect();
    let mut conditions = previous.conditions.clone();
    for type_ in [ConditionType::Verified, ConditionType::Published, ConditionType::Ready] {
        let found =
            find(&derived.conditions, type_).filter(|found| found.status != ConditionState::True.as_str());
        let told = conditions
            .iter_mut()
            .find(|told| told.type_ == type_.as_str() && told.status == ConditionState::True.as_str());
        let (Some(found), Some(told)) = (found, told) else { continue };
        *told = found;
        if type_ == ConditionType::Ready {
            let progress = [ConditionType::Stalled, ConditionType::Reconciling];
            conditions.extend(progress.into_iter().filter_map(|type_| find(&derived.conditions, type_)));
        }
    }
    Status {
        observed_generation: previous.observed_generation,
        conditions,
        secret_ref: previous.secret_ref.clone(),
        last_published_time: previous.last_published_time.clone(),
        revision: previous.revision,
        previous_revision: previous.previous_revision,
        // Who waits for these waits for the end of the run.
        last_handled_recheck: previous.last_handled_recheck.clone(),
        observed_references: previous.observed_references.clone(),
        server_pod: previous.server_pod.clone(),
        // The target is looked at once the checks are over.
        warnings: number_of_warnings(&checks),
        checks,
        ..derived
    }
}

fn with_transition_time(
    draft: ConditionDraft,
    previous: Option<&Status>,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let type_ = draft.type_.as_str();
    let status = draft.state.as_str();
    let since = previous
        .into_iter()
        .flat_map(|previous| &previous.conditions)
        .find(|condition| condition.type_ == type_ && condition.status == status)
        .map_or(Time(now), |condition| condition.last_transition_time.clone());
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: draft.reason.as_str().into(),
        message: draft.message.into(),
        last_transition_time: since,
        observed_generation: generation,
    }
}

#[cfg(test)]
mod tests;
