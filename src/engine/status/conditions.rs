//! Derives the status of a resource from the outcome of a run. The functions are pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::engine::{
    CheckedInputs, Finding, Findings, Publication, RunVerdict,
    delivery::{Delivered, Progress},
};
use crate::{
    api::{CheckResult, ConditionType, Reason, Status, names::Resolution, status::SecretReference},
    problem::Problem,
};

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
        Self::new(
            type_,
            ConditionState::Unknown,
            Reason::NotChecked,
            format!("Not looked at, since {because} is not True."),
        )
    }

    fn broken(type_: ConditionType, problem: &Problem) -> Self {
        Self::new(type_, ConditionState::False, problem.reason, problem.message.clone())
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
    drafts.push(ready(&drafts, &facts.outcome));
    drafts.extend(progress(&drafts, &facts.outcome));
    let conditions = drafts
        .into_iter()
        .map(|draft| with_transition_time(draft, previous, facts.generation, now))
        .collect();
    let (checks, checked_inputs) = match &facts.outcome {
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
    Status {
        observed_generation: facts.generation,
        conditions,
        checks,
        checked_inputs,
        secret_ref,
        revision,
        previous_revision,
    }
}

/// The previous status, with the findings of a run that is still going on. A condition that was True and no
/// longer is, or about which nothing is known with these inputs, must not stay beside these findings: the process
/// may end before the run does, and the next process relies on this status.
pub fn noted(previous: &Status, facts: &StatusInputs<'_>, now: Timestamp) -> Status {
    let derived = derive(Some(previous), facts, now);
    let find = |conditions: &[Condition], type_: ConditionType| {
        conditions.iter().find(|condition| condition.type_ == type_.as_str()).cloned()
    };
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
    let Status { checks, checked_inputs, .. } = derived;
    Status { conditions, checks, checked_inputs, ..previous.clone() }
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

fn suspended(type_: ConditionType) -> ConditionDraft {
    ConditionDraft::new(
        type_,
        ConditionState::Unknown,
        Reason::Suspended,
        "Nothing is checked and no value is written while spec.suspend is true. Set it to false to go on.",
    )
}

fn accepted(facts: &StatusInputs<'_>) -> ConditionDraft {
    let type_ = ConditionType::Accepted;
    let delivered = facts.delivered;
    match (&facts.outcome, delivered.map(|delivered| &delivered.state)) {
        (Outcome::Suspended, _) => suspended(type_),
        (Outcome::NotAccepted(problem), _) | (_, Some(Progress::Superseded(problem))) => {
            ConditionDraft::broken(type_, problem)
        }
        (_, Some(Progress::Waits(words))) => ConditionDraft::new(
            type_,
            ConditionState::True,
            Reason::Valid,
            format!("The spec makes sense by itself. {words}"),
        ),
        _ => match delivered.and_then(|delivered| delivered.watched.as_ref()) {
            Some(words) => ConditionDraft::new(
                type_,
                ConditionState::True,
                Reason::Valid,
                format!("The spec makes sense by itself. {words}"),
            ),
            None => ConditionDraft::new(
                type_,
                ConditionState::True,
                Reason::Valid,
                "The spec makes sense by itself, and no older resource has its place.",
            ),
        },
    }
}

fn resolved(outcome: &Outcome<'_>) -> ConditionDraft {
    let type_ = ConditionType::ResolvedRefs;
    match outcome {
        Outcome::Suspended => suspended(type_),
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
        Outcome::Suspended => suspended(type_),
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
                "The same inputs passed before; re-check {failures} of {} that may fail in a row failed: {}: {}",
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
        format!("No check failed. Worth a look: {}", warnings.join(" "))
    }
}

fn published(facts: &StatusInputs<'_>) -> ConditionDraft {
    let type_ = ConditionType::Published;
    let secret = &facts.secret_name;
    match &facts.publication {
        None => match &facts.outcome {
            Outcome::NotAccepted(_) => ConditionDraft::not_checked(type_, ConditionType::Accepted),
            Outcome::Checked { .. } => ConditionDraft::not_checked(type_, ConditionType::Verified),
            _ => suspended(type_),
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
            _ => suspended(type_),
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

fn ready(drafts: &[ConditionDraft], outcome: &Outcome<'_>) -> ConditionDraft {
    let type_ = ConditionType::Ready;
    if matches!(outcome, Outcome::Suspended) {
        return suspended(type_);
    }
    match drafts.iter().find(|draft| draft.state != ConditionState::True) {
        None => {
            let is_delivered = drafts.iter().any(|draft| draft.type_ == ConditionType::RolledOut);
            let message =
                if is_delivered { "Verified, published and rolled out." } else { "Verified and published." };
            ConditionDraft::new(type_, ConditionState::True, Reason::Ready, message)
        }
        Some(draft) => ConditionDraft::new(
            type_,
            ConditionState::False,
            draft.reason,
            format!("{} is {}: {}", draft.type_, draft.state.as_str(), draft.message),
        ),
    }
}

/// `Stalled` where a person must act, `Reconciling` where the operator keeps trying, nothing where all is well.
fn progress(drafts: &[ConditionDraft], outcome: &Outcome<'_>) -> Option<ConditionDraft> {
    if matches!(outcome, Outcome::Suspended) {
        return None;
    }
    let cause = drafts.iter().find(|draft| draft.state != ConditionState::True)?;
    let is_held = matches!(outcome, Outcome::Checked { verdict: RunVerdict::Held(_), .. });
    let remedy = match cause.type_ {
        ConditionType::Verified if is_held => Resolution::Person,
        _ => cause.reason.remedy(),
    };
    Some(match remedy {
        Resolution::Person => ConditionDraft::new(
            ConditionType::Stalled,
            ConditionState::True,
            cause.reason,
            cause.message.clone(),
        ),
        Resolution::Retry => ConditionDraft::new(
            ConditionType::Reconciling,
            ConditionState::True,
            Reason::ProgressingWithRetry,
            cause.message.clone(),
        ),
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
    use crate::{api::CheckName, engine::status::events::notices};

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
            for notice in notices(None, &status) {
                lines.push(format!("  {:?} event {}", notice.tone, notice.reason));
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
            prop_assert!(notices(Some(&second), &third).is_empty());
            for condition in &second.conditions {
                let earlier = first.conditions.iter().find(|earlier| earlier.type_ == condition.type_);
                let flipped = earlier.is_none_or(|earlier| earlier.status != condition.status);
                prop_assert_eq!(condition.last_transition_time.0, at(if flipped { 2 } else { 1 }));
            }
        }
    }
}
