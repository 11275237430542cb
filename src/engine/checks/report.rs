//! What the checks of one run found, and how findings are collected.

use std::time::{Duration, Instant};

use crate::engine::Repetition;
use crate::{
    api::{
        CheckName, CheckResult, CheckStatus, Reason,
        names::{CredentialsAnswer, Resolution},
    },
    net::ServerCertificate,
    problem::Problem,
    sensitive::{Redactor, Sensitive},
};

/// The outcome of a check that did not fail.
pub struct Checked<T = ()> {
    value: T,
    concern: Option<Reason>,
    message: String,
}

impl<T> Checked<T> {
    /// An outcome without a complaint.
    pub fn passed(value: T, message: impl Into<String>) -> Self {
        Self { value, concern: None, message: message.into() }
    }

    /// An outcome that works, but that a person should look at.
    pub fn warning(value: T, reason: Reason, message: impl Into<String>) -> Self {
        Self { value, concern: Some(reason), message: message.into() }
    }

    /// The value that the check obtained, without its message.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The same outcome with its value changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Checked<U> {
        Checked { value: change(self.value), concern: self.concern, message: self.message }
    }

    /// The same outcome with another value.
    pub fn with<U>(self, value: U) -> Checked<U> {
        Checked { value, concern: self.concern, message: self.message }
    }
}

/// The result of one check in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The check.
    pub name: CheckName,
    /// The result.
    pub result: CheckResult,
    /// The reason, one word for programs.
    pub reason: Reason,
    /// What was seen, what was expected, and what to do next.
    pub message: String,
    /// How long the check took.
    pub duration: Duration,
}

impl Finding {
    /// A finding that needed no network and did not fail.
    pub fn noted(name: CheckName, checked: Checked) -> Self {
        let (result, reason) = match checked.concern {
            Some(reason) => (CheckResult::Warning, reason),
            None => (CheckResult::Passed, Reason::Passed),
        };
        Self { name, result, reason, message: checked.message, duration: Duration::ZERO }
    }

    /// What a failure says of the account's credentials, if this check sent them.
    pub(in crate::engine) fn credentials_answer(&self, account: Account) -> Option<CredentialsAnswer> {
        let were_sent = account == Account::Named && self.name.sends_credentials();
        (were_sent && self.result == CheckResult::Failed).then(|| self.reason.credentials_answer())
    }

    /// The finding as `status.checks` carries it.
    pub fn status(&self) -> CheckStatus {
        CheckStatus {
            name: self.name.to_string(),
            result: self.result,
            reason: self.reason.to_string(),
            message: self.message.clone(),
        }
    }
}

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

/// The sentence for people about credentials that were refused.
const NOT_REPEATED: &str = "The operator does not try it again until the spec, the Secret or the annotation auth.wandb.com/recheck changes.";

/// The sentence for people who try credentials by hand and get no clear answer.
const COUNTED: &str = "The server may have counted this as a wrong password.";

/// The sentence for people about credentials that got no clear answer.
const NOT_REPEATED_UNCLEAR: &str = "The server may have counted this as a wrong password. The operator does not try it again until the spec, the Secret or the annotation auth.wandb.com/recheck changes; only a password that worked before is tried again, after half an hour at the earliest.";

/// The sentence for people about credentials that the server was in no state to judge.
const POSTPONED: &str = "The operator tries it again after half an hour, or as soon as the spec, the Secret or the annotation auth.wandb.com/recheck changes.";

/// What a person who does not want to wait must know.
const REPEATED: &str = "The operator tries again by itself.";

/// When the check is made again, where that is not plain.
fn advice(
    finding: &Finding,
    answer: Option<CredentialsAnswer>,
    repetition: Repetition,
) -> Option<&'static str> {
    match (repetition, answer) {
        // A wrong password may count towards a lock all the same.
        (Repetition::Never, Some(CredentialsAnswer::Unclear)) => Some(COUNTED),
        (Repetition::Never, _) => None,
        (_, Some(CredentialsAnswer::Refused)) => Some(NOT_REPEATED),
        (_, Some(CredentialsAnswer::Unclear)) => Some(NOT_REPEATED_UNCLEAR),
        (_, Some(CredentialsAnswer::Postponed)) => Some(POSTPONED),
        (_, Some(CredentialsAnswer::NotSent) | None) => {
            let passes = match finding.reason {
                Reason::ServerUnavailable | Reason::RateLimited | Reason::AwaitingAnswer => true,
                Reason::Inconclusive => finding.result == CheckResult::Failed,
                _ => false,
            };
            passes.then_some(REPEATED)
        }
    }
}

/// Begins the sentence that says where refused credentials come from.
const ORIGIN: &str = " The credentials come from the key ";

