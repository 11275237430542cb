//! The check `TokenExchange`: W&B Server must give an access token in exchange for the identity token.

use jiff::Timestamp;

use super::{super::account::Attribution, lifetime::expiration};
use crate::{
    api::{Reason, service_account::AccountStatus},
    engine::Checked,
    instance::{Credential, Instance, ServerRefusal, Viewer},
    issuer::Issuer,
    problem::{Problem, enumerate, quote},
    sensitive::{Redactor, Sensitive},
};

/// The reasons that mean that the server refuses the token. Any other failure means that it could not answer now.
pub(super) const REFUSALS: [Reason; 2] = [Reason::ManualStepRequired, Reason::TokenExpired];

/// An exchange, and what is expected of the account that results.
pub(super) struct Request<'a> {
    /// The server that exchanges the token.
    pub(super) instance: Instance<'a>,
    /// The identity token.
    pub(super) token: &'a Sensitive,
    /// The subject of the token.
    pub(super) subject: &'a str,
    /// The issuer of the token, if it is known.
    pub(super) issuer: Option<&'a Issuer>,
    /// The team in which the account must be.
    pub(super) team: &'a str,
    /// The person to whom the account's runs are attributed.
    pub(super) attribution: Option<&'a Attribution>,
    /// The current time.
    pub(super) now: Timestamp,
}

/// Exchanges the token and asks the server to which account it belongs. The access token is returned in `access`,
/// so that the caller can conceal it in the report. The account is `None` if its name or identifier cannot be
/// shown.
pub(super) async fn check(
    request: &Request<'_>,
    access: &mut Option<Sensitive>,
) -> Result<Checked<Option<AccountStatus>>, ServerRefusal> {
    let Request { instance, token, team, now, .. } = request;
    let given = instance.exchange(token).await.map_err(|refusal| match expiration(token) {
        Some(end) if end <= *now => expired(refusal, end),
        _ => explain(refusal, request),
    })?;
    let redactor = Redactor::new([given.token.clone(), (*token).clone()]);
    *access = Some(given.token.clone());
    let credential = Credential::Token(given);
    let viewer = instance.viewer(&credential).await?;
    let account = account(&viewer, &redactor);
    let shown = account.as_ref().map_or_else(
        || "an account whose name cannot be shown".to_owned(),
        |account| format!("the account \"{}\"", account.username),
    );
    let given = format!("W&B Server gives an access token for {shown}");
    if !viewer.teams.iter().any(|name| name == team) {
        let teams = viewer.teams.into_iter().map(|name| redactor.redact(name));
        let message = format!(
            "{given}, but that is not in the team \"{team}\" and has these: {}. Add it to the team in the web UI, or correct the spec.",
            enumerate(teams)
        );
        return Ok(Checked::warning(account, Reason::NotAMember, message));
    }
    let passed = format!("{given}, which is in the team \"{team}\".");
    let Some(person) = request.attribution else { return Ok(Checked::passed(account, passed)) };
    Ok(match instance.entity(&credential, team).await {
        Ok(entity) if entity.iter().flat_map(|entity| &entity.members).any(|member| person.is(member)) => {
            Checked::passed(account, passed)
        }
        Ok(_) => Checked::warning(account, Reason::NotAMember, person.is_missing_from(team)),
        // The attribution of runs does not keep the account from working, so this is only a warning.
        Err(ServerRefusal { problem, .. }) => Checked::warning(
            account,
            problem.reason,
            format!(
                "{passed} It does not say who else is in the team, such as the person of spec.attribution: {}",
                problem.message
            ),
        ),
    })
}

/// The longest name or identifier of an account that is shown, in characters.
const LONGEST_NAME: usize = 128;

/// The account with its name, if that is safe to show.
fn account(viewer: &Viewer, redactor: &Redactor) -> Option<AccountStatus> {
    let is_name = |text: &&String| {
        !text.is_empty()
            && text.chars().count() <= LONGEST_NAME
            && quote(text) == **text
            && redactor.redact((*text).clone()) == **text
    };
    let id = Some(&viewer.id).filter(is_name)?;
    let names = [viewer.username.as_ref(), viewer.email.as_ref(), Some(id)];
    let username = names.into_iter().flatten().find(is_name)?;
    Some(AccountStatus { id: id.clone(), username: username.clone() })
}

/// Reports an expired token. The rules tolerate a difference between clocks, but the server may not.
fn expired(refusal: ServerRefusal, end: Timestamp) -> ServerRefusal {
    if refusal.problem.reason != Reason::TokenRefused {
        return refusal;
    }
    let message = format!(
        "The token expired at {end:.0} (exp), and the server refuses it: get a new one from the issuer. {}",
        refusal.problem.message
    );
    ServerRefusal { problem: Problem::new(Reason::TokenExpired, message), ..refusal }
}

/// Adds instructions for the step that only a person can do, since W&B has no API for it.
fn explain(refusal: ServerRefusal, request: &Request<'_>) -> ServerRefusal {
    if refusal.problem.reason != Reason::TokenRefused {
        return refusal;
    }
    let issuer =
        request.issuer.map_or_else(|| "of the JwtIssuer".to_owned(), |issuer| quote(issuer.as_str()));
    let message = format!(
        "Register the account once: in the web UI, open the settings of the team \"{}\" (or of the organization), then Service accounts, \"New service account\", choose an external one with the issuer {issuer}, and enter exactly {:?} as its subject. {}",
        request.team,
        quote(request.subject),
        refusal.problem.message
    );
    ServerRefusal { problem: Problem::new(Reason::ManualStepRequired, message), ..refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_shown() {
        let redactor = Redactor::new(["the-access-token".into()]);
        let long = "x".repeat(LONGEST_NAME + 1);
        for (id, username, email, expected) in [
            ("1", Some("ci"), None, Some("ci")),
            ("1", None, Some("ci@example.org"), Some("ci@example.org")),
            ("1", Some(""), None, Some("1")),
            ("1", Some(long.as_str()), None, Some("1")),
            ("1", Some("a\nb"), Some("\u{202e}x"), Some("1")),
            ("1", Some("ci the-access-token"), Some("ci@example.org"), Some("ci@example.org")),
            ("the-access-token", Some("ci"), None, None),
            (long.as_str(), Some("ci"), None, None),
        ] {
            let viewer = Viewer {
                id: id.to_owned(),
                username: username.map(str::to_owned),
                email: email.map(str::to_owned),
                teams: Vec::new(),
                api_keys: Vec::new(),
            };
            let seen = account(&viewer, &redactor).map(|account| account.username);
            assert_eq!(seen.as_deref(), expected, "{id} {username:?}");
        }
    }
}
