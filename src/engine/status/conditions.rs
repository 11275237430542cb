//! The conditions, each with what it says. The functions are pure.

use jiff::Timestamp;

use super::{
    arrival::may_arrive,
    draft::{ConditionDraft, ConditionState},
    inputs::{Outcome, StatusInputs},
    warnings::{WORTH_A_LOOK, count_warnings},
};
use crate::api::{CheckResult, ConditionType, RECHECK_ANNOTATION, Reason, Status, names::Resolution};
use crate::engine::{Finding, Findings, Publication, RunVerdict, delivery::Progress};

pub(super) fn accepted(facts: &StatusInputs<'_>) -> ConditionDraft {
    let type_ = ConditionType::Accepted;
    let delivered = facts.delivered;
    match (&facts.outcome, delivered.map(|delivered| &delivered.state)) {
        (Outcome::Suspended, _) => ConditionDraft::suspended(type_),
        (Outcome::NotAccepted(problem), _) | (_, Some(Progress::Superseded(problem))) => {
            ConditionDraft::broken(type_, problem)
        }
        (_, Some(Progress::Waits(words))) => ConditionDraft::new(
            type_,
            ConditionState::True,
            Reason::Valid,
            format!("The spec is valid. {words}"),
        ),
        _ => match delivered.and_then(|delivered| delivered.watched.as_ref()) {
            Some(words) => ConditionDraft::new(
                type_,
                ConditionState::True,
                Reason::Valid,
                format!("The spec is valid. {words}"),
            ),
            None => ConditionDraft::new(
                type_,
                ConditionState::True,
                Reason::Valid,
                "The spec is valid, and no older resource has its place.",
            ),
        },
    }
}

pub(super) fn resolved(outcome: &Outcome<'_>) -> ConditionDraft {
    let type_ = ConditionType::ResolvedRefs;
    match outcome {
        Outcome::Suspended => ConditionDraft::suspended(type_),
        Outcome::NotAccepted(_) => ConditionDraft::not_checked(type_, ConditionType::Accepted),
        Outcome::Unresolved(problem) => ConditionDraft::broken(type_, problem),
        Outcome::Checked { .. } => ConditionDraft::new(
            type_,
            ConditionState::True,
            Reason::Resolved,
            "Every referenced key exists and parses.",
        ),
    }
}

pub(super) fn verified(facts: &StatusInputs<'_>) -> ConditionDraft {
    let type_ = ConditionType::Verified;
    match &facts.outcome {
        Outcome::Suspended => ConditionDraft::suspended(type_),
        Outcome::NotAccepted(_) => ConditionDraft::not_checked(type_, ConditionType::Accepted),
        Outcome::Unresolved(_) => ConditionDraft::not_checked(type_, ConditionType::ResolvedRefs),
        Outcome::Checked { verdict: RunVerdict::Passed, findings, .. } => ConditionDraft::new(
            type_,
            ConditionState::True,
            Reason::ChecksPassed,
            summary(findings, facts.looks),
        ),
        Outcome::Checked { verdict: RunVerdict::Tolerated { failure, failures }, .. } => ConditionDraft::new(
            type_,
            ConditionState::True,
            Reason::ChecksPassed,
            format!(
                "The same inputs passed before. Failed re-checks in a row: {failures}; this turns False after {}.{WORTH_A_LOOK}{}: {}",
                facts.threshold, failure.name, failure.message
            ),
        ),
        Outcome::Checked { verdict: RunVerdict::Pending(pending), .. } => ConditionDraft::new(
            type_,
            ConditionState::Unknown,
            pending.reason,
            format!("{}: {}", pending.name, pending.message),
        ),
        Outcome::Checked { verdict: RunVerdict::Failed(failure) | RunVerdict::Held(failure), .. } => {
            ConditionDraft::new(
                type_,
                ConditionState::False,
                failure.reason,
                format!("{}: {}", failure.name, failure.message),
            )
        }
    }
}

