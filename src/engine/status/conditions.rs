//! Derives the status of a resource from the outcome of a run. The functions are pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::engine::{
    CheckedInputs, Finding, Findings, Publication, RunVerdict,
    delivery::{Delivered, Progress},
    run_record::RunRecord,
};
use crate::{
    api::{
        CheckResult, CheckStatus, ConditionType, RECHECK_ANNOTATION, Reason, Status, names::Resolution,
        status::SecretReference,
    },
    problem::Problem,
};

/// Precedes the messages of checks in the condition Verified where that is True.
pub(in crate::engine) const WORTH_A_LOOK: &str = " Worth a look: ";

/// What a run came to.
pub enum Outcome<'a> {
    /// `spec.suspend` is true: nothing was looked at.
    Suspended,
    /// The spec does not make sense by itself.
    NotAccepted(Problem),
    /// A reference leads to nothing usable.
    Unresolved(Problem),
    /// The checks ran, now or earlier with the same inputs.
    Checked {
        /// How the findings count.
        verdict: RunVerdict,
        /// Every finding.
        findings: &'a Findings,
        /// What the findings speak of.
        checked_inputs: CheckedInputs,
    },
}

/// Everything that the status is derived from, beside the status before.
pub struct StatusInputs<'a> {
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// What the run came to.
    pub outcome: Outcome<'a>,
    /// What became of the Secret; nothing is known of it where it was not looked at.
    pub publication: Option<Publication>,
    /// What became of the values at the target, where there is one and it was looked at.
    pub delivered: Option<&'a Delivered>,
    /// Whether the spec has a target.
    pub destination: Destination,
    /// The findings about the target.
    pub looks: &'a [Finding],
    /// Name of the published Secret.
    pub secret_name: String,
    /// `spec.failureThreshold`.
    pub threshold: u32,
    /// What the run did, and when.
    pub record: RunRecord,
    /// The resource as arguments of kubectl, such as `ldap corp -n wandb`.
    pub resource: String,
}

/// Where the values of a resource go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Into the Secret alone.
    Secret,
    /// Into the Secret, and from there to a target.
    Target,
}

/// A condition without its times.
struct ConditionDraft {
    type_: ConditionType,
    state: ConditionState,
    reason: Reason,
    message: String,
}

#[derive(Clone, Copy, PartialEq)]
enum ConditionState {
    True,
    False,
    Unknown,
}

impl ConditionState {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl ConditionDraft {
    fn new(type_: ConditionType, state: ConditionState, reason: Reason, message: impl Into<String>) -> Self {
        Self { type_, state, reason, message: message.into() }
    }

    fn not_checked(type_: ConditionType, because: ConditionType) -> Self {
        let message = format!("{}, since {because} is not True.", left_undone(type_));
        Self::new(type_, ConditionState::Unknown, Reason::NotChecked, message)
    }

    /// Of a resource that was suspended before anything was found out.
    fn suspended(type_: ConditionType) -> Self {
        let message = format!("{}, since spec.suspend is true.", left_undone(type_));
        Self::new(type_, ConditionState::Unknown, Reason::Suspended, message)
    }

    fn broken(type_: ConditionType, problem: &Problem) -> Self {
        Self::new(type_, ConditionState::False, problem.reason, problem.message.clone())
    }

    /// The condition and its status, as a beginning of a sentence.
    fn standing(&self) -> String {
        format!("{} is {}", self.type_, self.state.as_str())
    }
}

/// What did not happen where a condition says nothing: a sentence of its own for each.
fn left_undone(type_: ConditionType) -> &'static str {
    match type_ {
        ConditionType::ResolvedRefs => "No reference was followed",
        ConditionType::Verified => "No check was made",
        ConditionType::Published => "The Secret was not written",
        ConditionType::RolledOut => "Nothing was delivered",
        _ => "The spec was not looked at",
    }
}

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
    drafts.extend(progress(&drafts, &facts.outcome));
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

fn find(conditions: &[Condition], type_: ConditionType) -> Option<Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str()).cloned()
}

/// The checks that work and deserve a look.
pub(in crate::engine) fn names_of_warnings(checks: &[CheckStatus]) -> Vec<&str> {
    let warnings = checks.iter().filter(|check| check.result == CheckResult::Warning);
    warnings.map(|check| check.name.as_str()).collect()
}

/// The number of warnings; `None` where no check was made.
fn number_of_warnings(checks: &[CheckStatus]) -> Option<u32> {
    u32::try_from(names_of_warnings(checks).len()).ok().filter(|_| !checks.is_empty())
}

/// How many warnings are named.
const NAMED_WARNINGS: usize = 5;

