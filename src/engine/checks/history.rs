//! The memory of one resource's checks, so that unchanged inputs lead to no extra check. Everything here is pure.
//!
//! Two facts outlive the process in the status. The first is that credentials were refused or got no clear
//! answer, because sending them again could lock the account. The second is that the inputs passed, so that an
//! outage neither counts at once nor keeps the Secret from being repaired.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::first_check::Spread;
use crate::engine::{
    Account, CheckOutcome, CheckedInputs, Finding, Findings, InputsHash,
    status::conditions::{is_proven, is_verified},
};
use crate::{
    api::{CheckName, Status, names::CredentialsAnswer},
    net::{Consent, Terms, Usage},
};

/// The identity of findings: the inputs that they are about, and the value of the re-check annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckKey {
    /// The spec and the referenced contents.
    pub inputs: InputsHash,
    /// The spec alone.
    pub spec: InputsHash,
    /// The value of the re-check annotation.
    pub recheck: Option<String>,
    /// Which of the custom resources that the spec refers to are verified.
    pub dependency_readiness: Vec<bool>,
}

/// The remembered state of one resource's checks.
#[derive(Clone)]
pub struct CheckHistory<E> {
    question: CheckKey,
    /// The findings of the last run.
    pub findings: Findings,
    /// What the last run obtained beside its findings.
    pub evidence: E,
    /// Whether these inputs passed at some time.
    pub proven: bool,
    /// The number of failed runs in a row.
    failures: u32,
    /// When the checks ran; `None` if they are known from a status only.
    checked_at: Option<Instant>,
    /// When the checks ran, in the API server's time; also where only a status says so.
    pub last_check: Option<Timestamp>,
    /// Since when it is known from a status that the checks passed, if they need not be repeated at once.
    spread: Option<Spread>,
    /// When the values must be renewed.
    renewal: Renewal,
    /// The refusal of a maintenance request, and since when the request is not repeated.
    refusal: Option<(Finding, Instant)>,
    /// A random number between 0 and 1 that spreads the runs of resources over time.
    jitter: f64,
    /// The answers to credentials in the last run.
    pub usage: Usage,
}

/// When values must be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// They stay valid as long as their inputs do.
    Never,
    /// They must be renewed at this time.
    At(Instant),
    /// The last run should have renewed them and did not.
    Overdue,
}

impl Renewal {
    /// Converts the kind's answer right after a run; a time that has passed already means that the renewal
    /// failed.
    pub fn new(due: Option<Timestamp>, now: Timestamp, instant: Instant) -> Self {
        let Some(due) = due else { return Self::Never };
        match Duration::try_from(due.duration_since(now)) {
            Ok(wait) if !wait.is_zero() => instant.checked_add(wait).map_or(Self::Never, Self::At),
            _ => Self::Overdue,
        }
    }
}

/// How the findings of a run count.
#[derive(Clone, Debug, PartialEq)]
pub enum RunVerdict {
    /// No check failed.
    Passed,
    /// A check failed, but the same inputs passed before and the threshold is not reached.
    Tolerated {
        /// The first failed check.
        failure: Finding,
        /// The number of failed runs in a row.
        failures: u32,
    },
    /// A check failed, and the failure counts.
    Failed(Finding),
    /// A check failed, and is not repeated before a person changes something.
    Held(Finding),
}

/// How soon the checks may be repeated with the same inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retrial {
    /// They are repeated on the schedule.
    Scheduled,
    /// They are repeated after a time that is longer than the usual window in which servers count wrong
    /// passwords.
    Seldom,
    /// They are not repeated before a person changes something.
    Held,
}

impl<E> CheckHistory<E> {
    /// Whether the findings are for this key and the checks are not due yet.
    pub fn answers(&self, question: &CheckKey, schedule: Schedule, now: Instant) -> bool {
        self.question == *question && self.wait(schedule, now) != Some(Duration::ZERO)
    }

