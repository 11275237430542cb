//! Whether the provider knows the client: a token request with a made-up code.

use std::pin::Pin;

use hyper::{Method, Response, StatusCode, Uri};
use openidconnect::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, HttpRequest as OAuthRequest,
    HttpResponse as OAuthResponse, JsonWebKeySet, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    StandardErrorResponse, TokenUrl,
    core::{CoreClient, CoreErrorResponseType},
};
use url::Url;

use super::{Plan, discovery::Metadata};
use crate::{
    api::{CheckName, Reason, oidc_provider::AuthMethod},
    engine::{Checked, Report},
    issuer::{at, expect_available, is_unavailable},
    net::{HttpClient, HttpRequest, HttpResponse},
    problem::{Problem, quote},
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
        Err(RequestTokenError::ServerResponse(answer)) => Ok(judge(&answer, &redactor(plan))),
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

/// Takes out what the requests carried: the secret, and HTTP Basic's pair of it and the client's id,
/// encoded as RFC 6749 section 2.3.1 wants it, and as clients do that predate that.
fn redactor(plan: &Plan) -> Redactor {
    let Some(secret) = &plan.secret else { return Redactor::default() };
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let (id, text) = (&plan.settings.client_id, secret.expose());
    let pairs = [format!("{id}:{text}"), format!("{}:{}", encode(id), encode(text))];
    Redactor::new(pairs.map(Sensitive::new).into_iter().chain([secret.clone()]))
}

/// Secrets go first, since what follows takes texts apart.
fn judge(answer: &StandardErrorResponse<CoreErrorResponseType>, redactor: &Redactor) -> Answer {
    let description = answer.error_description().cloned().map(|text| redactor.redact(text));
    let description = description.as_deref().map(stable_part).unwrap_or_default();
    let code = quote(&redactor.redact(answer.error().as_ref().to_owned()));
    let seen = if description.is_empty() { code } else { format!("{code}: {}", quote(description)) };
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

/// The part of a description that is the same each time; Entra appends identifiers and the time.
fn stable_part(description: &str) -> &str {
    let end = ["\r", "\n", "Trace ID", "Correlation ID", "Timestamp"]
        .into_iter()
        .filter_map(|mark| description.find(mark))
        .min();
    description.get(..end.unwrap_or(description.len())).unwrap_or_default().trim().trim_end_matches('.')
}

/// Why there is no OAuth answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{}", .0.message)]
    Problem(Problem),
    #[error("status {0}")]
    Status(StatusCode),
}

/// Sends the library's requests within our limits. The answer is JSON, or it is an error.
struct Within<'a>(HttpClient<'a>);

impl<'c> AsyncHttpClient<'c> for Within<'_> {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<OAuthResponse, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: OAuthRequest) -> Self::Future {
        Box::pin(send(self.0, request))
    }
}

fn no_url(uri: &Uri) -> Problem {
    let message = format!("{} is not a URL that requests can go to.", quote(&uri.to_string()));
    Problem::new(Reason::InvalidEndpoint, message)
}

async fn send(http: HttpClient<'_>, request: OAuthRequest) -> Result<OAuthResponse, NoAnswer> {
    let (head, body) = request.into_parts();
    let url = Url::parse(&head.uri.to_string()).map_err(|_| NoAnswer::Problem(no_url(&head.uri)))?;
    let headers = head.headers.into_iter().filter_map(|(name, value)| Some((name?, value))).collect();
    let request = HttpRequest { method: Method::POST, url, headers, body: body.into() };
    let HttpResponse { status, headers, body } = http.send(request).await.map_err(NoAnswer::Problem)?;
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    if !is_json || status.is_redirection() || is_unavailable(status) {
        return Err(NoAnswer::Status(status));
    }
    let mut response = Response::new(body.to_vec());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
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