/// The problem of refused credentials, with where they come from. That is for the resource's own people: the answer to
/// the same credentials is remembered, and told to others, without it.
pub fn coming_from(problem: Problem, location: &str) -> Problem {
    let Problem { reason, message } = problem;
    Problem::new(reason, format!("{message}{ORIGIN}{location}."))
}

/// A finding's message without where its credentials come from, and without what is said of when they are sent again.
pub(in crate::engine) fn without_advice(message: &str) -> &str {
    let advice = [NOT_REPEATED, NOT_REPEATED_UNCLEAR, POSTPONED, COUNTED, REPEATED];
    let rest = advice.iter().find_map(|advice| message.strip_suffix(advice)).unwrap_or(message);
    rest.split(ORIGIN).next().unwrap_or(rest).trim_end()
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
        let mut finding = Finding { name, result, reason, message: self.redactor.redact(message), duration };
        let answer = finding.credentials_answer(self.account);
        if let Some(advice) = advice(&finding, answer, self.repetition) {
            finding.message = format!("{} {advice}", finding.message);
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
                        "The server's answer is large, and within the time limit of {limit} (checkTimeout) the operator had no memory to read it, since other checks were reading large answers. This says nothing about the server. If that does not pass, look for resources whose servers send large answers slowly."
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
                "Not run, although no earlier check failed. That is a fault of the operator's: report it."
                    .to_owned(),
            );
        }
        let culprit = self.findings.iter().find(|finding| finding.result == CheckResult::Failed);
        let culprit = culprit.map_or_else(String::new, |finding| finding.name.to_string());
        let mut recorded = self.findings;
        let mut list = Vec::with_capacity(self.order.len());
        for name in self.order {
            let found = recorded.iter().position(|finding| finding.name == name);
            list.push(found.map_or_else(|| not_reached(name, &culprit), |index| recorded.remove(index)));
        }
        list.append(&mut recorded);
        Findings { list, certificate: self.certificate, pause: self.pause, account: self.account }
    }
}

fn not_reached(name: CheckName, culprit: &str) -> Finding {
    Finding {
        name,
        result: CheckResult::Skipped,
        reason: Reason::NotReached,
        message: format!("Not run, since {culprit} failed."),
        duration: Duration::ZERO,
    }
}

fn humanize(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// Everything that one run found, in order.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// One finding for each check.
    pub list: Vec<Finding>,
    /// The certificate that the server presented.
    pub certificate: Option<ServerCertificate>,
    /// How long a server asked to wait before the next request.
    pub pause: Option<Duration>,
    /// Whose credentials the checks sent.
    pub account: Account,
}

impl Findings {
    /// The first failed check.
    pub fn failure(&self) -> Option<&Finding> {
        self.list.iter().find(|finding| finding.result == CheckResult::Failed)
    }

    /// What the server said of an account's credentials, if it did not accept them.
    pub fn credentials_answer(&self) -> Option<CredentialsAnswer> {
        self.list.iter().find_map(|finding| finding.credentials_answer(self.account))
    }

    /// Whether a check failed that judges the values.
    pub fn disproved(&self) -> bool {
        self.list.iter().any(|finding| finding.result == CheckResult::Failed && finding.name.judges_values())
    }

    /// The failure of this check, if only a person can fix its cause.
    pub fn refusal(&self, name: &CheckName) -> Option<&Finding> {
        let is_refused = |finding: &&Finding| {
            finding.name == *name
                && finding.result == CheckResult::Failed
                && finding.reason.remedy() == Resolution::Person
        };
        self.list.iter().find(is_refused)
    }

    /// Whether a server that counts wrong credentials refused those that a check sent.
    pub fn need_other_credentials(&self) -> bool {
        self.list
            .iter()
            .any(|finding| finding.result == CheckResult::Failed && finding.reason.needs_other_credentials())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_the_check_that_used_the_time_up() {
        let mut report = Report::new(
            vec![CheckName::DnsResolves, CheckName::TcpConnects, CheckName::Bind],
            Redactor::default(),
        );
        report.record(CheckName::DnsResolves, Ok(Checked::passed((), "found")));
        let endless = report.check::<()>(CheckName::TcpConnects, std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(1), endless).await.is_err());
        report.time_out(Duration::from_secs(10), Awaited::Answer);
        let seen: Vec<_> =
            report.finish().list.into_iter().map(|finding| (finding.name, finding.reason)).collect();
        assert_eq!(
            seen,
            [
                (CheckName::DnsResolves, Reason::Passed),
                (CheckName::TcpConnects, Reason::TimedOut),
                (CheckName::Bind, Reason::NotReached),
            ]
        );
    }