    /// How long ago the servers said the oldest of what the checks saw; `None` if it is known from a status only.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let checked_at = self.checked_at?;
        let oldest = self.usage.oldest_answer.map_or(checked_at, |oldest| oldest.min(checked_at));
        Some(now.saturating_duration_since(oldest))
    }

    /// When what another resource was told is news for this question: after the checks ran last, and from now on
    /// where a person asks.
    pub fn news_since(&self, question: &CheckKey, now: Instant) -> Option<Instant> {
        if self.is_asked(question) { Some(now) } else { self.checked_at }
    }

    /// Whether anything that the checks depend on is another one now.
    pub fn is_outdated(&self, question: &CheckKey) -> bool {
        self.question.inputs != question.inputs
            || self.question.dependency_readiness != question.dependency_readiness
    }

    /// Whether a person asks for a look, by a re-check or by another spec.
    fn is_asked(&self, question: &CheckKey) -> bool {
        self.question.recheck != question.recheck || self.question.spec != question.spec
    }

    /// Whether the checks passed at some time with the inputs of this key.
    pub fn is_proven(&self, question: &CheckKey) -> bool {
        self.proven && self.question.inputs == question.inputs
    }

    /// The findings, if they are about the inputs of this key.
    pub fn findings_on(&self, question: &CheckKey) -> &[Finding] {
        if self.question.inputs == question.inputs { &self.findings.list } else { &[] }
    }

    /// The terms on which credentials that were refused may be sent now.
    pub fn terms(&self, question: &CheckKey, interval: Duration) -> Terms {
        let consent = if self.is_asked(question) { Consent::Given } else { self.usage.consent };
        Terms { consent, last_look: self.checked_at, interval }
    }

    /// How the findings count.
    pub fn verdict(&self, threshold: u32) -> RunVerdict {
        let Some(failure) = self.findings.failure() else {
            return RunVerdict::Passed;
        };
        let tolerated = match self.retrial() {
            Retrial::Held => return RunVerdict::Held(failure.clone()),
            Retrial::Scheduled => threshold,
            // The second try comes so late that it spans more time than the threshold usually does.
            Retrial::Seldom => threshold.min(2),
        };
        if self.proven && self.failures < tolerated && self.renewal != Renewal::Overdue {
            RunVerdict::Tolerated { failure: failure.clone(), failures: self.failures }
        } else {
            RunVerdict::Failed(failure.clone())
        }
    }

    /// How soon an account's credentials may be sent again without the risk of locking the account.
    ///
    /// A server that was in no state to judge them has not counted them. If the answer is unclear, they may have
    /// been counted. Credentials that passed before are in use by W&B Server, which sends them at every login, so
    /// one more try now and then does no harm, and the check recovers by itself after an outage.
    fn retrial(&self) -> Retrial {
        match self.findings.credentials_answer() {
            None | Some(CredentialsAnswer::NotSent) => Retrial::Scheduled,
            Some(CredentialsAnswer::Postponed) => Retrial::Seldom,
            Some(CredentialsAnswer::Unclear) if self.proven => Retrial::Seldom,
            Some(CredentialsAnswer::Unclear | CredentialsAnswer::Refused) => Retrial::Held,
        }
    }

    /// The refusal of a maintenance request, if the same was requested a short while ago.
    pub fn refused_upkeep(&self, question: &CheckKey, now: Instant) -> Option<&Finding> {
        let (finding, since) = self.refusal.as_ref()?;
        let lasts = self.question == *question && now.saturating_duration_since(*since) < REFUSAL_LASTS;
        lasts.then_some(finding)
    }

    /// How long until the checks are due; `None` if credentials may not be sent again, so that time alone makes
    /// them never due.
    pub fn wait(&self, schedule: Schedule, now: Instant) -> Option<Duration> {
        if self.retrial() == Retrial::Held {
            return None;
        }
        let Some(checked_at) = self.checked_at else {
            return Some(self.spread.map_or(Duration::ZERO, |spread| spread.wait(schedule.interval, now)));
        };
        let delay = schedule.delay(self).mul_f64(1.0 + JITTER_SHARE * self.jitter);
        let delay = delay.max(self.findings.pause.unwrap_or_default());
        let check = checked_at.checked_add(delay)?.saturating_duration_since(now);
        Some(match self.renewal {
            Renewal::At(time) => check.min(time.saturating_duration_since(now)),
            Renewal::Never | Renewal::Overdue => check,
        })
    }

    /// The history after another run.
    pub fn record(
        previous: Option<&Self>,
        question: CheckKey,
        CheckOutcome { findings, evidence, refusal, usage }: CheckOutcome<E>,
        renewal: Renewal,
        jitter: f64,
        now: Instant,
    ) -> Self {
        let same = previous.filter(|previous| previous.question.inputs == question.inputs);
        let failed = findings.failure().is_some();
        let failures = if failed { same.map_or(0, |same| same.failures).saturating_add(1) } else { 0 };
        let proven = !findings.disproved() || same.is_some_and(|same| same.proven);
        let refused_before = previous.and_then(|previous| {
            previous.refused_upkeep(&question, now)?;
            previous.refusal.as_ref().map(|(_, since)| *since)
        });
        let refusal = refusal.map(|finding| (finding, refused_before.unwrap_or(now)));
        let checked_at = Some(now);
        Self {
            question,
            findings,
            evidence,
            proven,
            failures,
            checked_at,
            last_check: None,
            spread: None,
            renewal,
            refusal,
            jitter,
            usage,
        }
    }

    /// The same history with the time of the run.
    #[must_use]
    pub fn dated(self, last_check: Timestamp) -> Self {
        Self { last_check: Some(last_check), ..self }
    }

    /// The history that a status holds of an earlier process's run with the same inputs.
    ///
    /// Findings are taken from it only where repeating the checks could do harm; otherwise the checks are due.
    /// That the inputs passed is taken from it only if this same version of the operator wrote it, since another
    /// version may have published other values for them.
    pub fn recover(
        status: &Status,
        question: CheckKey,
        checked_inputs: &CheckedInputs,
        (account, threshold): (Account, u32),
        now: Instant,
    ) -> Option<Self>
    where
        E: Default,
    {
        if !checked_inputs.agrees_with(status) {
            return None;
        }
        let findings = Findings {
            list: status
                .checks
                .iter()
                .filter_map(Finding::from_status)
                .filter(|finding| !finding.name.looks_at_target())
                .collect(),
            account,
            ..Findings::default()
        };
        let verified = is_verified(status);
        let proven = is_proven(status) && checked_inputs.agrees_with_own(status);
        let failures = if verified { 0 } else { threshold };
        let refusal = CheckName::MAINTENANCE.iter().find_map(|check| findings.refusal(check)).cloned();
        let is_refused = refusal.is_some();
        let recovered = Self {
            question,
            findings,
            evidence: E::default(),
            proven,
            failures,
            checked_at: None,
            last_check: status.last_check_time.as_ref().map(|time| time.0),
            spread: None,
            renewal: Renewal::Never,
            refusal: refusal.map(|finding| (finding, now)),
            jitter: 0.0,
            usage: Usage::default(),
        };
        let retrial = recovered.retrial();
        // The status does not say how long ago the credentials were sent, so the wait begins anew.
        let checked_at = (retrial == Retrial::Seldom).then_some(now);
        (retrial != Retrial::Scheduled || proven || is_refused).then_some(Self { checked_at, ..recovered })
    }

    /// The same history, with the checks due at the resource's own point of the interval, if the status shows
    /// that nothing was wrong.
    #[must_use]
    pub fn spread(self, spread: Spread) -> Self {
        let is_settled = self.checked_at.is_none()
            && self.proven
            && self.failures == 0
            && self.refusal.is_none()
            && !self.findings.list.is_empty()
            && self.findings.failure().is_none();
        Self { spread: is_settled.then_some(spread), ..self }
    }
}

