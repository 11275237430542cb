//! Whether the provider knows the client: a token request with a made-up code.

use hyper::StatusCode;
use openidconnect::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, JsonWebKeySet, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, StandardErrorResponse, TokenUrl,
    core::{CoreClient, CoreErrorResponseType},
};

use super::{Plan, discovery::Metadata};
use crate::{
    api::{CheckName, Reason, oidc_provider::AuthMethod},
    engine::{Checked, Report},
    issuer::{
        at, expect_available,
        oauth::{NoAnswer, Within, client_redactor, words_of},
    },
    net::HttpClient,
    problem::Problem,
    sensitive::{Redactor, Sensitive},
};

/// Asks the token endpoint, unless the spec leaves it out or there is nothing to ask.
pub(super) async fn check(plan: &Plan, http: HttpClient<'_>, metadata: &Metadata, report: &mut Report) {
    let name = CheckName::ClientCredentials;
    if !plan.settings.checks.client_credentials {
        return report.skip(name, "Not run, since spec.checks.clientCredentials is false.");
    }
    let is_used = plan.settings.flow == AuthMethod::Pkce || plan.secret.is_some();
    let Some(endpoint) = metadata.token_endpoint().filter(|_| is_used) else {
        return report.skip(name, "Not run, since authMethod: implicit does not use the token endpoint.");
    };
    report.check(name, ask(plan, http, metadata, endpoint)).await;
}