/// The number of warnings, and the names of the first.
pub(in crate::engine) fn count_warnings(names: &[&str]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let first: Vec<_> = names.iter().take(NAMED_WARNINGS).copied().collect();
    let more = names.len().saturating_sub(NAMED_WARNINGS);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{} warning{plural}: {}{more}", names.len(), first.join(", "))
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
        // The target is looked at once the checks are over.
        warnings: number_of_warnings(&checks),
        checks,
        ..derived
    }
}

/// Whether a status says that the resource is suspended.
pub fn is_suspended(status: &Status) -> bool {
    find(&status.conditions, ConditionType::Ready)
        .is_some_and(|ready| ready.reason == Reason::Suspended.as_str())
}

/// Whether a status tells that no check counts as failed.
pub fn is_verified(status: &Status) -> bool {
    true_reason(status, ConditionType::Verified).is_some()
}

/// Whether a status tells that the inputs it speaks of passed at some time.
pub fn is_proven(status: &Status) -> bool {
    is_verified(status) || true_reason(status, ConditionType::Published) == Some(Reason::Published.as_str())
}

/// The reason of a condition that is True.
fn true_reason(status: &Status, type_: ConditionType) -> Option<&str> {
    let is_meant = |condition: &&Condition| {
        condition.type_ == type_.as_str() && condition.status == ConditionState::True.as_str()
    };
    status.conditions.iter().find(is_meant).map(|condition| condition.reason.as_str())
}

