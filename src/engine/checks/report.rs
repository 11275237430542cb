//! Collects what the checks of one run find.

use std::time::{Duration, Instant};

use super::{
    advice::advice,
    finding::{Checked, Finding, Findings},
};
use crate::engine::Repetition;
use crate::{
    api::{CheckFrom, CheckName, CheckResult, Reason},
    net::ServerCertificate,
    problem::Problem,
    sensitive::{Redactor, Sensitive},
};

/// Collects findings while checks run, and redacts secrets in every message.
pub struct Report {
    order: Vec<CheckName>,
    redactor: Redactor,
    findings: Vec<Finding>,
    running: Option<(CheckName, Instant)>,
    certificate: Option<ServerCertificate>,
    pause: Option<Duration>,
    account: Account,
    repetition: Repetition,
    from: CheckFrom,
}

/// What a run was waiting for when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// An answer of the server.
    Answer,
    /// Memory for a large answer, which the answers to other runs took.
    Memory,
    /// The rest of a large answer, while other runs waited for the memory that it took.
    Rest,
    /// The answer that another resource gets to the same credentials.
    Others,
}

/// Whose credentials the checks send, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// The checks send no credentials of an account that could be locked.
    #[default]
    Anonymous,
    /// The checks send the credentials of an account. They come from a Secret, and the server may lock the
    /// account.
    Named,
}

impl Report {
    /// An empty report about these checks.
    pub fn new(order: Vec<CheckName>, redactor: Redactor) -> Self {
        Self {
            order,
            redactor,
            findings: Vec::new(),
            running: None,
            certificate: None,
            pause: None,
            account: Account::Anonymous,
            repetition: Repetition::default(),
            from: CheckFrom::Operator,
        }
    }

    /// The same report, for checks that send this account's credentials.
    #[must_use]
    pub fn on_behalf_of(self, account: Account) -> Self {
        Self { account, ..self }
    }

    /// The same report on checks that are made again in this way.
    #[must_use]
    pub fn repeated(self, repetition: Repetition) -> Self {
        Self { repetition, ..self }
    }

    /// The same report on checks that are made from there.
    #[must_use]
    pub fn made_from(self, from: CheckFrom) -> Self {
        Self { from, ..self }
    }

    /// Runs a check and records what it found. `None` means that it failed and its chain ends.
    pub async fn check<T>(
        &mut self,
        name: CheckName,
        check: impl Future<Output = Result<Checked<T>, Problem>>,
    ) -> Option<T> {
        self.running = Some((name.clone(), Instant::now()));
        let outcome = check.await;
        self.record(name, outcome)
    }

    /// Records a check that needs no network. `None` means that it failed and its chain ends.
    pub fn record<T>(&mut self, name: CheckName, outcome: Result<Checked<T>, Problem>) -> Option<T> {
        let (value, result, reason, message) = match outcome {
            Ok(Checked { value, concern: None, message }) => {
                (Some(value), CheckResult::Passed, Reason::Passed, message)
            }
            Ok(Checked { value, concern: Some(reason), message }) => {
                (Some(value), CheckResult::Warning, reason, message)
            }
            Err(Problem { reason, message }) => (None, CheckResult::Failed, reason, message),
        };
        self.push(name, result, reason, message);
        value
    }

    /// Records that a check was left out on purpose, and why.
    pub fn skip(&mut self, name: CheckName, message: &str) {
        self.push(name, CheckResult::Skipped, Reason::NotRequested, message.to_owned());
    }

    /// Has another check in the place of one that this run does not make.
    pub fn replace(&mut self, check: &CheckName, by: &CheckName) {
        for name in self.order.iter_mut().filter(|name| *name == check) {
            *name = by.clone();
        }
    }

    /// Records the certificate that the server presented.
    pub fn saw_certificate(&mut self, certificate: ServerCertificate) {
        self.certificate = Some(certificate);
    }

    /// Redacts in every later message a secret that was not among the inputs.
    pub fn conceal(&mut self, secret: &Sensitive) {
        self.redactor.conceal(secret);
    }

    /// Records that a server asked to wait for a time before the next request (`Retry-After`).
    pub fn pause(&mut self, duration: Duration) {
        self.pause = self.pause.max(Some(duration));
    }