/// How a client authenticates at the token endpoint, in the order in which Go's oauth2 tries them.
#[derive(Clone, Copy)]
enum Way<'a> {
    Public,
    Basic(&'a Sensitive),
    Post(&'a Sensitive),
}

async fn ask(
    plan: &Plan,
    http: HttpClient<'_>,
    metadata: &Metadata,
    endpoint: &TokenUrl,
) -> Result<Checked, Problem> {
    let id = &plan.settings.client_id;
    let Some(secret) = &plan.secret else {
        return match request(plan, http, metadata, endpoint, Way::Public).await? {
            Answer::Known => Ok(Checked::passed((), format!("The provider knows the public client {id}."))),
            Answer::Rejected(seen) => Err(rejected(&format!(
                "The provider refuses the client {id} without a secret ({seen}). Check spec.clientID, and name the secret in spec.clientSecretRef if the client is registered with one."
            ))),
            Answer::Unclear(seen) => Ok(unclear(&seen)),
        };
    };
    let seen = match request(plan, http, metadata, endpoint, Way::Basic(secret)).await? {
        Answer::Known => {
            return Ok(Checked::passed(
                (),
                format!("The provider knows the client {id} and its secret, sent as client_secret_basic."),
            ));
        }
        Answer::Unclear(seen) => return Ok(unclear(&seen)),
        Answer::Rejected(seen) => seen,
    };
    // Some providers accept the secret in one way only; W&B, too, tries the other one then.
    match request(plan, http, metadata, endpoint, Way::Post(secret)).await? {
        Answer::Known => Ok(Checked::passed(
            (),
            format!("The provider knows the client {id} and its secret, sent as client_secret_post."),
        )),
        // Without the grant for codes, the refusal says nothing about the implicit flow.
        _ if plan.settings.flow == AuthMethod::Implicit => Ok(unclear(&seen)),
        _ => Err(rejected(&format!(
            "The provider refuses the client {id} or its secret ({seen}). Check spec.clientID and the Secret, and that the provider's secret has not expired."
        ))),
    }
}

fn rejected(message: &str) -> Problem {
    Problem::new(Reason::ClientRejected, message)
}

fn unclear(seen: &str) -> Checked {
    Checked::warning(
        (),
        Reason::Inconclusive,
        format!(
            "A token request with a made-up code was answered with {seen}; expected invalid_grant, which tells that the client is known. Try a login, and turn spec.checks.clientCredentials off if it works."
        ),
    )
}

/// What an answer says about the client; the texts are what was seen.
#[derive(Debug, PartialEq)]
enum Answer {
    /// The code was refused, so the client was not.
    Known,
    Rejected(String),
    Unclear(String),
}

/// Nobody was ever given this code.
const MADE_UP_CODE: &str = "made-up-by-wandb-auth-operator";
/// RFC 7636 wants at least 43 characters.
const MADE_UP_VERIFIER: &str = "made-up-by-wandb-auth-operator-to-see-whether-it-knows-the-client";

async fn request(
    plan: &Plan,
    http: HttpClient<'_>,
    metadata: &Metadata,
    endpoint: &TokenUrl,
    way: Way<'_>,
) -> Result<Answer, Problem> {
    let settings = &plan.settings;
    let id = ClientId::new(settings.client_id.clone());
    let redirect_uri = RedirectUrl::new(settings.redirect_uri.to_string())
        .map_err(|_| Problem::new(Reason::InvalidSpec, "spec.host gives no redirect URI."))?;
    let client = CoreClient::new(id, metadata.issuer().clone(), JsonWebKeySet::default())
        .set_token_uri(endpoint.clone())
        .set_redirect_uri(redirect_uri);
    let secret = |secret: &Sensitive| ClientSecret::new(secret.expose().to_owned());
    let client = match way {
        Way::Public => client.set_auth_type(AuthType::RequestBody),
        Way::Basic(text) => client.set_client_secret(secret(text)).set_auth_type(AuthType::BasicAuth),
        Way::Post(text) => client.set_client_secret(secret(text)).set_auth_type(AuthType::RequestBody),
    };
    let outcome = client
        .exchange_code(AuthorizationCode::new(MADE_UP_CODE.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(MADE_UP_VERIFIER.to_owned()))
        .request_async(&Within(http))
        .await;
    match outcome {
        Ok(_) => Ok(Answer::Unclear("a token".to_owned())),
        Err(RequestTokenError::ServerResponse(answer)) => {
            let redactor = plan.secret.as_ref().map(|secret| client_redactor(&settings.client_id, secret));
            Ok(judge(&answer, &redactor.unwrap_or_default()))
        }
        Err(RequestTokenError::Request(NoAnswer::Problem(problem))) => Err(at("token_endpoint", &problem)),
        Err(RequestTokenError::Request(NoAnswer::Status(status))) => {
            let next = "if people can log in nevertheless, set spec.checks.clientCredentials to false";
            expect_available(endpoint.url(), status, next)
                .map_err(|problem| at("token_endpoint", &problem))?;
            Ok(judge_status(status))
        }
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
            Ok(Answer::Unclear("JSON that is no OAuth answer".to_owned()))
        }
    }
}

fn judge(answer: &StandardErrorResponse<CoreErrorResponseType>, redactor: &Redactor) -> Answer {
    let seen = words_of(answer, redactor);
    match answer.error() {
        CoreErrorResponseType::InvalidGrant => Answer::Known,
        CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient => {
            Answer::Rejected(seen)
        }
        _ => Answer::Unclear(seen),
    }
}

/// Some providers refuse a client by the status alone.
fn judge_status(status: StatusCode) -> Answer {
    let seen = format!("the status {}", status.as_u16());
    if status == StatusCode::UNAUTHORIZED { Answer::Rejected(seen) } else { Answer::Unclear(seen) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Answer {
        judge(&serde_json::from_str(json).unwrap(), &Redactor::default())
    }

    #[test]
    fn reads_what_providers_answer() {
        assert_eq!(answer(r#"{"error":"invalid_grant"}"#), Answer::Known);
        assert_eq!(
            answer(
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: 1 Correlation ID: 2 Timestamp: 2026-01-01 00:00:00Z"}"#
            ),
            Answer::Rejected("invalid_client: AADSTS7000215: Invalid client secret provided".into())
        );
        assert_eq!(
            answer(r#"{"error":"unauthorized_client","error_description":"no\r\nTrace"}"#),
            Answer::Rejected("unauthorized_client: no".into())
        );
        assert_eq!(answer(r#"{"error":"from\u0000the future"}"#), Answer::Unclear("from the future".into()));
        assert_eq!(judge_status(StatusCode::UNAUTHORIZED), Answer::Rejected("the status 401".into()));
        assert_eq!(judge_status(StatusCode::NOT_FOUND), Answer::Unclear("the status 404".into()));
    }
}
