//! Every outcome with the status that follows from it.

use std::time::Duration;

use proptest::{prelude::*, sample::select};

use super::{
    super::{
        events::{Transition, transitions},
        reading::was_verified_once,
        warnings::count_warnings,
    },
    *,
};
use crate::{
    api::{CheckFrom, CheckName, CheckResult, Reason},
    engine::{CheckedInputs, Findings, RunVerdict, run_record::RunRecord},
    problem::Problem,
};

fn finding(result: CheckResult, reason: Reason) -> Finding {
    let message = "Seen this, expected that; do so.".into();
    Finding {
        name: CheckName::Bind,
        result,
        reason,
        message,
        duration: Duration::from_millis(7),
        from: CheckFrom::Operator,
    }
}

fn findings(result: CheckResult, reason: Reason) -> Findings {
    Findings { list: vec![finding(result, reason)], ..Findings::default() }
}

fn problem() -> Problem {
    Problem::new(Reason::SecretNotFound, "There is no Secret.")
}

fn theirs() -> Problem {
    Problem::new(Reason::SecretNotOwned, "The Secret is not this resource's.")
}

fn contradiction() -> Problem {
    Problem::new(Reason::InvalidSpec, "The spec contradicts itself.")
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
        ("not accepted", Outcome::NotAccepted(contradiction()), Some(Publication::Nothing)),
        ("not accepted, held", Outcome::NotAccepted(contradiction()), Some(Publication::Held)),
        ("undecodable", Outcome::NotAccepted(contradiction()), None),
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
        ("somebody else's Secret", passed(), Some(Publication::Refused(theirs()))),
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
    status.conditions.iter().any(|condition| condition.type_ == type_.as_str() && condition.status == wanted)
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
                notice.map(|notice| format!("  {:?} event {}: {}", notice.tone, notice.reason, notice.note)),
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
    for (wanted, publication, verified_once, expected) in [
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
        assert_eq!(was_verified_once(&noted), verified_once, "{wanted}");
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
fn a_reference_that_stays_missing_becomes_a_matter_for_a_person() {
    let missing = || facts(Outcome::Unresolved(problem()), Some(Publication::Nothing));
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let first = derive(None, &missing(), at(100));
    assert!(
        is(&first, ConditionType::ResolvedRefs, "False") && is(&first, ConditionType::Reconciling, "True")
    );
    let soon = derive(Some(&first), &missing(), at(114));
    assert!(is(&soon, ConditionType::Reconciling, "True") && !is(&soon, ConditionType::Stalled, "True"));
    let late = derive(Some(&soon), &missing(), at(115));
    assert!(is(&late, ConditionType::Stalled, "True") && !is(&late, ConditionType::Reconciling, "True"));
}

#[test]
fn a_suspended_resource_keeps_what_was_found() {
    for (name, outcome, publication) in situations().into_iter().filter(|(name, ..)| *name != "suspended") {
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
            !is(&after, ConditionType::Stalled, "True") && !is(&after, ConditionType::Reconciling, "True")
        );
        assert_eq!((&after.checks, after.warnings), (&before.checks, before.warnings), "{name}");
        let events: Vec<_> = transitions(Some(&before), &after).into_iter().map(|one| one.reason).collect();
        assert_eq!(events, ["Suspended"], "{name}");
    }
}

#[test]
fn no_sentence_is_told_more_than_twice() {
    for (name, outcome, publication) in situations() {
        let status = derive(None, &facts(outcome, publication), Timestamp::UNIX_EPOCH);
        let conditions = status.conditions.iter().map(|condition| condition.message.to_string());
        let checks = status.checks.iter().map(|check| check.message.to_string());
        let events = transitions(None, &status).into_iter().filter_map(|one| Some(one.notice?.note));
        let told: Vec<_> = conditions.chain(checks).chain(events).collect();
        let sentences = told.iter().flat_map(|text| text.split(". ")).map(|text| text.trim_end_matches('.'));
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
