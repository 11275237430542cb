//! How findings count, and when the checks are repeated.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::{
    super::schedule::{FIRST_RETRY, OVERDUE_RETRY, SELDOM},
    *,
};
use crate::{
    api::{CheckFrom, CheckName, CheckResult, Condition, ConditionType, Reason, Status},
    engine::{Account, CheckedInputs},
    text::Text,
};

const SCHEDULE: Schedule =
    Schedule { interval: Duration::from_mins(5), retry: Duration::from_mins(5), threshold: 3 };

fn check_key(inputs: u64) -> CheckKey {
    let inputs = InputsHash::from(inputs);
    CheckKey { inputs, spec: inputs, recheck: None, dependency_readiness: Vec::new(), requests: Vec::new() }
}

fn findings(name: CheckName, reason: Option<Reason>) -> Findings {
    let (result, reason) = match reason {
        Some(reason) => (CheckResult::Failed, reason),
        None => (CheckResult::Passed, Reason::Passed),
    };
    let message = "".into();
    let finding =
        Finding { name, result, reason, message, duration: Duration::ZERO, from: CheckFrom::Operator };
    Findings { list: vec![finding], account: Account::Named, ..Findings::default() }
}

fn outcome(findings: Findings) -> CheckOutcome<()> {
    CheckOutcome { findings, evidence: (), refusal: None, usage: Usage::default() }
}

fn run(previous: Option<&CheckHistory<()>>, inputs: u64, reason: Option<Reason>) -> CheckHistory<()> {
    run_check(previous, inputs, (CheckName::TcpConnects, reason))
}

fn bind(previous: Option<&CheckHistory<()>>, inputs: u64, reason: Option<Reason>) -> CheckHistory<()> {
    run_check(previous, inputs, (CheckName::Bind, reason))
}

fn run_check(
    previous: Option<&CheckHistory<()>>,
    inputs: u64,
    (name, reason): (CheckName, Option<Reason>),
) -> CheckHistory<()> {
    let findings = findings(name, reason);
    CheckHistory::record(previous, check_key(inputs), outcome(findings), Renewal::Never, 0.0, Instant::now())
}

#[test]
fn proven_inputs_are_given_the_threshold() {
    let passed = run(None, 1, None);
    let once = run(Some(&passed), 1, Some(Reason::ConnectionRefused));
    assert!(matches!(once.verdict(3), RunVerdict::Tolerated { failures: 1, .. }));
    let twice = run(Some(&once), 1, Some(Reason::ConnectionRefused));
    assert!(matches!(twice.verdict(3), RunVerdict::Tolerated { failures: 2, .. }));
    let thrice = run(Some(&twice), 1, Some(Reason::ConnectionRefused));
    assert!(matches!(thrice.verdict(3), RunVerdict::Failed(_)));
    assert!(thrice.verified_once, "the values stay proven, so that the Secret can still be repaired");
    assert_eq!(run(Some(&thrice), 1, None).verdict(3), RunVerdict::Passed);
}

#[test]
fn a_rejected_client_is_not_tried_sooner_than_the_interval() {
    let rejected = run(None, 1, Some(Reason::ClientRejected));
    let wait = rejected.wait(SCHEDULE, rejected.checked_at.unwrap());
    assert_eq!(wait, Some(SCHEDULE.interval));
    assert!(!rejected.answers(&check_key(2), SCHEDULE, Instant::now()));
}

#[test]
fn changed_inputs_count_at_once() {
    let passed = run(None, 1, None);
    let changed = run(Some(&passed), 2, Some(Reason::ConnectionRefused));
    assert!(matches!(changed.verdict(3), RunVerdict::Failed(_)));
    assert!(!changed.verified_once);
}

#[test]
fn refused_credentials_count_at_once_and_are_never_due() {
    let passed = run(None, 1, None);
    let refused = bind(Some(&passed), 1, Some(Reason::InvalidCredentials));
    assert!(matches!(refused.verdict(3), RunVerdict::Held(_)));
    let much_later = Instant::now() + Duration::from_secs(1_000_000);
    assert_eq!(refused.wait(SCHEDULE, much_later), None);
    assert!(refused.answers(&check_key(1), SCHEDULE, much_later));
    assert!(!refused.answers(&check_key(2), SCHEDULE, much_later));
    let asked = CheckKey { recheck: Some("now".into()), ..check_key(1) };
    assert!(!refused.answers(&asked, SCHEDULE, much_later));
}

