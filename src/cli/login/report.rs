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
    let known_as = tried.person.as_ref().and_then(|person| person.known_as.as_deref());
    let known_as =
        known_as.map_or_else(String::new, |name| format!(" W&B Server knows this login as {}.", quote(name)));
    let is_nested = findings.iter().any(|finding| finding.reason == Reason::NestedGroups);
    match verdict {
        _ if is_nested => (
            Mark::Doubtful,
            format!(
                "Whether {who} can log in depends on how W&B Server reads groups: see LoginAllowed.{known_as}"
            ),
        ),
        CommandVerdict::PassedWithWarnings => {
            (Mark::Doubtful, format!("{who} can log in; see the warnings.{known_as}"))
        }
        _ => (Mark::Good, format!("{who} can log in.{known_as}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::CheckFrom;

    fn told(name: CheckName, result: CheckResult, reason: Reason) -> String {
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
        summary(&[finding], tried.checked.verdict(), &tried).1
    }

    #[test]
    fn the_answer_says_no_more_than_was_seen() {
        use CheckResult::{Failed, Passed, Warning};
        let known = "W&B Server knows this login as a@b.example.";
        let cannot = |name: &str| format!("alice cannot log in: see {name}.");
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
                format!(
                    "Whether alice can log in depends on how W&B Server reads groups: see LoginAllowed. {known}"
                ),
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
