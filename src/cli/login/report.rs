//! What came of a login, for people and for programs.

use serde::Serialize;

use super::{
    super::{
        CommandVerdict,
        check::ResourceFindings,
        dyn_resource::{CheckedResource, Examinable},
        terminal::{TITLE, styled},
        tree::{self, Branch, Detail, Layout, Mark, draw_tree, is_shown, of_checks, remark},
    },
    TriedLogin,
};
use crate::{
    api::{CheckName, CheckResult, CheckStatus, Reason, names::Resolution},
    engine::Finding,
    login::{DecodedToken, PersonAsRead},
    problem::quote,
};

/// What `-o json` and `-o yaml` print.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginReport {
    #[serde(flatten)]
    findings: ResourceFindings,
    /// What W&B Server would read of the person, as far as that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<PersonAsRead>,
    /// What the token says that was tried, verified or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<DecodedToken>,
    /// The answer in a sentence.
    summary: String,
    #[serde(skip)]
    mark: Mark,
}

impl LoginReport {
    /// What came of it.
    pub(super) fn new(resource: &dyn Examinable, tried: TriedLogin) -> Self {
        let verdict = tried.checked.verdict();
        let (mark, summary) = match &tried.checked {
            CheckedResource::Obstructed(_) => (Mark::Bad, "The login could not be tried.".to_owned()),
            CheckedResource::Checked(findings) => summary(findings, verdict, &tried),
        };
        let TriedLogin { checked, person, remark, token, .. } = tried;
        Self {
            findings: ResourceFindings::new(resource.title(), resource.origin(), verdict, checked),
            person,
            token,
            summary: [Some(summary.as_str()), remark].into_iter().flatten().collect::<Vec<_>>().join(" "),
            mark,
        }
    }

    /// The same for people. What a connection is made of is shown where it is not as it should be.
    pub(super) fn draw(&self, advice: Option<&str>, layout: Layout) -> String {
        let findings = &self.findings;
        let layout = Layout { detail: Detail::Everything, ..layout };
        if findings.obstacle.is_some() {
            return tree::draw(findings, advice, layout);
        }
        let timed = findings.checks.iter().zip(findings.durations_milliseconds.iter().copied());
        let shown: Vec<_> = timed.filter(|(check, _)| is_of_interest(check)).collect();
        let title = format!("{}  ({})", styled(TITLE, &findings.title), findings.origin);
        let root =
            Branch::new(Mark::None, title).with(self.token.as_ref().map(decoded)).with(of_checks(&shown));
        let tree = draw_tree(&root, layout);
        tree + &remark(self.mark, &self.summary, layout)
    }
}

/// What a token says, a line a claim.
fn decoded(token: &DecodedToken) -> Branch {
    let key = token.key.as_ref().map_or_else(String::new, |key| format!(" by the key {}", quote(key)));
    let head = format!("The token names {}{key}, and says", quote(&token.algorithm));
    let claims = token.claims.iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}: {}", quote(name), quote(&value))
    });
    claims.fold(Branch::new(Mark::None, head), Branch::saying)
}

/// Whether the check is a step of the login itself, and not of the way to the server.
fn is_of_attempt(name: &CheckName) -> bool {
    name.is_of_login() || matches!(name, CheckName::TokenClaims | CheckName::TokenExchange)
}

fn is_of_interest(check: &CheckStatus) -> bool {
    is_shown(check, Detail::Complaints)
        || CheckName::parse(&check.name).is_some_and(|name| is_of_attempt(&name))
}

/// Reasons that only a person ends, and that say nothing of who logs in: another attempt may end in another way.
const ABOUT_THE_ATTEMPT: [Reason; 4] =
    [Reason::SearchLimited, Reason::AnswerMismatch, Reason::CodeRefused, Reason::ProtocolError];

/// What W&B Server must do for a login of which this finding does not show that it works, if it is such a one.
fn unknown(finding: &Finding) -> Option<&'static str> {
    if finding.result != CheckResult::Warning {
        return None;
    }
    match (&finding.name, finding.reason) {
        (CheckName::PersonFound, Reason::Inconclusive) => {
            Some("W&B Server finds the entry by the attribute that has this name")
        }
        (CheckName::PersonFound, Reason::SearchLimited) => Some("no other entry has this name"),
        (CheckName::PasswordAccepted, Reason::PasswordExpired) => {
            Some("W&B Server takes a password that has expired or must be changed")
        }
        (CheckName::LoginAllowed, Reason::NestedGroups) => Some("W&B Server follows groups within groups"),
        (CheckName::LoginAnswered, Reason::Inconclusive) => Some("the way that was not tried works, too"),
        (CheckName::EmailRead, Reason::EmailUnverified) => {
            Some("W&B Server accepts an address that nobody has verified")
        }
        _ => None,
    }
}