#[test]
fn a_request_that_was_not_there_before_makes_checks_due() {
    let asked = |requests: &[&str]| CheckKey {
        requests: requests.iter().map(|request| (*request).to_owned()).collect(),
        ..check_key(1)
    };
    let known = CheckHistory { check_key: asked(&["a"]), ..run(None, 1, None) };
    for (requests, is_answered) in [(&["a"][..], true), (&[], true), (&["b"], false), (&["a", "b"], false)] {
        assert_eq!(known.answers(&asked(requests), SCHEDULE, Instant::now()), is_answered, "{requests:?}");
    }
}

#[test]
fn no_answer_to_credentials_but_yes_is_repeated_on_the_interval() {
    for (reason, fresh, verified_once) in [
        // Refused credentials are held, whatever the reason.
        (Reason::InvalidCredentials, None, None),
        (Reason::AccountLocked, None, None),
        (Reason::OperationRefused, None, None),
        (Reason::ConfidentialityRequired, None, None),
        (Reason::Referral, None, None),
        // Credentials with an unclear answer are held, unless the same ones passed before.
        (Reason::TimedOut, None, Some(SELDOM)),
        (Reason::ConnectionClosed, None, Some(SELDOM)),
        (Reason::ProtocolError, None, Some(SELDOM)),
        (Reason::ResponseTooLarge, None, Some(SELDOM)),
        // A server that cannot judge them has not counted them.
        (Reason::ServerUnavailable, Some(SELDOM), Some(SELDOM)),
        // A server that refused the handshake has not received them.
        (Reason::TlsHandshakeFailed, Some(FIRST_RETRY), Some(SCHEDULE.interval)),
    ] {
        let wait = |history: &CheckHistory<()>| history.wait(SCHEDULE, history.checked_at.unwrap());
        assert_eq!(wait(&bind(None, 1, Some(reason))), fresh, "{reason}");
        let passed = bind(None, 1, None);
        assert_eq!(wait(&bind(Some(&passed), 1, Some(reason))), verified_once, "{reason}");
    }
    // Credentials that were not sent, or that belong to no account, lock nobody out.
    let not_sent = bind(None, 1, Some(Reason::ConnectionFailed));
    assert_eq!(SCHEDULE.delay(&not_sent), FIRST_RETRY);
    let mut anonymous = bind(None, 1, Some(Reason::TimedOut));
    anonymous.findings.account = Account::Anonymous;
    assert_eq!(SCHEDULE.delay(&anonymous), FIRST_RETRY);
}

#[test]
fn an_outage_that_hides_the_answer_counts_at_its_second_run() {
    let passed = bind(None, 1, None);
    let once = bind(Some(&passed), 1, Some(Reason::ConnectionClosed));
    assert!(matches!(once.verdict(3), RunVerdict::Tolerated { failures: 1, .. }));
    let twice = bind(Some(&once), 1, Some(Reason::ConnectionClosed));
    assert!(matches!(twice.verdict(3), RunVerdict::Failed(_)));
    assert!(twice.verified_once);
}

#[test]
fn a_shorter_interval_counts_from_the_last_run() {
    let passed = run(None, 1, None);
    let soon = Instant::now() + Duration::from_mins(1);
    assert!(passed.answers(&check_key(1), SCHEDULE, soon));
    let shorter = Schedule { interval: Duration::from_secs(10), retry: Duration::from_secs(10), ..SCHEDULE };
    assert!(!passed.answers(&check_key(1), shorter, soon));
}

#[test]
fn values_that_do_not_last_are_renewed_in_time_and_failures_count_at_once() {
    let now = Instant::now();
    let soon = Renewal::At(now + Duration::from_mins(1));
    let record = |previous: Option<&CheckHistory<()>>, reason, renewal| {
        let findings = findings(CheckName::TokenObtained, reason);
        CheckHistory::record(previous, check_key(1), outcome(findings), renewal, 0.0, now)
    };
    let fresh = record(None, None, soon);
    assert_eq!(fresh.wait(SCHEDULE, now), Some(Duration::from_mins(1)));
    assert!(!fresh.answers(&check_key(1), SCHEDULE, now + Duration::from_mins(1)));
    let overdue = record(Some(&fresh), Some(Reason::ServerUnavailable), Renewal::Overdue);
    assert!(matches!(overdue.verdict(3), RunVerdict::Failed(_)));
    assert!(overdue.verified_once, "the values that were published stay");
    assert_eq!(overdue.wait(SCHEDULE, now), Some(FIRST_RETRY));
    let for_long = (0..20).fold(overdue, |previous, _| {
        record(Some(&previous), Some(Reason::ServerUnavailable), Renewal::Overdue)
    });
    assert_eq!(for_long.wait(SCHEDULE, now), Some(OVERDUE_RETRY));
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let asked = Findings {
        pause: Some(Duration::from_mins(10)),
        ..findings(CheckName::KeyAccepted, Some(Reason::RateLimited))
    };
    let now = Instant::now();
    let limited = CheckHistory::record(None, check_key(1), outcome(asked), Renewal::Never, 0.0, now);
    assert_eq!(limited.wait(SCHEDULE, now), Some(Duration::from_mins(10)));
}