    /// Whether a check failed so far.
    pub fn has_failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.result == CheckResult::Failed)
    }

    fn push(&mut self, name: CheckName, result: CheckResult, reason: Reason, message: String) {
        let duration = self
            .running
            .take_if(|(running, _)| *running == name)
            .map_or(Duration::ZERO, |(_, started)| started.elapsed());
        let (message, from) = (self.redactor.redact(message).into(), self.from);
        let mut finding = Finding { name, result, reason, message, duration, from };
        let answer = finding.credentials_answer(self.account);
        if let Some(advice) = advice(&finding, answer, self.repetition) {
            finding.message = format!("{} {advice}", finding.message).into();
        }
        self.findings.push(finding);
    }

    /// Ends a run that used all of its time: the check that was running counts as failed.
    pub fn time_out(&mut self, limit: Duration, awaited: Awaited) {
        let running = self.running.as_ref().map(|(name, _)| name.clone());
        let first_missing = || self.order.iter().find(|name| !self.has(name)).cloned();
        if let Some(name) = running.or_else(first_missing) {
            let limit = humanize(limit);
            let (reason, message) = match awaited {
                Awaited::Answer if name == CheckName::ProxyConnects => (
                    Reason::TimedOut,
                    format!(
                        "No answer of the proxy within the time limit of {limit} (checkTimeout), which this check shares with the ones before it. Check that the proxy is healthy and reaches the server, and that nothing on the way drops packets."
                    ),
                ),
                Awaited::Answer => (
                    Reason::TimedOut,
                    format!(
                        "No answer within the time limit of {limit} (checkTimeout), which this check shares with the ones before it. Check that the server is healthy, and that nothing on the way drops packets."
                    ),
                ),
                Awaited::Rest => (
                    Reason::Inconclusive,
                    "The server sends a large answer too slowly, and other checks needed the memory for theirs, so this one was ended. Check that the server is healthy, and why it sends that much.".to_owned(),
                ),
                Awaited::Memory => (
                    Reason::Inconclusive,
                    format!(
                        "The server's answer is large, and within the time limit of {limit} (checkTimeout) the operator had no memory to read it, since other checks were reading large answers. This says nothing about the server. If this goes on, look for resources whose servers send large answers slowly."
                    ),
                ),
                Awaited::Others => (
                    Reason::AwaitingAnswer,
                    format!(
                        "The credentials were not sent within the time limit of {limit} (checkTimeout): another resource sent the same ones and has no answer yet, or the operator has just started and still reads which ones were refused before."
                    ),
                ),
            };
            self.push(name, CheckResult::Failed, reason, message);
        }
    }

    fn has(&self, name: &CheckName) -> bool {
        self.findings.iter().any(|finding| finding.name == *name)
    }

    /// Every check once, in order. Checks that were not reached are Skipped.
    pub fn finish(mut self) -> Findings {
        let failed = self.has_failed();
        let missing = self.order.iter().find(|name| !self.has(name)).cloned();
        // A check that was not made must never count as verified, whatever the reason.
        if let (false, Some(name)) = (failed, missing) {
            self.push(
                name,
                CheckResult::Failed,
                Reason::NotReached,
                "Not run, although no earlier check failed. This is a fault of the operator: please report it."
                    .to_owned(),
            );
        }
        let culprit = self.findings.iter().find(|finding| finding.result == CheckResult::Failed);
        let culprit = culprit.map_or_else(String::new, |finding| finding.name.to_string());
        let mut recorded = self.findings;
        let mut list = Vec::with_capacity(self.order.len());
        for name in self.order {
            let found = recorded.iter().position(|finding| finding.name == name);
            list.push(
                found.map_or_else(|| not_reached(name, &culprit, self.from), |index| recorded.remove(index)),
            );
        }
        list.append(&mut recorded);
        Findings { list, certificate: self.certificate, pause: self.pause, account: self.account }
    }
}

fn not_reached(name: CheckName, culprit: &str, from: CheckFrom) -> Finding {
    Finding {
        name,
        result: CheckResult::Skipped,
        reason: Reason::NotReached,
        message: format!("Not run, since {culprit} failed.").into(),
        duration: Duration::ZERO,
        from,
    }
}

fn humanize(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests;
