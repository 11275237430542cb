//! Decides whether credentials may be sent now. The functions are pure.

use std::time::{Duration, Instant};

use crate::{
    api::{Reason, names::CredentialsAnswer},
    problem::Problem,
};

/// What happens after a wrong secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The server may lock the account, so refused credentials are not sent again before a person does something.
    Lock,
    /// The server only refuses them, so they are sent again on the schedule of the next resource that has them.
    Refusal,
}

/// What an answer says about credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// They are right.
    Accepted,
    /// They were refused, or what was requested with them was.
    Refused,
    /// It says nothing, but the server may have judged and counted them.
    Unclear,
    /// It says nothing, and the server has not judged them.
    Nothing,
}

impl Said {
    /// What a failed check says about the credentials that it sent, independent of the resource and the
    /// connection.
    pub fn by(reason: Reason) -> Self {
        match (reason, reason.credentials_answer()) {
            // These reasons are about the connection, or about where the account is.
            (Reason::ConfidentialityRequired | Reason::Referral, _)
            | (_, CredentialsAnswer::NotSent | CredentialsAnswer::Postponed) => Self::Nothing,
            // A server that is in trouble may refuse now what it accepts a moment later.
            (Reason::OperationRefused, _) | (_, CredentialsAnswer::Unclear) => Self::Unclear,
            (_, CredentialsAnswer::Refused) => Self::Refused,
        }
    }
}

/// The terms on which one run may send credentials that were refused before.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Whether a person asks for it.
    pub consent: Consent,
    /// When the resource made its checks last.
    pub last_look: Option<Instant>,
    /// How often the resource makes its checks.
    pub interval: Duration,
}

/// Whether a person asks to send refused credentials again, by a re-check or by another spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// Nobody asks.
    #[default]
    None,
    /// A person asks for one try.
    Given,
}

/// What is known about one account's credentials.
#[derive(Default)]
pub(super) struct CredentialEntry {
    /// Whether a run is waiting for the answer to them.
    pub(super) is_asked: bool,
    /// Until when a pod may be sending them, whose answer is not known yet.
    pub(super) is_elsewhere_until: Option<Instant>,
    pub(super) verdict: Option<CredentialVerdict>,
}

/// An answer to credentials.
pub(super) struct CredentialVerdict {
    pub(super) said: Said,
    pub(super) problem: Option<Problem>,
    /// When it came; `None` if it is known from a status only.
    pub(super) at: Option<Instant>,
}

impl CredentialEntry {
    /// Whether a pod may be sending them now.
    pub(super) fn is_elsewhere(&self, now: Instant) -> bool {
        self.is_elsewhere_until.is_some_and(|until| now < until)
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.said == Said::Accepted)
    }

    /// Whether they were accepted after this time, or at all if the time is not known.
    pub(super) fn is_accepted_since(&self, time: Option<Instant>) -> bool {
        let accepted_at = self.verdict.as_ref().and_then(|verdict| verdict.at);
        self.is_accepted() && time.is_none_or(|time| accepted_at.is_some_and(|at| at > time))
    }

    pub(super) fn is_refused(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.said != Said::Accepted)
    }

    /// The order in which entries are removed: the lowest rank first.
    pub(super) fn rank(&self) -> (bool, Option<Instant>) {
        (self.is_refused(), self.verdict.as_ref().and_then(|verdict| verdict.at))
    }
}

/// What to do with credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendStep {
    /// Send them, and let other runs wait for the answer.
    Send,
    /// Send them without making others wait, because they were accepted just now.
    SendAlong,
    /// Wait for the answer that another run gets.
    Wait,
    /// Send nothing, because this would be the answer.
    Known(Problem),
}

/// How long after an acceptance all runs may send the credentials without waiting for one another.
const ACCEPTANCE_LASTS: Duration = Duration::from_secs(10);

/// How long an answer also counts for the other resources that a person asks to try at the same time.
const SAME_TIME: Duration = Duration::from_secs(3);

/// How long credentials are not sent after an unclear answer: servers usually count wrong passwords over the last
/// half hour.
const UNCLEAR_LASTS: Duration = Duration::from_mins(30);

pub(super) fn decide(
    entry: &CredentialEntry,
    consequence: Consequence,
    terms: &Terms,
    now: Instant,
) -> SendStep {
    let verdict = entry.verdict.as_ref();
    if verdict
        .is_some_and(|verdict| verdict.said == Said::Accepted && verdict.is_younger(ACCEPTANCE_LASTS, now))
    {
        return SendStep::SendAlong;
    }
    let holding = verdict.filter(|verdict| verdict.holds(consequence, terms, now));
    // A person asked for a try, and an unclear answer does not tell them anything, so another try is made a
    // moment later.
    if terms.consent == Consent::Given && holding.is_some_and(|verdict| verdict.said == Said::Unclear) {
        return SendStep::Wait;
    }
    match holding.and_then(|verdict| verdict.problem.clone()) {
        Some(problem) => SendStep::Known(problem),
        None if entry.is_asked || entry.is_elsewhere(now) => SendStep::Wait,
        None => SendStep::Send,
    }
}