fn summary(findings: &Findings, looks: &[Finding]) -> String {
    let warnings: Vec<_> = findings
        .list
        .iter()
        .chain(looks)
        .filter(|finding| finding.result == CheckResult::Warning)
        .map(|finding| format!("{}: {}", finding.name, finding.message))
        .collect();
    if warnings.is_empty() {
        "No check failed.".to_owned()
    } else {
        format!("No check failed.{WORTH_A_LOOK}{}", warnings.join(" "))
    }
}

pub(super) fn published(facts: &StatusInputs<'_>) -> ConditionDraft {
    let type_ = ConditionType::Published;
    let secret = &facts.secret_name;
    match &facts.publication {
        None => match &facts.outcome {
            Outcome::NotAccepted(_) => ConditionDraft::not_checked(type_, ConditionType::Accepted),
            Outcome::Checked { .. } => ConditionDraft::not_checked(type_, ConditionType::Verified),
            _ => ConditionDraft::suspended(type_),
        },
        Some(Publication::Current) => ConditionDraft::new(
            type_,
            ConditionState::True,
            Reason::Published,
            format!("The Secret \"{secret}\" holds the current values."),
        ),
        Some(Publication::Unproven) => ConditionDraft::new(
            type_,
            ConditionState::True,
            Reason::PublishedUnverified,
            format!(
                "The Secret \"{secret}\" holds the current values, which are not verified; see Verified."
            ),
        ),
        Some(Publication::Held) => ConditionDraft::new(
            type_,
            ConditionState::False,
            Reason::HoldingLastVerified,
            format!(
                "The Secret \"{secret}\" keeps the last verified values until the current ones are verified; see the conditions before this one."
            ),
        ),
        Some(Publication::Withheld) => ConditionDraft::new(
            type_,
            ConditionState::False,
            Reason::NotYetVerified,
            format!("The Secret \"{secret}\" is not written before the values are verified; see Verified."),
        ),
        Some(Publication::Nothing) => {
            let because = match &facts.outcome {
                Outcome::Unresolved(_) => ConditionType::ResolvedRefs,
                _ => ConditionType::Accepted,
            };
            ConditionDraft::not_checked(type_, because)
        }
        Some(Publication::Refused(problem)) => ConditionDraft::broken(type_, problem),
    }
}

pub(super) fn rolled_out(facts: &StatusInputs<'_>) -> ConditionDraft {
    let type_ = ConditionType::RolledOut;
    let Some(delivered) = facts.delivered else {
        return match &facts.outcome {
            Outcome::NotAccepted(_) => ConditionDraft::not_checked(type_, ConditionType::Accepted),
            _ => ConditionDraft::suspended(type_),
        };
    };
    match &delivered.state {
        Progress::NotPublished => ConditionDraft::not_checked(type_, ConditionType::Published),
        Progress::RolledOut(message) => {
            ConditionDraft::new(type_, ConditionState::True, Reason::RolledOut, message)
        }
        Progress::Progressing(message) | Progress::AwaitsChecks(message) => {
            ConditionDraft::new(type_, ConditionState::False, Reason::Progressing, message)
        }
        Progress::RolledBack(message) => {
            ConditionDraft::new(type_, ConditionState::False, Reason::RolledBack, message)
        }
        Progress::NoWorkingRevision(message) => {
            ConditionDraft::new(type_, ConditionState::False, Reason::NoWorkingRevision, message)
        }
        Progress::Waits(_) => ConditionDraft::not_checked(type_, ConditionType::Verified),
        Progress::Superseded(_) => ConditionDraft::not_checked(type_, ConditionType::Accepted),
        Progress::Failed(problem) => ConditionDraft::broken(type_, problem),
    }
}

/// The first condition that is not True, which is what Ready speaks of.
fn cause(drafts: &[ConditionDraft]) -> Option<&ConditionDraft> {
    drafts.iter().find(|draft| draft.state != ConditionState::True)
}