#[test]
fn a_refused_change_disproves_nothing_and_is_asked_for_again_after_an_hour() {
    let now = Instant::now();
    let refused = |previous: Option<&CheckHistory<()>>, at| {
        let findings = findings(CheckName::KeyRotation, Some(Reason::KeyCreationForbidden));
        let refusal = findings.failure().cloned();
        let outcome = CheckOutcome { findings, evidence: (), refusal, usage: Usage::default() };
        CheckHistory::record(previous, check_key(1), outcome, Renewal::Never, 0.0, at)
    };
    let once = refused(None, now);
    assert!(once.verified_once, "the values are as good as before");
    let soon = now + REFUSAL_LASTS / 2;
    assert!(once.refused_maintenance(&check_key(1), soon).is_some());
    assert!(once.refused_maintenance(&check_key(2), soon).is_none());
    // A run that did not repeat the request does not restart the time of the refusal.
    let twice = refused(Some(&once), soon);
    assert!(twice.refused_maintenance(&check_key(1), now + REFUSAL_LASTS).is_none());
}

fn condition(type_: ConditionType, status: &str) -> Condition {
    Condition {
        type_: type_.as_str().into(),
        status: status.into(),
        reason: type_.as_str().into(),
        message: Text::default(),
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        observed_generation: None,
    }
}

fn status(history: &CheckHistory<()>, inputs: &str, conditions: Vec<Condition>) -> Status {
    Status {
        checks: history.findings.list.iter().map(Finding::status).collect(),
        checked_inputs: Some(inputs.to_owned()),
        conditions,
        ..Status::default()
    }
}

#[test]
fn refused_credentials_survive_a_restart_and_an_upgrade() {
    let inputs = CheckedInputs::from("spec=1");
    let now = Instant::now();
    let recover = |status: &Status, account| {
        CheckHistory::<()>::recover(status, check_key(1), &inputs, (account, 3), now)
    };
    for reason in [Reason::InvalidCredentials, Reason::OperationRefused, Reason::TimedOut] {
        let refused = bind(None, 1, Some(reason));
        for recorded in [inputs.to_string(), "spec=1 operator=0.0.0".to_owned()] {
            let status = status(&refused, &recorded, Vec::new());
            let recovered = recover(&status, Account::Named).unwrap();
            assert!(recovered.answers(&check_key(1), SCHEDULE, now));
            assert!(matches!(recovered.verdict(3), RunVerdict::Held(_)));
            assert!(recover(&status, Account::Anonymous).is_none());
        }
        let other = status(&refused, "spec=2 operator=0.0.0", Vec::new());
        assert!(recover(&other, Account::Named).is_none());
    }
}

#[test]
fn a_restart_does_not_send_credentials_again_at_once() {
    let inputs = CheckedInputs::from("spec=1");
    let now = Instant::now();
    let passed = bind(None, 1, None);
    let verified = vec![condition(ConditionType::Verified, "True")];
    for (run, conditions) in [
        (bind(Some(&passed), 1, Some(Reason::TimedOut)), verified),
        (bind(None, 1, Some(Reason::ServerUnavailable)), Vec::new()),
    ] {
        let status = status(&run, &inputs.to_string(), conditions);
        let recovered =
            CheckHistory::<()>::recover(&status, check_key(1), &inputs, (Account::Named, 3), now).unwrap();
        assert_eq!(recovered.wait(SCHEDULE, now), Some(SELDOM));
        assert!(!recovered.answers(&check_key(1), SCHEDULE, now + SELDOM));
    }
}

#[test]
fn an_unclear_answer_is_not_asked_for_again_on_a_long_interval() {
    let passed = bind(None, 1, None);
    let wait = |minutes, reason| {
        let schedule = Schedule {
            interval: Duration::from_mins(minutes),
            retry: Duration::from_mins(minutes),
            ..SCHEDULE
        };
        schedule.delay(&bind(Some(&passed), 1, Some(reason)))
    };
    for (interval, unclear, postponed) in [(5, 30, 30), (29, 30, 30), (30, 60, 30), (60, 120, 60)] {
        assert_eq!(wait(interval, Reason::TimedOut), Duration::from_mins(unclear));
        assert_eq!(wait(interval, Reason::ServerUnavailable), Duration::from_mins(postponed));
    }
}

