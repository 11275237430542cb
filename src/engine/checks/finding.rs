//! What the checks of one run found.

use std::time::Duration;

use super::report::Account;
use crate::{
    api::{
        CheckFrom, CheckName, CheckResult, CheckStatus, Reason,
        names::{CredentialsAnswer, Resolution},
    },
    net::ServerCertificate,
    text::Text,
};

/// The outcome of a check that did not fail.
pub struct Checked<T = ()> {
    pub(super) value: T,
    pub(super) concern: Option<Reason>,
    pub(super) message: String,
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
    pub message: Text,
    /// How long the check took.
    pub duration: Duration,
    /// From where the check was made.
    pub from: CheckFrom,
}

impl Finding {
    /// A finding that needed no network and did not fail.
    pub fn noted(name: CheckName, checked: Checked) -> Self {
        let (result, reason) = match checked.concern {
            Some(reason) => (CheckResult::Warning, reason),
            None => (CheckResult::Passed, Reason::Passed),
        };
        let message = checked.message.into();
        Self { name, result, reason, message, duration: Duration::ZERO, from: CheckFrom::Operator }
    }

    /// What a failure says of the account's credentials, if this check sent them.
    pub(in crate::engine) fn credentials_answer(&self, account: Account) -> Option<CredentialsAnswer> {
        let were_sent = account == Account::Named && self.name.sends_credentials();
        (were_sent && self.result == CheckResult::Failed).then(|| self.reason.credentials_answer())
    }

    /// The finding as `status.checks` carries it.
    pub fn status(&self) -> CheckStatus {
        CheckStatus {
            name: self.name.to_string().into(),
            result: self.result,
            reason: self.reason.as_str().into(),
            message: self.message.clone(),
            from: self.from,
        }
    }

    /// The finding that `status.checks` carries; `None` if another version of the operator wrote it.
    pub(in crate::engine) fn from_status(check: &crate::api::CheckStatus) -> Option<Self> {
        Some(Self {
            name: CheckName::parse(&check.name)?,
            result: check.result,
            reason: check.reason.parse().ok()?,
            message: check.message.clone(),
            duration: Duration::ZERO,
            from: check.from,
        })
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