pub(super) fn ready(
    drafts: &[ConditionDraft],
    facts: &StatusInputs<'_>,
    warnings: &[&str],
) -> ConditionDraft {
    let type_ = ConditionType::Ready;
    if matches!(facts.outcome, Outcome::Suspended) {
        let message = "Nothing is checked and no value is written while spec.suspend is true; the other conditions show the last result. Set it to false to go on.";
        return ConditionDraft::new(type_, ConditionState::Unknown, Reason::Suspended, message);
    }
    let Some(cause) = cause(drafts) else {
        let is_delivered = drafts.iter().any(|draft| draft.type_ == ConditionType::RolledOut);
        let done = if is_delivered { "Verified, published and rolled out" } else { "Verified and published" };
        let warnings =
            if warnings.is_empty() { String::new() } else { format!("; {}", count_warnings(warnings)) };
        return ConditionDraft::new(type_, ConditionState::True, Reason::Ready, format!("{done}{warnings}."));
    };
    let advice = match &facts.outcome {
        Outcome::Checked { verdict: RunVerdict::Held(_), .. } if cause.type_ == ConditionType::Verified => {
            format!(
                " Once the server has these credentials, let the operator try them once more: kubectl annotate {} {RECHECK_ANNOTATION}=\"$(date)\" --overwrite",
                facts.resource
            )
        }
        _ => String::new(),
    };
    let message = format!("{}: {}{advice}", cause.standing(), cause.message);
    ConditionDraft::new(type_, ConditionState::False, cause.reason, message)
}

/// Leaves a failed check's message to the check itself, and to Ready where Ready speaks of it.
pub(super) fn shorten(drafts: &mut [ConditionDraft], outcome: &Outcome<'_>) {
    let Outcome::Checked { verdict: RunVerdict::Failed(failure) | RunVerdict::Held(failure), .. } = outcome
    else {
        return;
    };
    let is_cause = cause(drafts).is_some_and(|cause| cause.type_ == ConditionType::Verified);
    let place = if is_cause { "The condition Ready and status.checks say" } else { "status.checks says" };
    for verified in drafts.iter_mut().filter(|draft| draft.type_ == ConditionType::Verified) {
        verified.message = format!("The check {} failed. {place} why.", failure.name);
    }
}

/// `Stalled` where a person must act, `Reconciling` where the operator keeps trying or something may still arrive,
/// nothing where all is well.
pub(super) fn progress(
    drafts: &[ConditionDraft],
    outcome: &Outcome<'_>,
    previous: Option<&Status>,
    (generation, now): (Option<i64>, Timestamp),
) -> Option<ConditionDraft> {
    if matches!(outcome, Outcome::Suspended) {
        return None;
    }
    let cause = cause(drafts)?;
    let is_held = matches!(outcome, Outcome::Checked { verdict: RunVerdict::Held(_), .. });
    let remedy = match cause.type_ {
        ConditionType::Verified if is_held => Resolution::Person,
        _ if may_arrive(cause, previous, generation, now) => Resolution::Retry,
        _ => cause.reason.remedy(),
    };
    let (standing, reason) = (cause.standing(), cause.reason);
    // `helm --wait` and Flux show these words and no others.
    let what = match outcome {
        Outcome::Checked { verdict: RunVerdict::Failed(failure) | RunVerdict::Held(failure), .. }
            if cause.type_ == ConditionType::Verified =>
        {
            format!("{standing}: {} failed ({reason})", failure.name)
        }
        _ => format!("{standing}: {reason}"),
    };
    Some(match remedy {
        Resolution::Person => {
            let message = format!("{what}. A person must act; the condition Ready says how.");
            ConditionDraft::new(ConditionType::Stalled, ConditionState::True, reason, message)
        }
        Resolution::Retry => {
            let how = if cause.reason.is_absence() {
                "It may still arrive; the condition Ready says what is missing."
            } else {
                "The operator goes on by itself; the condition Ready says more."
            };
            let type_ = ConditionType::Reconciling;
            let message = format!("{what}. {how}");
            ConditionDraft::new(type_, ConditionState::True, Reason::ProgressingWithRetry, message)
        }
    })
}