/// The answer: whether the person can log in, and as whom.
fn summary(findings: &[Finding], verdict: CommandVerdict, tried: &TriedLogin) -> (Mark, String) {
    let who = &tried.who;
    let failure = findings.iter().find(|finding| finding.result == CheckResult::Failed);
    if let Some(failure) = failure {
        let name = &failure.name;
        // What may pass by itself, and what happened before the login, says nothing of the person.
        let is_known = is_of_attempt(name)
            && failure.reason.remedy() == Resolution::Person
            && !ABOUT_THE_ATTEMPT.contains(&failure.reason);
        let text = if is_known {
            format!("{who} cannot log in: see {name}.")
        } else {
            format!("Whether {who} can log in was not seen: see {name}.")
        };
        return (Mark::Bad, text);
    }
    let name = tried.person.as_ref().and_then(|person| person.known_as.as_deref());
    let known_as = |verb: &str| {
        name.map_or_else(String::new, |name| format!(" W&B Server {verb} this login as {}.", quote(name)))
    };
    let seen = findings.iter().filter_map(|finding| {
        unknown(finding).map(|condition| format!("{condition} (see {})", finding.name))
    });
    let conditions: Vec<_> =
        tried.conditions.iter().map(|condition| (*condition).to_owned()).chain(seen).collect();
    if !conditions.is_empty() {
        let text =
            format!("{who} can log in only if {}.{}", conditions.join(", and if "), known_as("would know"));
        return (Mark::Doubtful, text);
    }
    match verdict {
        CommandVerdict::PassedWithWarnings => {
            (Mark::Doubtful, format!("{who} can log in; see the warnings.{}", known_as("knows")))
        }
        _ => (Mark::Good, format!("{who} can log in.{}", known_as("knows"))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::CheckFrom;

    fn told(name: CheckName, result: CheckResult, reason: Reason) -> String {
        let (tried, findings) = tried(name, result, reason);
        summary(&findings, tried.checked.verdict(), &tried).1
    }

    fn tried(name: CheckName, result: CheckResult, reason: Reason) -> (TriedLogin, Vec<Finding>) {
        let finding = Finding {
            name,
            result,
            reason,
            message: "".into(),
            duration: Duration::ZERO,
            from: CheckFrom::Operator,
        };
        let person = PersonAsRead { known_as: Some("a@b.example".to_owned()), ..PersonAsRead::default() };
        let tried = TriedLogin::tried(vec![finding.clone()], Some(person), "alice".to_owned());
        (tried, vec![finding])
    }

    #[test]
    fn what_only_the_server_knows_is_a_condition() {
        let (tried, findings) = tried(CheckName::EmailRead, CheckResult::Warning, Reason::EmailUnverified);
        let tried = TriedLogin { conditions: vec!["A", "B"], ..tried };
        let (mark, text) = summary(&findings, tried.checked.verdict(), &tried);
        assert_eq!(mark, Mark::Doubtful);
        assert_eq!(
            text,
            "alice can log in only if A, and if B, and if W&B Server accepts an address that nobody has verified (see EmailRead). W&B Server would know this login as a@b.example."
        );
        // Without a warning, too.
        let passed =
            vec![Finding { result: CheckResult::Passed, reason: Reason::Passed, ..findings[0].clone() }];
        let (mark, text) = summary(&passed, CommandVerdict::Passed, &tried);
        assert_eq!(mark, Mark::Doubtful);
        assert!(text.starts_with("alice can log in only if A, and if B. "), "{text}");
    }

    #[test]
    fn the_answer_says_no_more_than_was_seen() {
        use CheckResult::{Failed, Passed, Warning};
        let known = "W&B Server knows this login as a@b.example.";
        let cannot = |name: &str| format!("alice cannot log in: see {name}.");
        let only_if = |condition: &str| {
            format!("alice can log in only if {condition}. W&B Server would know this login as a@b.example.")
        };
        let unseen = |name: &str| format!("Whether alice can log in was not seen: see {name}.");
        for (name, result, reason, expected) in [
            (CheckName::EmailRead, Passed, Reason::Passed, format!("alice can log in. {known}")),
            (
                CheckName::PasswordAccepted,
                Warning,
                Reason::PasswordExpiresSoon,
                format!("alice can log in; see the warnings. {known}"),
            ),
            (
                CheckName::LoginAllowed,
                Warning,
                Reason::NestedGroups,
                only_if("W&B Server follows groups within groups (see LoginAllowed)"),
            ),
            (
                CheckName::EmailRead,
                Warning,
                Reason::EmailUnverified,
                only_if("W&B Server accepts an address that nobody has verified (see EmailRead)"),
            ),
            (
                CheckName::PasswordAccepted,
                Warning,
                Reason::PasswordExpired,
                only_if(
                    "W&B Server takes a password that has expired or must be changed (see PasswordAccepted)",
                ),
            ),
            (
                CheckName::PersonFound,
                Warning,
                Reason::SearchLimited,
                only_if("no other entry has this name (see PersonFound)"),
            ),
            (
                CheckName::PersonFound,
                Warning,
                Reason::Inconclusive,
                only_if("W&B Server finds the entry by the attribute that has this name (see PersonFound)"),
            ),
            (
                CheckName::LoginAnswered,
                Warning,
                Reason::Inconclusive,
                only_if("the way that was not tried works, too (see LoginAnswered)"),
            ),
            (CheckName::PasswordAccepted, Failed, Reason::InvalidCredentials, cannot("PasswordAccepted")),
            (CheckName::LoginAnswered, Failed, Reason::LoginRefused, cannot("LoginAnswered")),
            (CheckName::TokenClaims, Failed, Reason::TokenExpired, cannot("TokenClaims")),
            (CheckName::TcpConnects, Failed, Reason::ConnectionRefused, unseen("TcpConnects")),
            (CheckName::Bind, Failed, Reason::InvalidCredentials, unseen("Bind")),
            (CheckName::PasswordAccepted, Failed, Reason::ServerUnavailable, unseen("PasswordAccepted")),
            (CheckName::LoginAnswered, Failed, Reason::AnswerMismatch, unseen("LoginAnswered")),
            (CheckName::LoginAnswered, Failed, Reason::TimedOut, unseen("LoginAnswered")),
        ] {
            assert_eq!(told(name, result, reason), expected);
        }
    }
}
