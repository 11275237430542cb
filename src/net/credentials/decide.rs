//! Whether credentials may be sent now: pure.

use std::time::{Duration, Instant};

use crate::{
    api::{Reason, names::CredentialsAnswer},
    problem::Problem,
};

/// What a wrong secret may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The server may lock the account, so that refused credentials wait for a person.
    Lock,
    /// The server only refuses them, so that they are sent again on the schedule of whoever is next.
    Refusal,
}

/// What an answer says of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// They are right.
    Accepted,
    /// They are refused, or what was asked with them was.
    Refused,
    /// Nothing, although they may have been judged and counted.
    Unclear,
    /// Nothing.
    Nothing,
}

impl Said {
    /// What the failure of a check that sent credentials says of them, whoever sends them and by whichever connection.
    pub fn by(reason: Reason) -> Self {
        match (reason, reason.credentials_answer()) {
            // These are about the connection, or about where the account is.
            (Reason::ConfidentialityRequired | Reason::Referral, _)
            | (_, CredentialsAnswer::NotSent | CredentialsAnswer::Postponed) => Self::Nothing,
            // A server that is in trouble refuses what it accepts a moment later.
            (Reason::OperationRefused, _) | (_, CredentialsAnswer::Unclear) => Self::Unclear,
            (_, CredentialsAnswer::Refused) => Self::Refused,
        }
    }
}

/// On which terms one run may send credentials that were refused before.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Whether a person asks for it.
    pub consent: Consent,
    /// When the resource looked last.
    pub last_look: Option<Instant>,
    /// How often the resource looks.
    pub interval: Duration,
}

/// Whether a person asks to send refused credentials again: by a re-check, or by another spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// No.
    #[default]
    None,
    /// Yes, once.
    Given,
}

/// What is known of one account's credentials.
#[derive(Default)]
pub(super) struct CredentialEntry {
    /// Whether somebody waits for the answer to them.
    pub(super) is_asked: bool,
    pub(super) verdict: Option<CredentialVerdict>,
}

/// An answer to them.
pub(super) struct CredentialVerdict {
    pub(super) said: Said,
    pub(super) problem: Option<Problem>,
    /// When it came; nothing where only a status tells of it.
    pub(super) at: Option<Instant>,
}

impl CredentialEntry {
    pub(super) fn is_accepted(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.said == Said::Accepted)
    }

    /// Whether they were accepted after a time, or at all where that is not known.
    pub(super) fn is_accepted_since(&self, time: Option<Instant>) -> bool {
        let accepted_at = self.verdict.as_ref().and_then(|verdict| verdict.at);
        self.is_accepted() && time.is_none_or(|time| accepted_at.is_some_and(|at| at > time))
    }

    pub(super) fn is_refused(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.said != Said::Accepted)
    }

    /// What is forgotten first has the lowest rank.
    pub(super) fn rank(&self) -> (bool, Option<Instant>) {
        (self.is_refused(), self.verdict.as_ref().and_then(|verdict| verdict.at))
    }
}

/// What to do with credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendStep {
    /// Send them, and let others wait for the answer.
    Send,
    /// Send them beside others: they were accepted just now.
    SendAlong,
    /// Wait for the answer to somebody else.
    Wait,
    /// Send nothing: this is what the answer would be.
    Known(Problem),
}

/// How long credentials that were accepted are sent by everybody without waiting for one another.
const ACCEPTANCE_LASTS: Duration = Duration::from_secs(10);

/// How long an answer counts for everybody whom a person asks at the same time.
const SAME_TIME: Duration = Duration::from_secs(3);

/// How long credentials are left alone whose answer was unclear: servers usually count wrong passwords over the last
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
    // A person asked for a try, and an answer that says nothing is none: the try is made a moment later.
    if terms.consent == Consent::Given && holding.is_some_and(|verdict| verdict.said == Said::Unclear) {
        return SendStep::Wait;
    }
    match holding.and_then(|verdict| verdict.problem.clone()) {
        Some(problem) => SendStep::Known(problem),
        None if entry.is_asked => SendStep::Wait,
        None => SendStep::Send,
    }
}

impl CredentialVerdict {
    /// Whether it keeps a run on these terms from sending the credentials again.
    fn holds(&self, consequence: Consequence, terms: &Terms, now: Instant) -> bool {
        // Whoever looked after it was given has had it as the answer already.
        let is_news = match (self.at, terms.last_look) {
            (Some(at), Some(last_look)) => at > last_look,
            (Some(_), None) => true,
            (None, _) => false,
        };
        match (self.said, consequence, terms.consent) {
            (Said::Accepted | Said::Nothing, ..) => false,
            // Of many who are asked to send them at the same time, the first one does.
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

    /// What is decided on an answer of an age in seconds, for a resource that looked so many seconds ago.
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
        match decide(&CredentialEntry { is_asked: false, verdict }, consequence, &terms, now) {
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
            // Only a status tells of it.
            (None, (Nobody, None), "known"),
            (None, (Given, None), "send"),
            // The resource has seen this answer.
            (Some(2), (Given, Some(1)), "send"),
            // Another one was asked at the same time, and sent them.
            (Some(1), (Given, Some(60)), "known"),
            (Some(1), (Given, None), "known"),
            // That answer may be out of date.
            (Some(3), (Given, Some(60)), "send"),
        ] {
            assert_eq!(lock(Said::Refused, age, terms), expected, "{age:?} {terms:?}");
        }
        for (age, terms, expected) in [
            (Some(1700), (Nobody, Some(60)), "known"),
            (Some(1800), (Nobody, Some(60)), "send"),
            (Some(1700), (Given, Some(60)), "send"),
            // Somebody else had this answer just now.
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
            // It was this resource that sent them last, or it was told.
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