    #[test]
    fn a_shortage_of_memory_is_an_outage_and_nobody_s_mistake() {
        let mut report = Report::new(vec![CheckName::Discovery], Redactor::default());
        report.time_out(Duration::from_secs(10), Awaited::Memory);
        let findings = report.finish();
        let failure = findings.failure().unwrap();
        assert_eq!((failure.reason, failure.reason.remedy()), (Reason::Inconclusive, Resolution::Retry));
        assert!(failure.message.contains("says nothing about the server"), "{}", failure.message);
    }

    #[test]
    fn credentials_that_waited_for_others_were_not_sent() {
        for (awaited, expected) in
            [(Awaited::Answer, CredentialsAnswer::Unclear), (Awaited::Others, CredentialsAnswer::NotSent)]
        {
            let mut report =
                Report::new(vec![CheckName::Bind], Redactor::default()).on_behalf_of(Account::Named);
            report.time_out(Duration::from_secs(10), awaited);
            let findings = report.finish();
            assert_eq!(findings.credentials_answer(), Some(expected), "{awaited:?}");
        }
    }

    #[test]
    fn what_was_not_looked_at_never_counts_as_verified() {
        let mut report = Report::new(vec![CheckName::DnsResolves, CheckName::Bind], Redactor::default());
        report.record(CheckName::DnsResolves, Ok(Checked::passed((), "found")));
        let findings = report.finish();
        assert_eq!(findings.failure().unwrap().name, CheckName::Bind);
    }

    #[test]
    fn says_of_each_answer_to_credentials_when_they_are_sent_again() {
        let message = |account, reason| {
            let report = Report::new(vec![CheckName::Bind], Redactor::default()).on_behalf_of(account);
            let mut report = report;
            report.record::<()>(CheckName::Bind, Err(Problem::new(reason, "No.")));
            let findings = report.finish();
            (findings.credentials_answer(), findings.list[0].message.clone())
        };
        for (reason, answer, words) in [
            (Reason::InvalidCredentials, CredentialsAnswer::Refused, "does not try it again until"),
            (Reason::OperationRefused, CredentialsAnswer::Refused, "does not try it again until"),
            (Reason::TimedOut, CredentialsAnswer::Unclear, "may have counted this as a wrong password"),
            (Reason::ProtocolError, CredentialsAnswer::Unclear, "may have counted this as a wrong password"),
            (Reason::ServerUnavailable, CredentialsAnswer::Postponed, "tries it again after half an hour"),
            (Reason::ConnectionFailed, CredentialsAnswer::NotSent, "No."),
        ] {
            let (seen, text) = message(Account::Named, reason);
            assert_eq!(seen, Some(answer), "{reason}");
            assert!(text.contains(words), "{text}");
            let passes = matches!(reason, Reason::ServerUnavailable);
            let anonymous = if passes { format!("No. {REPEATED}") } else { "No.".to_owned() };
            assert_eq!(message(Account::Anonymous, reason), (None, anonymous));
        }
    }

    #[test]
    fn others_are_not_told_whose_secret_it_was() {
        let refused = Problem::new(Reason::InvalidCredentials, "The directory refused it.");
        let problem = coming_from(refused.clone(), "\"password\" of the Secret \"ldap-bind\" (spec.bind)");
        assert!(problem.message.ends_with("the key \"password\" of the Secret \"ldap-bind\" (spec.bind)."));
        for advice in ["", NOT_REPEATED, NOT_REPEATED_UNCLEAR] {
            let told = format!("{} {advice}", problem.message);
            assert_eq!(without_advice(told.trim_end()), refused.message);
        }
    }

    #[test]
    fn nothing_is_promised_where_nobody_looks_again() {
        let message = |account, reason| {
            let report = Report::new(vec![CheckName::Bind], Redactor::default());
            let mut report = report.on_behalf_of(account).repeated(Repetition::Never);
            report.record::<()>(CheckName::Bind, Err(Problem::new(reason, "No.")));
            report.finish().list[0].message.clone()
        };
        for reason in [Reason::InvalidCredentials, Reason::ServerUnavailable, Reason::RateLimited] {
            assert_eq!(message(Account::Named, reason), "No.", "{reason}");
        }
        assert_eq!(message(Account::Named, Reason::ConnectionClosed), format!("No. {COUNTED}"));
        assert_eq!(message(Account::Anonymous, Reason::ConnectionClosed), "No.");
    }

    #[test]
    fn takes_secrets_out_of_messages() {
        let mut report = Report::new(vec![CheckName::Bind], Redactor::new(["hunter2".into()]));
        report
            .record::<()>(CheckName::Bind, Err(Problem::new(Reason::InvalidCredentials, "refused hunter2")));
        assert_eq!(report.finish().list[0].message, "refused [redacted]");
    }
}
