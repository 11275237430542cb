//! The memory of one resource's checks, so that unchanged inputs lead to no extra check. Everything here is pure.
//!
//! Two facts outlive the process in the status. The first is that credentials were refused or got no clear
//! answer, because sending them again could lock the account. The second is that the inputs passed, so that an
//! outage neither counts at once nor keeps the Secret from being repaired.

mod recovery;

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{
    first_check::Spread,
    schedule::{JITTER_SHARE, Schedule},
};
use crate::engine::{CheckOutcome, Finding, Findings, InputsHash};
use crate::{
    api::names::CredentialsAnswer,
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
    /// What a person asks for by annotations of the kind's own, and no run has handled yet.
    pub requests: Vec<String>,
}

impl CheckKey {
    /// Whether findings with the earlier key are about this one, too. A request that was handled meanwhile, or
    /// withdrawn, asks for no further run.
    fn is_answered_by(&self, earlier: &Self) -> bool {
        let Self { inputs, spec, recheck, dependency_readiness, requests } = self;
        (inputs, spec, recheck, dependency_readiness)
            == (&earlier.inputs, &earlier.spec, &earlier.recheck, &earlier.dependency_readiness)
            && requests.iter().all(|request| earlier.requests.contains(request))
    }
}

/// The remembered state of one resource's checks.
#[derive(Clone)]
pub struct CheckHistory<E> {
    check_key: CheckKey,
    /// The findings of the last run.
    pub findings: Findings,
    /// What the last run obtained beside its findings.
    pub evidence: E,
    /// Whether these inputs passed at some time.
    pub verified_once: bool,
    /// The number of failed runs in a row.
    pub(super) failures: u32,
    /// When the checks ran; `None` if they are known from a status only.
    checked_at: Option<Instant>,
    /// When the checks ran, in the API server's time; also where only a status says so.
    pub last_check: Option<Timestamp>,
    /// Since when it is known from a status that the checks passed, if they need not be repeated at once.
    spread: Option<Spread>,
    /// When the values must be renewed.
    pub(super) renewal: Renewal,
    /// The refusal of a maintenance request, and since when the request is not repeated.
    refusal: Option<Box<(Finding, Instant)>>,
    /// A random number between 0 and 1 that spreads the runs of resources over time.
    jitter: f64,
    /// The answers to credentials in the last run.
    pub usage: Usage,
    /// What is awaited, if the checks of these inputs are still under way and none has an answer.
    pending: Option<Box<Finding>>,
    /// Whether newer checks are under way, so that nothing that asked for them is answered yet.
    pub(in crate::engine) is_under_way: bool,
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
    /// The checks are under way elsewhere, and nothing is known of these inputs yet.
    Pending(Finding),
}