/// The settings of the spec that decide when checks are repeated.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// `spec.checkInterval`.
    pub interval: Duration,
    /// `spec.failureThreshold`.
    pub threshold: u32,
}

/// The first wait after a failure. It doubles with each failure, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// How long a maintenance request that was refused is not repeated, unless something else changes.
const REFUSAL_LASTS: Duration = Duration::from_hours(1);

/// The longest wait while values are overdue, since they may expire before the next check.
const OVERDUE_RETRY: Duration = Duration::from_mins(1);

/// The shortest wait before credentials that got no clear answer are sent again: servers usually count wrong
/// passwords over the last half hour.
const SELDOM: Duration = Duration::from_mins(30);

/// The share of a wait by which it may be extended at random.
const JITTER_SHARE: f64 = 0.05;

impl Schedule {
    fn delay<E>(self, remembered: &CheckHistory<E>) -> Duration {
        // The server counts wrong credentials and only other ones help, so quick retries are left out.
        if remembered.findings.need_other_credentials() {
            return self.interval;
        }
        if remembered.retrial() == Retrial::Seldom {
            return match remembered.findings.credentials_answer() {
                // Tries on a long interval could come as regularly as the windows over which servers count, so
                // the interval is doubled.
                Some(CredentialsAnswer::Unclear) if self.interval >= SELDOM => {
                    self.interval.saturating_mul(2)
                }
                _ => self.interval.max(SELDOM),
            };
        }
        match remembered.verdict(self.threshold) {
            RunVerdict::Passed | RunVerdict::Tolerated { .. } if remembered.renewal == Renewal::Overdue => {
                self.interval.min(OVERDUE_RETRY)
            }
            RunVerdict::Passed | RunVerdict::Tolerated { .. } => self.interval,
            RunVerdict::Failed(_) | RunVerdict::Held(_) => {
                let doublings = remembered.failures.saturating_sub(1).min(16);
                let longest = match remembered.renewal {
                    Renewal::Overdue => self.interval.min(OVERDUE_RETRY),
                    Renewal::Never | Renewal::At(_) => self.interval,
                };
                FIRST_RETRY.saturating_mul(1 << doublings).min(longest)
            }
        }
    }
}

