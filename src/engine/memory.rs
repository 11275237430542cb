//! What the operator remembers between runs, so that unchanged inputs lead to no extra probe.
//!
//! Memory is an optimization with one exception: refused credentials. Those are also recognised from
//! the status after a restart, since trying them again could lock the account.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt;

use super::{Finding, Findings, Kind, Values, plan::InputsHash};
use crate::api::{CheckName, CheckResult, ConditionType, Reason, Status};

/// What findings answer: the inputs, and the value of the re-check annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Spec and referenced contents.
    pub inputs: InputsHash,
    /// The re-check annotation.
    pub recheck: Option<String>,
}

/// What is remembered of one resource.
#[derive(Clone)]
pub struct Remembered {
    question: Question,
    /// What the last run of the checks found.
    pub findings: Findings,
    /// Whether these inputs passed at some time.
    pub proven: bool,
    /// Failed runs in a row.
    failures: u32,
    /// When the checks are to run again; never by themselves where credentials were refused.
    due: Option<Instant>,
}

/// How a run's findings count.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// No check failed.
    Passed,
    /// A check failed, but the same inputs passed before and the threshold is not reached.
    Tolerated {
        /// The first failed check.
        failure: Finding,
        /// Failed runs in a row.
        failures: u32,
    },
    /// A check failed, and that counts.
    Failed(Finding),
}

impl Remembered {
    /// Whether the findings answer the question and are not due for another look.
    pub fn answers(&self, question: &Question, now: Instant) -> bool {
        self.question == *question && self.due.is_none_or(|due| now < due)
    }

    /// How the findings count.
    pub fn verdict(&self, threshold: u32) -> Verdict {
        let Some(failure) = self.findings.failure() else {
            return Verdict::Passed;
        };
        if self.proven && self.failures < threshold && !self.findings.credentials_refused() {
            Verdict::Tolerated { failure: failure.clone(), failures: self.failures }
        } else {
            Verdict::Failed(failure.clone())
        }
    }

    /// What is remembered after another run.
    pub fn learn(
        previous: Option<&Self>,
        question: Question,
        findings: Findings,
        schedule: Schedule,
        now: Instant,
    ) -> Self {
        let same = previous.filter(|previous| previous.question.inputs == question.inputs);
        let failed = findings.failure().is_some();
        let failures = if failed { same.map_or(0, |same| same.failures).saturating_add(1) } else { 0 };
        let proven = !failed || same.is_some_and(|same| same.proven);
        let mut remembered = Self { question, findings, proven, failures, due: None };
        remembered.due = schedule.delay(&remembered).and_then(|delay| now.checked_add(delay));
        remembered
    }

    /// What a status tells of an earlier process's run with the same inputs.
    ///
    /// Findings are taken from it only where asking again could do harm; otherwise they count as due.
    pub fn recover(status: &Status, question: Question, checked_inputs: &str, now: Instant) -> Option<Self> {
        if status.checked_inputs.as_deref() != Some(checked_inputs) {
            return None;
        }
        let findings = Findings {
            list: status.checks.iter().filter_map(Finding::from_status).collect(),
            certificate: None,
        };
        let refused = findings.credentials_refused();
        let proven = status.conditions.iter().any(|condition| {
            condition.type_ == ConditionType::Verified.as_str() && condition.status == "True"
        });
        (refused || proven).then(|| Self {
            question,
            failures: u32::from(refused),
            findings,
            proven,
            due: (!refused).then_some(now),
        })
    }
}

/// What is remembered of every resource of a kind.
#[derive(Default)]
pub struct Memory {
    entries: Mutex<HashMap<(String, String), Entry>>,
}

#[derive(Default)]
struct Entry {
    /// A resource that was deleted and created again is another one.
    uid: String,
    remembered: Option<Remembered>,
    last_verified: Option<Values>,
}

impl Memory {
    /// What the last run found.
    pub fn recall<K: Kind>(&self, object: &K) -> Option<Remembered> {
        self.with(object, |entry| entry.remembered.clone())
    }

    /// Keeps what a run found.
    pub fn remember<K: Kind>(&self, object: &K, remembered: Remembered) {
        self.with(object, |entry| entry.remembered = Some(remembered));
    }

    /// Keeps values that passed, to restore them while later ones do not.
    pub fn verified<K: Kind>(&self, object: &K, values: &Values) {
        self.with(object, |entry| entry.last_verified = Some(values.clone()));
    }

    /// The values that passed last, whichever inputs they came from.
    pub fn last_verified<K: Kind>(&self, object: &K) -> Option<Values> {
        self.with(object, |entry| entry.last_verified.clone())
    }