impl CredentialVerdict {
    /// Whether this answer keeps a run on these terms from sending the credentials again.
    fn holds(&self, consequence: Consequence, terms: &Terms, now: Instant) -> bool {
        // A resource that made its checks after this answer has already reported it.
        let is_news = match (self.at, terms.last_look) {
            (Some(at), Some(last_look)) => at > last_look,
            (Some(_), None) => true,
            (None, _) => false,
        };
        match (self.said, consequence, terms.consent) {
            (Said::Accepted | Said::Nothing, ..) => false,
            // If a person asks several resources for a try at the same time, only the first one sends the
            // credentials.
            (_, _, Consent::Given) => is_news && self.is_younger(SAME_TIME, now),
            (Said::Refused, Consequence::Lock, Consent::None) => true,
            (Said::Unclear, Consequence::Lock, Consent::None) => self.is_younger(UNCLEAR_LASTS, now),
            (_, Consequence::Refusal, Consent::None) => is_news && self.is_younger(terms.interval, now),
        }
    }

    fn is_younger(&self, age: Duration, now: Instant) -> bool {
        self.at.is_some_and(|at| now.saturating_duration_since(at) < age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const INTERVAL: Duration = Duration::from_mins(5);

    /// The decision about an answer of this age in seconds, for a resource that made its checks so many seconds
    /// ago.
    fn step(
        said: Said,
        age: Option<u32>,
        consequence: Consequence,
        (consent, looked): (Consent, Option<u32>),
    ) -> &'static str {
        let now = Instant::now() + Duration::from_hours(24);
        let ago = |seconds: u32| now.checked_sub(SECOND * seconds).unwrap();
        let problem = Some(Problem::new(Reason::InvalidCredentials, "No."));
        let verdict = Some(CredentialVerdict { said, problem, at: age.map(ago) });
        let terms = Terms { consent, last_look: looked.map(ago), interval: INTERVAL };
        let entry = CredentialEntry { verdict, ..CredentialEntry::default() };
        match decide(&entry, consequence, &terms, now) {
            SendStep::Send => "send",
            SendStep::SendAlong => "send along",
            SendStep::Wait => "wait",
            SendStep::Known(_) => "known",
        }
    }

    #[test]
    fn refused_credentials_wait_for_a_person_where_accounts_are_locked() {
        use Consent::{Given, None as Nobody};
        let lock = |said, age, terms| step(said, age, Consequence::Lock, terms);
        for (age, terms, expected) in [
            (Some(1), (Nobody, None), "known"),
            (Some(90_000), (Nobody, Some(86_000)), "known"),
            // The answer is known from a status only.
            (None, (Nobody, None), "known"),
            (None, (Given, None), "send"),
            // The resource has reported this answer already.
            (Some(2), (Given, Some(1)), "send"),
            // Another resource was asked at the same time, and sent them.
            (Some(1), (Given, Some(60)), "known"),
            (Some(1), (Given, None), "known"),
            // The answer may be out of date.
            (Some(3), (Given, Some(60)), "send"),
        ] {
            assert_eq!(lock(Said::Refused, age, terms), expected, "{age:?} {terms:?}");
        }
        for (age, terms, expected) in [
            (Some(1700), (Nobody, Some(60)), "known"),
            (Some(1800), (Nobody, Some(60)), "send"),
            (Some(1700), (Given, Some(60)), "send"),
            // Another resource got this answer just now.
            (Some(1), (Given, Some(60)), "wait"),
            (Some(3), (Given, Some(60)), "send"),
        ] {
            assert_eq!(lock(Said::Unclear, age, terms), expected, "{age:?} {terms:?}");
        }
    }

    #[test]
    fn elsewhere_they_are_sent_once_an_interval_whoever_does() {
        use Consent::{Given, None as Nobody};
        for (age, terms, expected) in [
            (Some(1), (Nobody, None), "known"),
            (Some(1), (Nobody, Some(300)), "known"),
            (Some(300), (Nobody, None), "send"),
            // This resource sent them last, or has reported the answer.
            (Some(60), (Nobody, Some(59)), "send"),
            (Some(60), (Given, Some(90)), "send"),
        ] {
            assert_eq!(step(Said::Refused, age, Consequence::Refusal, terms), expected, "{age:?} {terms:?}");
        }
    }

    #[test]
    fn only_what_is_about_the_account_is_said_of_it() {
        for (reason, expected) in [
            (Reason::InvalidCredentials, Said::Refused),
            (Reason::AccountLocked, Said::Refused),
            (Reason::PasswordExpired, Said::Refused),
            (Reason::OperationRefused, Said::Unclear),
            (Reason::TimedOut, Said::Unclear),
            (Reason::ConnectionClosed, Said::Unclear),
            (Reason::ServerUnavailable, Said::Nothing),
            (Reason::ConfidentialityRequired, Said::Nothing),
            (Reason::Referral, Said::Nothing),
            (Reason::TlsHandshakeFailed, Said::Nothing),
        ] {
            assert_eq!(Said::by(reason), expected, "{reason}");
        }
    }

    #[test]
    fn right_ones_delay_nobody() {
        for consequence in [Consequence::Lock, Consequence::Refusal] {
            let terms = (Consent::None, None);
            assert_eq!(step(Said::Accepted, Some(1), consequence, terms), "send along");
            assert_eq!(step(Said::Accepted, Some(60), consequence, terms), "send");
        }
    }
}