impl Finding {
    pub(in crate::engine) fn from_status(check: &crate::api::CheckStatus) -> Option<Self> {
        Some(Self {
            name: CheckName::parse(&check.name)?,
            result: check.result,
            reason: check.reason.parse().ok()?,
            message: check.message.clone(),
            duration: Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use proptest::prelude::*;

    use super::*;
    use crate::api::{CheckResult, ConditionType, Reason};

    const SCHEDULE: Schedule = Schedule { interval: Duration::from_mins(5), threshold: 3 };

    fn question(inputs: u64) -> CheckKey {
        let inputs = InputsHash::from(inputs);
        CheckKey { inputs, spec: inputs, recheck: None, dependency_readiness: Vec::new() }
    }

    fn findings(name: CheckName, reason: Option<Reason>) -> Findings {
        let (result, reason) = match reason {
            Some(reason) => (CheckResult::Failed, reason),
            None => (CheckResult::Passed, Reason::Passed),
        };
        let message = "".into();
        let finding = Finding { name, result, reason, message, duration: Duration::ZERO };
        Findings { list: vec![finding], account: Account::Named, ..Findings::default() }
    }

    fn examined(findings: Findings) -> CheckOutcome<()> {
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
        CheckHistory::record(
            previous,
            question(inputs),
            examined(findings),
            Renewal::Never,
            0.0,
            Instant::now(),
        )
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
        assert!(thrice.proven, "the values stay proven, so that the Secret can still be repaired");
        assert_eq!(run(Some(&thrice), 1, None).verdict(3), RunVerdict::Passed);
    }

    #[test]
    fn a_rejected_client_is_not_tried_sooner_than_the_interval() {
        let rejected = run(None, 1, Some(Reason::ClientRejected));
        let wait = rejected.wait(SCHEDULE, rejected.checked_at.unwrap());
        assert_eq!(wait, Some(SCHEDULE.interval));
        assert!(!rejected.answers(&question(2), SCHEDULE, Instant::now()));
    }

    #[test]
    fn changed_inputs_count_at_once() {
        let passed = run(None, 1, None);
        let changed = run(Some(&passed), 2, Some(Reason::ConnectionRefused));
        assert!(matches!(changed.verdict(3), RunVerdict::Failed(_)));
        assert!(!changed.proven);
    }

    #[test]
    fn refused_credentials_count_at_once_and_are_never_due() {
        let passed = run(None, 1, None);
        let refused = bind(Some(&passed), 1, Some(Reason::InvalidCredentials));
        assert!(matches!(refused.verdict(3), RunVerdict::Held(_)));
        let much_later = Instant::now() + Duration::from_secs(1_000_000);
        assert_eq!(refused.wait(SCHEDULE, much_later), None);
        assert!(refused.answers(&question(1), SCHEDULE, much_later));
        assert!(!refused.answers(&question(2), SCHEDULE, much_later));
        let asked = CheckKey { recheck: Some("now".into()), ..question(1) };
        assert!(!refused.answers(&asked, SCHEDULE, much_later));
    }

    #[test]
    fn no_answer_to_credentials_but_yes_is_repeated_on_the_interval() {
        for (reason, fresh, proven) in [
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
            let wait =
                |remembered: &CheckHistory<()>| remembered.wait(SCHEDULE, remembered.checked_at.unwrap());
            assert_eq!(wait(&bind(None, 1, Some(reason))), fresh, "{reason}");
            let passed = bind(None, 1, None);
            assert_eq!(wait(&bind(Some(&passed), 1, Some(reason))), proven, "{reason}");
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
        assert!(twice.proven);
    }

    #[test]
    fn a_shorter_interval_counts_from_the_last_run() {
        let passed = run(None, 1, None);
        let soon = Instant::now() + Duration::from_mins(1);
        assert!(passed.answers(&question(1), SCHEDULE, soon));
        let shorter = Schedule { interval: Duration::from_secs(10), ..SCHEDULE };
        assert!(!passed.answers(&question(1), shorter, soon));
    }

    #[test]
    fn values_that_do_not_last_are_renewed_in_time_and_failures_count_at_once() {
        let now = Instant::now();
        let soon = Renewal::At(now + Duration::from_mins(1));
        let learn = |previous: Option<&CheckHistory<()>>, reason, renewal| {
            let findings = findings(CheckName::TokenObtained, reason);
            CheckHistory::record(previous, question(1), examined(findings), renewal, 0.0, now)
        };
        let fresh = learn(None, None, soon);
        assert_eq!(fresh.wait(SCHEDULE, now), Some(Duration::from_mins(1)));
        assert!(!fresh.answers(&question(1), SCHEDULE, now + Duration::from_mins(1)));
        let overdue = learn(Some(&fresh), Some(Reason::ServerUnavailable), Renewal::Overdue);
        assert!(matches!(overdue.verdict(3), RunVerdict::Failed(_)));
        assert!(overdue.proven, "the values that were published stay");
        assert_eq!(overdue.wait(SCHEDULE, now), Some(FIRST_RETRY));
        let for_long = (0..20).fold(overdue, |previous, _| {
            learn(Some(&previous), Some(Reason::ServerUnavailable), Renewal::Overdue)
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
        let limited = CheckHistory::record(None, question(1), examined(asked), Renewal::Never, 0.0, now);
        assert_eq!(limited.wait(SCHEDULE, now), Some(Duration::from_mins(10)));
    }

    #[test]
    fn a_refused_change_disproves_nothing_and_is_asked_for_again_after_an_hour() {
        let now = Instant::now();
        let refused = |previous: Option<&CheckHistory<()>>, at| {
            let findings = findings(CheckName::KeyRotation, Some(Reason::KeyCreationForbidden));
            let refusal = findings.failure().cloned();
            let examined = CheckOutcome { findings, evidence: (), refusal, usage: Usage::default() };
            CheckHistory::record(previous, question(1), examined, Renewal::Never, 0.0, at)
        };
        let once = refused(None, now);
        assert!(once.proven, "the values are as good as before");
        let soon = now + REFUSAL_LASTS / 2;
        assert!(once.refused_upkeep(&question(1), soon).is_some());
        assert!(once.refused_upkeep(&question(2), soon).is_none());
        // A run that did not repeat the request does not restart the time of the refusal.
        let twice = refused(Some(&once), soon);
        assert!(twice.refused_upkeep(&question(1), now + REFUSAL_LASTS).is_none());
    }

    fn condition(type_: ConditionType, status: &str) -> Condition {
        Condition {
            type_: type_.to_string(),
            status: status.to_owned(),
            reason: type_.to_string(),
            message: String::new(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }
    }

    fn status(remembered: &CheckHistory<()>, inputs: &str, conditions: Vec<Condition>) -> Status {
        Status {
            checks: remembered.findings.list.iter().map(Finding::status).collect(),
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
            CheckHistory::<()>::recover(status, question(1), &inputs, (account, 3), now)
        };
        for reason in [Reason::InvalidCredentials, Reason::OperationRefused, Reason::TimedOut] {
            let refused = bind(None, 1, Some(reason));
            for recorded in [inputs.to_string(), "spec=1 operator=0.0.0".to_owned()] {
                let status = status(&refused, &recorded, Vec::new());
                let recovered = recover(&status, Account::Named).unwrap();
                assert!(recovered.answers(&question(1), SCHEDULE, now));
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
                CheckHistory::<()>::recover(&status, question(1), &inputs, (Account::Named, 3), now).unwrap();
            assert_eq!(recovered.wait(SCHEDULE, now), Some(SELDOM));
            assert!(!recovered.answers(&question(1), SCHEDULE, now + SELDOM));
        }
    }

    #[test]
    fn an_unclear_answer_is_not_asked_for_again_on_a_long_interval() {
        let passed = bind(None, 1, None);
        let wait = |minutes, reason| {
            let schedule = Schedule { interval: Duration::from_mins(minutes), ..SCHEDULE };
            schedule.delay(&bind(Some(&passed), 1, Some(reason)))
        };
        for (interval, unclear, postponed) in [(5, 30, 30), (29, 30, 30), (30, 60, 30), (60, 120, 60)] {
            assert_eq!(wait(interval, Reason::TimedOut), Duration::from_mins(unclear));
            assert_eq!(wait(interval, Reason::ServerUnavailable), Duration::from_mins(postponed));
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
            CheckHistory::<()>::recover(&status, question(1), &inputs, (Account::Named, 3), Instant::now())
        };
        let recovered = recover(&inputs.to_string(), &tolerated).unwrap();
        assert!(recovered.proven && !recovered.answers(&question(1), SCHEDULE, Instant::now()));
        assert!(matches!(recovered.verdict(3), RunVerdict::Tolerated { .. }));
        let recovered = recover(&inputs.to_string(), &outage).unwrap();
        assert!(recovered.proven, "the Secret can be repaired in an outage");
        assert!(matches!(recovered.verdict(3), RunVerdict::Failed(_)), "and Verified does not flip");
        let mut unverified = outage.clone();
        for condition in &mut unverified {
            condition.reason = Reason::PublishedUnverified.to_string();
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
            let recovered = CheckHistory::<()>::recover(&status, question(1), &inputs, terms, now)?;
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
            let mut remembered = run(None, 1, Some(Reason::ConnectionRefused));
            remembered.failures = failures;
            remembered.jitter = jitter;
            let wait = remembered.wait(SCHEDULE, remembered.checked_at.unwrap()).unwrap();
            prop_assert!(wait >= FIRST_RETRY);
            prop_assert!(wait <= SCHEDULE.interval.mul_f64(1.0 + JITTER_SHARE));
        }
    }
}
