//! What the browser comes back with (RFC 6749 section 4.1.2, OpenID Connect Core 1.0 section 3.2.2.5).

use std::collections::BTreeMap;

use url::{Url, form_urlencoded};

use super::{StartedLogin, advice};
use crate::{
    api::Reason,
    engine::Checked,
    issuer::oauth::OAuthError,
    oidc::{OidcPlan, RedirectUri},
    problem::{Problem, quote},
    sensitive::{Redactor, Sensitive},
};

/// The parameters of an answer. They may be secret, so this type has no `Debug`.
pub struct BrowserAnswer(BTreeMap<String, String>);

/// What the text is that a person pasted.
pub enum AnswerReading {
    /// The answer of a provider.
    Answer(BrowserAnswer),
    /// Something else; the text says what, and what to do.
    Other(String),
}

/// What the provider gives for the login.
pub(super) enum Grant {
    /// A code, for which the token endpoint gives the ID token.
    Code(Sensitive),
    /// The ID token itself.
    IdToken(Sensitive),
}

/// The parameters that are secret.
const SECRET: [&str; 3] = ["code", "id_token", "access_token"];

impl BrowserAnswer {
    /// The answer in a query, a fragment or a posted form; nothing where there is none.
    pub fn of_parameters(text: &str) -> Option<Self> {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned();
        let answer = Self(pairs.filter(|(_, value)| !value.is_empty()).collect());
        ["code", "id_token", "error"].iter().any(|name| answer.0.contains_key(*name)).then_some(answer)
    }

    /// The answer in the address at which a browser ended.
    pub fn of_address(redirect_uri: &RedirectUri, text: &str) -> AnswerReading {
        let text = text.trim();
        let Ok(url) = Url::parse(text) else {
            return AnswerReading::Other(format!(
                "This is no address; it should begin with {redirect_uri}. Copy all of what the browser's address bar shows."
            ));
        };
        let parts = [url.fragment(), url.query()];
        let answer = parts.into_iter().flatten().find_map(Self::of_parameters);
        match answer {
            Some(answer) => AnswerReading::Answer(answer),
            None if redirect_uri.is_reached_by(&url) => AnswerReading::Other(
                "The address has no answer of the provider in it, so W&B Server or the browser has taken it out already. Log in again and copy the address at once, or look for it in the browser's history."
                    .to_owned(),
            ),
            None => AnswerReading::Other(format!(
                "The browser ended at {}, and not at {redirect_uri}. If the provider shows an error page, follow that; it may not know the redirect URI for this client.",
                quote(&without_parameters(url))
            )),
        }
    }

    /// What comes back as it was sent.
    pub(super) fn state(&self) -> Option<&str> {
        self.text("state")
    }

    /// Whether it can be told to which login the answer belongs.
    pub fn says_of_which_login(&self) -> bool {
        self.state().is_some()
    }

    /// Whether the provider ended the login.
    pub(super) fn is_error(&self) -> bool {
        self.text("error").is_some()
    }

    /// What no message may have.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Sensitive> {
        SECRET.iter().filter_map(|name| self.text(name)).map(Sensitive::from)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// The address alone: what follows it may be secret.
fn without_parameters(mut url: Url) -> String {
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// Takes the answer to this login, and no other.
pub(super) fn judge(
    plan: &OidcPlan,
    started: &StartedLogin,
    answer: &BrowserAnswer,
) -> Result<Checked<Grant>, Problem> {
    if !started.is_answered_by(answer) {
        return Err(Problem::new(
            Reason::AnswerMismatch,
            "The answer belongs to another login: its state is not the one that was sent. Open the address that was printed last, and give the answer to that.",
        ));
    }
    if let Some(code) = answer.text("error") {
        let description = answer.text("error_description").unwrap_or_default();
        return Err(refused(plan, &OAuthError::new(code, description)));
    }
    let answered = |grant| {
        let seen = format!(
            "The provider sent the browser back to {}, with the answer to this login.",
            started.redirect_uri
        );
        Ok(match &started.untried {
            Some(untried) => Checked::warning(grant, Reason::Inconclusive, format!("{seen} {untried}")),
            None => Checked::passed(grant, seen),
        })
    };
    match (answer.text("code"), answer.text("id_token")) {
        (Some(code), _) => answered(Grant::Code(code.into())),
        (None, Some(token)) => answered(Grant::IdToken(token.into())),
        (None, None) => Err(Problem::new(
            Reason::ProtocolError,
            "The answer has neither a code nor an ID token nor an error.",
        )),
    }
}

/// What the provider's error means, and what to do about it.
fn refused(plan: &OidcPlan, error: &OAuthError) -> Problem {
    let (settings, seen) = (&plan.settings, error.words(&Redactor::default()));
    let client = &settings.client_id;
    let next = match error.code.as_str() {
        "access_denied" => advice::access(settings.provider).to_owned(),
        "unauthorized_client" | "unsupported_response_type" | "unsupported_response_mode" => format!(
            "The client {client} may not use the flow of spec.authMethod. Enable that flow for it at the provider."
        ),
        "invalid_scope" => {
            "Allow the scopes openid, profile, email and those of spec.extraScopes for the client, or correct spec.extraScopes."
                .to_owned()
        }
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            "The provider wants the person, or an administrator once for all, to do something first: see its own page and log."
                .to_owned()
        }
        "invalid_client" => format!("Check that the provider has the client {client}."),
        "server_error" | "temporarily_unavailable" => {
            return Problem::new(
                Reason::ServerUnavailable,
                format!("The provider ended the login with {seen}. Try again, and look at the provider's log if this goes on."),
            );
        }
        _ => "See the provider's own log.".to_owned(),
    };
    Problem::new(Reason::LoginRefused, format!("The provider ended the login with {seen}. {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
        let uri = RedirectUri::of_host("https://wandb.example.com").unwrap();
        match BrowserAnswer::of_address(&uri, text) {
            AnswerReading::Answer(answer) => Ok(answer.0),
            AnswerReading::Other(why) => Err(why),
        }
    }

    #[test]
    fn an_address_has_the_answer_in_its_query_or_its_fragment() {
        for text in [
            "https://wandb.example.com/oidc/callback?code=c&state=s",
            " https://wandb.example.com/oidc/callback?code=c&state=s#\n",
            "https://wandb.example.com/oidc/callback#state=s&code=c",
            // Where W&B Server sends the browser on, and the parameters stay.
            "https://wandb.example.com/login?code=c&state=s",
        ] {
            let answer = read(text).unwrap();
            assert_eq!((answer["code"].as_str(), answer["state"].as_str()), ("c", "s"), "{text}");
        }
        assert_eq!(read("https://wandb.example.com/oidc/callback#id_token=t").unwrap()["id_token"], "t");
    }

    #[test]
    fn what_is_no_answer_is_told_apart_and_shows_no_parameter() {
        for (text, words) in [
            ("", "This is no address"),
            ("code=hush", "This is no address"),
            ("https://wandb.example.com/oidc/callback", "has no answer of the provider"),
            ("https://wandb.example.com/oidc/callback?code=", "has no answer of the provider"),
            ("https://idp.example.com/error?hush=hush", "ended at https://idp.example.com/error, and not"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(words) && !why.contains("hush"), "{text}: {why}");
        }
    }
}