    /// How long until the checks are due; nothing when they are not due by themselves.
    pub fn wait<K: Kind>(&self, object: &K, now: Instant) -> Option<Duration> {
        self.with(object, |entry| entry.remembered.as_ref()?.due)
            .map(|due| due.saturating_duration_since(now))
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.entries().remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn with<K: Kind, T>(&self, object: &K, act: impl FnOnce(&mut Entry) -> T) -> T {
        let uid = object.uid().unwrap_or_default();
        let mut entries = self.entries();
        let entry = entries.entry((object.namespace().unwrap_or_default(), object.name_any())).or_default();
        if entry.uid != uid {
            *entry = Entry { uid, ..Entry::default() };
        }
        act(entry)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<(String, String), Entry>> {
        // Entries are replaced as a whole, so a panic elsewhere leaves none half written.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to look again.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// `spec.checkInterval`.
    pub interval: Duration,
    /// `spec.failureThreshold`.
    pub threshold: u32,
    /// A number between 0 and 1 that spreads resources over time.
    pub jitter: f64,
}

/// The first wait after a failure; it doubles up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The share of a wait by which it may be longer.
const JITTER_SHARE: f64 = 0.05;

impl Schedule {
    fn delay(&self, remembered: &Remembered) -> Option<Duration> {
        let wait = match remembered.verdict(self.threshold) {
            Verdict::Passed | Verdict::Tolerated { .. } => self.interval,
            Verdict::Failed(_) if remembered.findings.credentials_refused() => return None,
            Verdict::Failed(_) => {
                let doublings = remembered.failures.saturating_sub(1).min(16);
                FIRST_RETRY.saturating_mul(1 << doublings).min(self.interval)
            }
        };
        Some(wait.mul_f64(1.0 + JITTER_SHARE * self.jitter))
    }
}

impl Finding {
    fn from_status(check: &crate::api::CheckStatus) -> Option<Self> {
        Some(Self {
            name: CheckName::parse(&check.name)?,
            result: check.result,
            reason: check.reason.parse::<Reason>().ok()?,
            message: check.message.clone(),
            duration: Duration::ZERO,
        })
    }

    /// Whether the check failed.
    pub fn failed(&self) -> bool {
        self.result == CheckResult::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEDULE: Schedule = Schedule { interval: Duration::from_mins(5), threshold: 3, jitter: 0.0 };

    fn question(inputs: u64) -> Question {
        Question { inputs: InputsHash::from(inputs), recheck: None }
    }

    fn findings(reason: Option<Reason>) -> Findings {
        let (result, reason) = match reason {
            Some(reason) => (CheckResult::Failed, reason),
            None => (CheckResult::Passed, Reason::Passed),
        };
        let name = CheckName::TcpConnects;
        let message = String::new();
        Findings {
            list: vec![Finding { name, result, reason, message, duration: Duration::ZERO }],
            certificate: None,
        }
    }

    fn run(previous: Option<&Remembered>, inputs: u64, reason: Option<Reason>) -> Remembered {
        Remembered::learn(previous, question(inputs), findings(reason), SCHEDULE, Instant::now())
    }

    #[test]
    fn proven_inputs_are_given_the_threshold() {
        let passed = run(None, 1, None);
        let once = run(Some(&passed), 1, Some(Reason::ConnectionRefused));
        assert!(matches!(once.verdict(3), Verdict::Tolerated { failures: 1, .. }));
        let twice = run(Some(&once), 1, Some(Reason::ConnectionRefused));
        assert!(matches!(twice.verdict(3), Verdict::Tolerated { failures: 2, .. }));
        let thrice = run(Some(&twice), 1, Some(Reason::ConnectionRefused));
        assert!(matches!(thrice.verdict(3), Verdict::Failed(_)));
        assert!(thrice.proven, "the values stay proven, so that the Secret can still be repaired");
        assert_eq!(run(Some(&thrice), 1, None).verdict(3), Verdict::Passed);
    }

    #[test]
    fn changed_inputs_count_at_once() {
        let passed = run(None, 1, None);
        let changed = run(Some(&passed), 2, Some(Reason::ConnectionRefused));
        assert!(matches!(changed.verdict(3), Verdict::Failed(_)));
        assert!(!changed.proven);
    }

    #[test]
    fn refused_credentials_count_at_once_and_are_never_due() {
        let passed = run(None, 1, None);
        let refused = run(Some(&passed), 1, Some(Reason::InvalidCredentials));
        assert!(matches!(refused.verdict(3), Verdict::Failed(_)));
        assert_eq!(refused.due, None);
        let much_later = Instant::now() + Duration::from_secs(1_000_000);
        assert!(refused.answers(&question(1), much_later));
        assert!(!refused.answers(&question(2), much_later));
        let asked = Question { recheck: Some("now".into()), ..question(1) };
        assert!(!refused.answers(&asked, much_later));
    }

    #[test]
    fn refused_credentials_survive_a_restart() {
        let refused = run(None, 1, Some(Reason::InvalidCredentials));
        let status = Status {
            checks: refused.findings.list.iter().map(Finding::status).collect(),
            checked_inputs: Some("generation=1".into()),
            ..Status::default()
        };
        let now = Instant::now();
        let recovered = Remembered::recover(&status, question(1), "generation=1", now).unwrap();
        assert!(recovered.answers(&question(1), now));
        assert!(matches!(recovered.verdict(3), Verdict::Failed(_)));
        assert!(Remembered::recover(&status, question(1), "generation=2", now).is_none());
    }

    proptest! {
        #[test]
        fn waits_are_never_short_nor_longer_than_the_interval(failures in 0u32..100, jitter in 0.0f64..1.0) {
            let schedule = Schedule { jitter, ..SCHEDULE };
            let mut remembered = run(None, 1, Some(Reason::ConnectionRefused));
            remembered.failures = failures;
            let delay = schedule.delay(&remembered).unwrap();
            prop_assert!(delay >= FIRST_RETRY);
            prop_assert!(delay <= SCHEDULE.interval.mul_f64(1.0 + JITTER_SHARE));
        }
    }
}