#[test]
fn the_long_interval_of_pods_delays_no_failure() {
    let pods = Schedule { interval: Duration::from_hours(1), ..SCHEDULE };
    let passed = bind(None, 1, None);
    assert_eq!(pods.delay(&passed), Duration::from_hours(1));
    for reason in
        [Reason::InvalidCredentials, Reason::TimedOut, Reason::ServerUnavailable, Reason::TlsHandshakeFailed]
    {
        for failed in [bind(None, 1, Some(reason)), bind(Some(&passed), 1, Some(reason))] {
            assert_eq!(pods.delay(&failed), SCHEDULE.delay(&failed), "{reason}");
        }
    }
}

#[test]
fn what_was_proven_survives_a_restart_but_not_an_upgrade() {
    let inputs = CheckedInputs::from("spec=1");
    let passed = run(None, 1, None);
    let down = run(Some(&passed), 1, Some(Reason::ConnectionRefused));
    let published = condition(ConditionType::Published, "True");
    let tolerated = vec![condition(ConditionType::Verified, "True"), published.clone()];
    let outage = vec![condition(ConditionType::Verified, "False"), published];
    let recover = |recorded: &str, conditions: &[Condition]| {
        let status = status(&down, recorded, conditions.to_vec());
        CheckHistory::<()>::recover(&status, check_key(1), &inputs, (Account::Named, 3), Instant::now())
    };
    let recovered = recover(&inputs.to_string(), &tolerated).unwrap();
    assert!(recovered.verified_once && !recovered.answers(&check_key(1), SCHEDULE, Instant::now()));
    assert!(matches!(recovered.verdict(3), RunVerdict::Tolerated { .. }));
    let recovered = recover(&inputs.to_string(), &outage).unwrap();
    assert!(recovered.verified_once, "the Secret can be repaired in an outage");
    assert!(matches!(recovered.verdict(3), RunVerdict::Failed(_)), "and Verified does not flip");
    let mut unverified = outage.clone();
    for condition in &mut unverified {
        condition.reason = Reason::PublishedUnverified.as_str().into();
    }
    assert!(recover(&inputs.to_string(), &unverified).is_none(), "what was never proven is not now");
    assert!(recover("spec=1 operator=0.0.0", &tolerated).is_none());
}

#[test]
fn after_a_restart_only_what_was_settled_waits_for_its_time() {
    let inputs = CheckedInputs::from("spec=1");
    let now = Instant::now();
    let conditions = |verified| {
        vec![condition(ConditionType::Verified, verified), condition(ConditionType::Published, "True")]
    };
    let passed = run(None, 1, None);
    let down = run(Some(&passed), 1, Some(Reason::ConnectionRefused));
    let wait = |run: &CheckHistory<()>, recorded: &str, verified| {
        let status = status(run, recorded, conditions(verified));
        let terms = (Account::Named, 3);
        let recovered = CheckHistory::<()>::recover(&status, check_key(1), &inputs, terms, now)?;
        recovered.spread(Spread::new("uid", Timestamp::UNIX_EPOCH, now)).wait(SCHEDULE, now)
    };
    let same = inputs.to_string();
    let settled = wait(&passed, &same, "True").unwrap();
    assert!(!settled.is_zero() && settled < SCHEDULE.interval);
    assert_eq!(wait(&down, &same, "True"), Some(Duration::ZERO), "a failure that is tolerated");
    assert_eq!(wait(&down, &same, "False"), Some(Duration::ZERO), "an outage");
    assert_eq!(wait(&passed, &same, "False"), Some(Duration::ZERO), "not told yet");
    for other in ["spec=2 operator=0.0.0", "spec=1 operator=0.0.0"] {
        assert_eq!(wait(&passed, other, "True"), None, "changed, or of another version");
    }
}

proptest! {
    #[test]
    fn waits_are_never_short_nor_longer_than_the_interval(failures in 0u32..100, jitter in 0.0f64..1.0) {
        let mut history = run(None, 1, Some(Reason::ConnectionRefused));
        history.failures = failures;
        history.jitter = jitter;
        let wait = history.wait(SCHEDULE, history.checked_at.unwrap()).unwrap();
        prop_assert!(wait >= FIRST_RETRY);
        prop_assert!(wait <= SCHEDULE.interval.mul_f64(1.0 + JITTER_SHARE));
    }
}
