//! A person's login in a browser, as W&B Server has it: the authorization code flow with PKCE, or the implicit flow.
//!
//! [`begin`] makes the address for the browser, `answer` reads what comes back, and [`finish`] does what W&B Server does
//! with it: `exchange` gets the ID token for the code, `id_token` verifies it as go-oidc does, and `claims` reads the
//! person, with `advice` on where a provider is told to say what is missing.

mod advice;
mod answer;
mod claims;
mod exchange;
mod id_token;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use url::Url;

use self::answer::Grant;
pub use self::answer::{AnswerReading, BrowserAnswer};
use super::{
    OidcPlan, OidcSettings, RedirectUri,
    authorization::{AuthorizationRequest, ResponseMode, authorization_url},
    discovery::ProviderMetadata,
    keys,
    probe::discover,
};
use crate::{
    api::{CheckName, oidc_provider::AuthMethod},
    engine::Report,
    login::PersonAsRead,
    net::{HttpClient, Network},
    sensitive::Sensitive,
};

/// How the answer of the browser gets here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerWay {
    /// The provider sends the browser to W&B Server, and the person copies the address.
    Pasted,
    /// The provider sends the browser to this address, at which the program listens.
    Listened(RedirectUri),
}

/// A login that a browser is to answer.
pub struct StartedLogin {
    metadata: ProviderMetadata,
    redirect_uri: RedirectUri,
    url: Url,
    state: String,
    nonce: String,
    verifier: Sensitive,
    untried: Option<String>,
}

impl StartedLogin {
    /// What the person opens.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where the browser comes back to.
    pub fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect_uri
    }

    /// Whether the answer is to this login beyond doubt: anybody can send one that does not say so.
    pub fn is_surely_answered_by(&self, answer: &BrowserAnswer) -> bool {
        answer.state() == Some(self.state.as_str())
    }

    /// Whether the answer, which a person gives, is to this login. Some providers leave the state out of errors, which lead to nothing.
    pub fn is_answered_by(&self, answer: &BrowserAnswer) -> bool {
        match answer.state() {
            Some(state) => state == self.state,
            None => answer.is_error(),
        }
    }
}

/// Every check of a login, in order.
pub fn login_checks(plan: &OidcPlan) -> Vec<CheckName> {
    let connection = plan.protection().checks();
    let exchange = (plan.settings.flow == AuthMethod::Pkce).then_some(CheckName::CodeExchanged);
    connection
        .chain([CheckName::Discovery, CheckName::IssuerMatches, CheckName::Endpoints])
        .chain([CheckName::LoginAnswered])
        .chain(exchange)
        .chain([CheckName::IdTokenVerified, CheckName::EmailRead, CheckName::NameRead, CheckName::GroupsRead])
        .collect()
}

/// Whether W&B Server creates a user for somebody whom it does not have yet.
pub fn creates_users(plan: &OidcPlan) -> bool {
    plan.settings.auto_provision
}

/// Finds the provider, and makes the address for the browser.
pub async fn begin(
    plan: &OidcPlan,
    network: &Network,
    way: AnswerWay,
    report: &mut Report,
) -> Option<StartedLogin> {
    let http = HttpClient { network, trust: &plan.trust };
    let metadata = discover(plan, http, report).await?;
    let settings = &plan.settings;
    let (redirect_uri, response_mode) = match way {
        AnswerWay::Pasted => (settings.redirect_uri.clone(), ResponseMode::Fragment),
        AnswerWay::Listened(uri) => (uri, ResponseMode::FormPost),
    };
    let untried = untried(settings, &redirect_uri, response_mode);
    let [state, nonce, verifier] = [unguessable(), unguessable(), unguessable()];
    let request = AuthorizationRequest {
        redirect_uri: redirect_uri.as_str(),
        scope: &settings.scopes().collect::<Vec<_>>().join(" "),
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        response_mode,
    };
    let url = authorization_url(settings, &metadata, &request);
    Some(StartedLogin { metadata, redirect_uri, url, state, nonce, verifier: verifier.into(), untried })
}

/// What of W&B Server's own way this login leaves out, and how that is tried, too.
fn untried(settings: &OidcSettings, used: &RedirectUri, mode: ResponseMode) -> Option<String> {
    if *used != settings.redirect_uri {
        return Some(format!(
            "W&B's own redirect URI {} was not tried: log in once more without --redirect-uri.",
            settings.redirect_uri
        ));
    }
    (settings.flow == AuthMethod::Implicit && mode == ResponseMode::Fragment).then(|| {
        "The form that the provider posts to W&B Server (response_mode=form_post) was not tried: log in once more with --redirect-uri."
            .to_owned()
    })
}

/// A text that nobody can guess, in 43 characters as RFC 7636 wants them.
fn unguessable() -> String {
    let mut bytes = [0; 32];
    // An error can be ignored: a process without random numbers cannot speak TLS either.
    let _ = rand::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Does with the answer what W&B Server does, and reads the person. `teams` are the names of teams at W&B that the
/// person's groups are compared with.
pub async fn finish(
    plan: &OidcPlan,
    network: &Network,
    (started, answer): (&StartedLogin, &BrowserAnswer),
    teams: &[String],
    report: &mut Report,
) -> Option<PersonAsRead> {
    let http = HttpClient { network, trust: &plan.trust };
    answer.secrets().for_each(|secret| report.conceal(&secret));
    let grant = report.record(CheckName::LoginAnswered, answer::judge(plan, started, answer))?;
    let id_token = match grant {
        Grant::Code(code) => {
            let exchanged = Box::pin(exchange::exchange(plan, http, started, &code));
            report.check(CheckName::CodeExchanged, exchanged).await?
        }
        Grant::IdToken(id_token) => id_token,
    };
    report.conceal(&id_token);
    let verified = async {
        let keys = keys::read(plan, http, &started.metadata).await?;
        let rules = id_token::IdTokenRules {
            issuer: &plan.settings.issuer,
            client: &plan.settings.client_id,
            algorithms: &started.metadata.document.algorithms,
            nonce: &started.nonce,
            now: Timestamp::now(),
        };
        rules.verify(id_token.expose(), &keys)
    };
    let claims = report.check(CheckName::IdTokenVerified, verified).await?;
    let mut person = claims::read(&plan.settings, &claims, teams, report);
    person.token_bytes = Some(id_token.expose().len());
    Some(person)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_tried_is_told() {
        let used = RedirectUri::of_loopback("http://localhost:8765/callback").unwrap();
        for (flow, is_listened, expected) in [
            ("pkce", true, Some("own redirect URI https://wandb.example/oidc/callback was not tried")),
            ("implicit", true, Some("log in once more without --redirect-uri")),
            ("implicit", false, Some("form_post) was not tried")),
            ("pkce", false, None),
        ] {
            let spec = json!({
                "issuer": "https://idp.example", "clientID": "w", "host": "https://wandb.example", "authMethod": flow,
            });
            let settings = OidcSettings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap();
            let told = if is_listened {
                untried(&settings, &used, ResponseMode::FormPost)
            } else {
                untried(&settings, &settings.redirect_uri, ResponseMode::Fragment)
            };
            let as_expected = match (&told, expected) {
                (Some(told), Some(words)) => told.contains(words),
                (told, words) => told.is_none() && words.is_none(),
            };
            assert!(as_expected, "{flow} {is_listened}: {told:?}");
        }
    }
}