fn accepted(facts: &StatusInputs<'_>) -> ConditionDraft {
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

fn resolved(outcome: &Outcome<'_>) -> ConditionDraft {
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

fn verified(facts: &StatusInputs<'_>) -> ConditionDraft {
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

fn published(facts: &StatusInputs<'_>) -> ConditionDraft {
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

fn rolled_out(facts: &StatusInputs<'_>) -> ConditionDraft {
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

fn ready(drafts: &[ConditionDraft], facts: &StatusInputs<'_>, warnings: &[&str]) -> ConditionDraft {
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
fn shorten(drafts: &mut [ConditionDraft], outcome: &Outcome<'_>) {
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

/// `Stalled` where a person must act, `Reconciling` where the operator keeps trying, nothing where all is well.
fn progress(drafts: &[ConditionDraft], outcome: &Outcome<'_>) -> Option<ConditionDraft> {
    if matches!(outcome, Outcome::Suspended) {
        return None;
    }
    let cause = cause(drafts)?;
    let is_held = matches!(outcome, Outcome::Checked { verdict: RunVerdict::Held(_), .. });
    let remedy = match cause.type_ {
        ConditionType::Verified if is_held => Resolution::Person,
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
            let message = format!("{what}. The operator goes on by itself; the condition Ready says more.");
            ConditionDraft::new(
                ConditionType::Reconciling,
                ConditionState::True,
                Reason::ProgressingWithRetry,
                message,
            )
        }
    })
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
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: draft.reason.to_string(),
        message: draft.message,
        last_transition_time: since,
        observed_generation: generation,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::{
        api::CheckName,
        engine::status::events::{Transition, transitions},
    };

    fn finding(result: CheckResult, reason: Reason) -> Finding {
        let message = "Seen this, expected that; do so.".to_owned();
        Finding { name: CheckName::Bind, result, reason, message, duration: Duration::from_millis(7) }
    }

    fn findings(result: CheckResult, reason: Reason) -> Findings {
        Findings { list: vec![finding(result, reason)], ..Findings::default() }
    }

    fn problem() -> Problem {
        Problem::new(Reason::SecretNotFound, "There is no Secret.")
    }

    /// Every outcome with the publications that can go with it.
    fn situations() -> Vec<(&'static str, Outcome<'static>, Option<Publication>)> {
        fn checked(verdict: RunVerdict, result: CheckResult, reason: Reason) -> Outcome<'static> {
            let findings = Box::leak(Box::new(findings(result, reason)));
            Outcome::Checked { verdict, findings, checked_inputs: CheckedInputs::from("spec=3") }
        }
        let refused = || finding(CheckResult::Failed, Reason::InvalidCredentials);
        let down = || finding(CheckResult::Failed, Reason::ConnectionRefused);
        let passed = || checked(RunVerdict::Passed, CheckResult::Passed, Reason::Passed);
        let failed = || checked(RunVerdict::Held(refused()), CheckResult::Failed, Reason::InvalidCredentials);
        let unanswered = || finding(CheckResult::Failed, Reason::TimedOut);
        vec![
            ("suspended", Outcome::Suspended, None),
            ("not accepted", Outcome::NotAccepted(problem()), Some(Publication::Nothing)),
            ("not accepted, held", Outcome::NotAccepted(problem()), Some(Publication::Held)),
            ("undecodable", Outcome::NotAccepted(problem()), None),
            ("unresolved", Outcome::Unresolved(problem()), Some(Publication::Nothing)),
            ("ready", passed(), Some(Publication::Current)),
            (
                "warned",
                checked(RunVerdict::Passed, CheckResult::Warning, Reason::Unencrypted),
                Some(Publication::Current),
            ),
            (
                "tolerated",
                checked(
                    RunVerdict::Tolerated { failure: down(), failures: 1 },
                    CheckResult::Failed,
                    Reason::ConnectionRefused,
                ),
                Some(Publication::Current),
            ),
            (
                "outage",
                checked(RunVerdict::Failed(down()), CheckResult::Failed, Reason::ConnectionRefused),
                Some(Publication::Current),
            ),
            (
                "outage, published all the same",
                checked(RunVerdict::Failed(down()), CheckResult::Failed, Reason::ConnectionRefused),
                Some(Publication::Unproven),
            ),
            ("refused", failed(), Some(Publication::Withheld)),
            ("refused, held", failed(), Some(Publication::Held)),
            (
                "unanswered credentials",
                checked(RunVerdict::Held(unanswered()), CheckResult::Failed, Reason::TimedOut),
                Some(Publication::Withheld),
            ),
            ("somebody else's Secret", passed(), Some(Publication::Refused(problem()))),
        ]
    }

    fn facts(outcome: Outcome<'static>, publication: Option<Publication>) -> StatusInputs<'static> {
        StatusInputs {
            generation: Some(3),
            outcome,
            publication,
            delivered: None,
            destination: Destination::Secret,
            looks: &[],
            secret_name: "corp-ldap".to_owned(),
            threshold: 3,
            record: RunRecord::default(),
            resource: "ldap corp -n wandb".to_owned(),
        }
    }

    fn is(status: &Status, type_: ConditionType, wanted: &str) -> bool {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == type_.as_str() && condition.status == wanted)
    }

    #[test]
    fn every_situation_has_its_conditions() {
        let mut lines = Vec::new();
        for (name, outcome, publication) in situations() {
            let status = derive(None, &facts(outcome, publication), Timestamp::UNIX_EPOCH);
            lines.push(name.to_owned());
            for Condition { type_, status, reason, message, .. } in &status.conditions {
                lines.push(format!("  {type_}={status} {reason}: {message}"));
            }
            for Transition { notice, .. } in transitions(None, &status) {
                lines.extend(
                    notice.map(|notice| {
                        format!("  {:?} event {}: {}", notice.tone, notice.reason, notice.note)
                    }),
                );
            }
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_is_noted_of_other_inputs_leaves_nothing_true_that_was_so_of_the_ones_before() {
        let situation = |wanted: &str, publication: Option<Publication>| {
            let mut situations = situations().into_iter();
            let (_, outcome, _) = situations.find(|(name, ..)| *name == wanted).unwrap();
            facts(outcome, publication)
        };
        let ready = derive(None, &situation("ready", Some(Publication::Current)), Timestamp::UNIX_EPOCH);
        let says = |status: &Status| {
            let conditions = status.conditions.iter();
            let skipped = ["Accepted", "ResolvedRefs"];
            let told = conditions.filter(|condition| !skipped.contains(&condition.type_.as_str()));
            told.map(|condition| format!("{}={} {}", condition.type_, condition.status, condition.reason))
                .collect::<Vec<_>>()
        };
        let failed = ["Verified=False InvalidCredentials", "Ready=False InvalidCredentials"];
        for (wanted, publication, proven, expected) in [
            (
                "refused",
                None,
                false,
                vec![failed[0], "Published=Unknown NotChecked", failed[1], "Stalled=True InvalidCredentials"],
            ),
            (
                "refused",
                Some(Publication::Current),
                true,
                vec![failed[0], "Published=True Published", failed[1], "Stalled=True InvalidCredentials"],
            ),
            (
                "tolerated",
                Some(Publication::Current),
                true,
                vec!["Verified=True ChecksPassed", "Published=True Published", "Ready=True Ready"],
            ),
        ] {
            let noted = noted(&ready, &situation(wanted, publication), Timestamp::UNIX_EPOCH);
            assert_eq!(says(&noted), expected, "{wanted}");
            assert_eq!(is_proven(&noted), proven, "{wanted}");
            assert_eq!(noted.secret_ref, ready.secret_ref, "{wanted}");
        }
        let nothing = noted(&Status::default(), &situation("refused", None), Timestamp::UNIX_EPOCH);
        assert!(nothing.conditions.is_empty() && !nothing.checks.is_empty(), "the run's end tells the rest");
    }

    #[test]
    fn names_a_few_warnings_and_counts_the_rest() {
        for (count, expected) in [
            (1, "1 warning: 0"),
            (2, "2 warnings: 0, 1"),
            (5, "5 warnings: 0, 1, 2, 3, 4"),
            (7, "7 warnings: 0, 1, 2, 3, 4 and 2 more"),
        ] {
            let names: Vec<_> = ["0", "1", "2", "3", "4", "5", "6"].into_iter().take(count).collect();
            assert_eq!(count_warnings(&names), expected);
        }
    }

    #[test]
    fn a_suspended_resource_keeps_what_was_found() {
        for (name, outcome, publication) in situations().into_iter().filter(|(name, ..)| *name != "suspended")
        {
            let before = derive(None, &facts(outcome, publication), Timestamp::UNIX_EPOCH);
            let mut suspended = facts(Outcome::Suspended, None);
            suspended.generation = Some(4);
            let after = derive(Some(&before), &suspended, Timestamp::UNIX_EPOCH);
            for condition in &after.conditions {
                match condition.type_.as_str() {
                    "Ready" => assert_eq!(
                        (condition.reason.as_str(), condition.observed_generation),
                        ("Suspended", Some(4))
                    ),
                    _ => assert!(before.conditions.contains(condition), "{name}: {condition:?}"),
                }
            }
            assert!(
                !is(&after, ConditionType::Stalled, "True")
                    && !is(&after, ConditionType::Reconciling, "True")
            );
            assert_eq!((&after.checks, after.warnings), (&before.checks, before.warnings), "{name}");
            let events: Vec<_> =
                transitions(Some(&before), &after).into_iter().map(|one| one.reason).collect();
            assert_eq!(events, ["Suspended"], "{name}");
        }
    }

    #[test]
    fn no_sentence_is_told_more_than_twice() {
        for (name, outcome, publication) in situations() {
            let status = derive(None, &facts(outcome, publication), Timestamp::UNIX_EPOCH);
            let conditions = status.conditions.iter().map(|condition| condition.message.clone());
            let checks = status.checks.iter().map(|check| check.message.clone());
            let events = transitions(None, &status).into_iter().filter_map(|one| Some(one.notice?.note));
            let told: Vec<_> = conditions.chain(checks).chain(events).collect();
            let sentences =
                told.iter().flat_map(|text| text.split(". ")).map(|text| text.trim_end_matches('.'));
            for sentence in sentences.filter(|sentence| sentence.len() > 20) {
                let count = told.iter().map(|text| text.matches(sentence).count()).sum::<usize>();
                assert!(count <= 2, "{name}: {count} times {sentence}");
            }
        }
    }

    #[test]
    fn conditions_keep_the_rules_that_tools_rely_on() {
        for (name, outcome, publication) in situations() {
            let status = derive(None, &facts(outcome, publication), Timestamp::UNIX_EPOCH);
            let ready = is(&status, ConditionType::Ready, "True");
            let stalled = is(&status, ConditionType::Stalled, "True");
            let reconciling = is(&status, ConditionType::Reconciling, "True");
            assert!(!(stalled && reconciling), "{name}");
            assert!(!(ready && (stalled || reconciling)), "{name}");
            let all = [
                ConditionType::Accepted,
                ConditionType::ResolvedRefs,
                ConditionType::Verified,
                ConditionType::Published,
            ];
            assert_eq!(ready, all.into_iter().all(|type_| is(&status, type_, "True")), "{name}");
            assert!(status.conditions.iter().all(|condition| !condition.message.is_empty()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn equal_facts_give_an_equal_status_and_no_event(
            before in select((0..situations().len()).collect::<Vec<_>>()),
            after in select((0..situations().len()).collect::<Vec<_>>()),
        ) {
            let at = |seconds| Timestamp::from_second(seconds).unwrap();
            let derive_at = |previous: Option<&Status>, index: usize, seconds| {
                let (_, outcome, publication) = situations().swap_remove(index);
                derive(previous, &facts(outcome, publication), at(seconds))
            };
            let first = derive_at(None, before, 1);
            let second = derive_at(Some(&first), after, 2);
            let third = derive_at(Some(&second), after, 3);
            prop_assert_eq!(&third, &second);
            prop_assert!(transitions(Some(&second), &third).is_empty());
            for condition in &second.conditions {
                let earlier = first.conditions.iter().find(|earlier| earlier.type_ == condition.type_);
                let flipped = earlier.is_none_or(|earlier| earlier.status != condition.status);
                prop_assert_eq!(condition.last_transition_time.0, at(if flipped { 2 } else { 1 }));
            }
        }
    }
}