/// How soon the checks may be repeated with the same inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retrial {
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
    pub fn answers(&self, check_key: &CheckKey, schedule: Schedule, now: Instant) -> bool {
        check_key.is_answered_by(&self.check_key) && self.wait(schedule, now) != Some(Duration::ZERO)
    }

    /// How long ago the servers said the oldest of what the checks saw; `None` if it is known from a status only.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let checked_at = self.checked_at?;
        let oldest = self.usage.oldest_answer.map_or(checked_at, |oldest| oldest.min(checked_at));
        Some(now.saturating_duration_since(oldest))
    }

    /// When what another resource was told is news for this question: after the checks ran last, and from now on
    /// where a person asks.
    pub fn news_since(&self, check_key: &CheckKey, now: Instant) -> Option<Instant> {
        if self.is_asked(check_key) { Some(now) } else { self.checked_at }
    }

    /// Whether anything that the checks depend on is another one now.
    pub fn is_outdated(&self, check_key: &CheckKey) -> bool {
        self.check_key.inputs != check_key.inputs
            || self.check_key.dependency_readiness != check_key.dependency_readiness
    }

    /// Whether a person asks for a look, by a re-check or by another spec.
    fn is_asked(&self, check_key: &CheckKey) -> bool {
        self.check_key.recheck != check_key.recheck || self.check_key.spec != check_key.spec
    }

    /// Whether the checks passed at some time with the inputs of this key.
    pub fn was_verified_once(&self, check_key: &CheckKey) -> bool {
        self.verified_once && self.check_key.inputs == check_key.inputs
    }

    /// The findings, if they are about the inputs of this key.
    pub fn findings_on(&self, check_key: &CheckKey) -> &[Finding] {
        if self.check_key.inputs == check_key.inputs { &self.findings.list } else { &[] }
    }

    /// The terms on which credentials that were refused may be sent now.
    pub fn terms(&self, check_key: &CheckKey, interval: Duration) -> Terms {
        let consent = if self.is_asked(check_key) { Consent::Given } else { self.usage.consent };
        Terms { consent, last_look: self.checked_at, interval }
    }

    /// How the findings count.
    pub fn verdict(&self, threshold: u32) -> RunVerdict {
        if let Some(pending) = &self.pending {
            return RunVerdict::Pending(Finding::clone(pending));
        }
        let Some(failure) = self.findings.failure() else {
            return RunVerdict::Passed;
        };
        let tolerated = match self.retrial() {
            Retrial::Held => return RunVerdict::Held(failure.clone()),
            Retrial::Scheduled => threshold,
            // The second try comes so late that it spans more time than the threshold usually does.
            Retrial::Seldom => threshold.min(2),
        };
        if self.verified_once && self.failures < tolerated && self.renewal != Renewal::Overdue {
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
    pub(super) fn retrial(&self) -> Retrial {
        match self.findings.credentials_answer() {
            None | Some(CredentialsAnswer::NotSent) => Retrial::Scheduled,
            Some(CredentialsAnswer::Postponed) => Retrial::Seldom,
            Some(CredentialsAnswer::Unclear) if self.verified_once => Retrial::Seldom,
            Some(CredentialsAnswer::Unclear | CredentialsAnswer::Refused) => Retrial::Held,
        }
    }

    /// The refusal of a maintenance request, if the same was requested a short while ago.
    pub fn refused_maintenance(&self, check_key: &CheckKey, now: Instant) -> Option<&Finding> {
        let (finding, since) = self.refusal.as_deref()?;
        let lasts = check_key.is_answered_by(&self.check_key)
            && now.saturating_duration_since(*since) < REFUSAL_LASTS;
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
        check_key: CheckKey,
        CheckOutcome { findings, evidence, refusal, usage }: CheckOutcome<E>,
        renewal: Renewal,
        jitter: f64,
        now: Instant,
    ) -> Self {
        let same = previous.filter(|previous| previous.check_key.inputs == check_key.inputs);
        let failed = findings.failure().is_some();
        let failures = if failed { same.map_or(0, |same| same.failures).saturating_add(1) } else { 0 };
        let verified_once = !findings.disproved() || same.is_some_and(|same| same.verified_once);
        let refused_before = previous.and_then(|previous| {
            previous.refused_maintenance(&check_key, now)?;
            previous.refusal.as_deref().map(|(_, since)| *since)
        });
        let refusal = refusal.map(|finding| Box::new((finding, refused_before.unwrap_or(now))));
        let checked_at = Some(now);
        Self {
            check_key,
            findings,
            evidence,
            verified_once,
            failures,
            checked_at,
            last_check: None,
            spread: None,
            renewal,
            refusal,
            jitter,
            usage,
            pending: None,
            is_under_way: false,
        }
    }

    /// The history while the checks of new inputs are under way, of which nothing is known yet.
    pub fn pending(check_key: CheckKey, findings: Findings, pending: Finding) -> Self
    where
        E: Default,
    {
        Self {
            check_key,
            findings,
            evidence: E::default(),
            verified_once: false,
            failures: 0,
            checked_at: None,
            last_check: None,
            spread: None,
            renewal: Renewal::Never,
            refusal: None,
            jitter: 0.0,
            usage: Usage::default(),
            pending: Some(Box::new(pending)),
            is_under_way: true,
        }
    }

    /// The same history while newer checks are under way.
    #[must_use]
    pub fn under_way(self) -> Self {
        Self { is_under_way: true, ..self }
    }

    /// Whether the last run failed in no way.
    pub fn is_sound(&self) -> bool {
        self.failures == 0 && self.pending.is_none()
    }

    /// The same history with the time of the run.
    #[must_use]
    pub fn dated(self, last_check: Timestamp) -> Self {
        Self { last_check: Some(last_check), ..self }
    }
}

/// How long a maintenance request that was refused is not repeated, unless something else changes.
const REFUSAL_LASTS: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests;
