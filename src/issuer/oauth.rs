//! Sends requests to a token endpoint (RFC 6749 section 3.2), within the limits of this process and without secrets
//! in messages. Answers are read as Go's oauth2 library reads them: `token_type` may be missing, and the answer may
//! be a form.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{at, is_unavailable};
use crate::{
    api::Reason,
    net::{Consequence, Endpoint, HttpClient, HttpRequest, HttpResponse, Login},
    problem::{Problem, quote},
    sensitive::{Redactor, Sensitive},
};

/// How a client authenticates (RFC 6749 section 2.3.1).
#[derive(Clone, Copy)]
pub(crate) enum ClientAuthentication<'a> {
    /// The client sends only its identifier.
    Public,
    /// The client sends its secret in the header (`client_secret_basic`).
    Basic(&'a Sensitive),
    /// The client sends its secret in the body (`client_secret_post`).
    Post(&'a Sensitive),
}

/// An answer of a token endpoint.
pub(crate) enum TokenAnswer {
    /// Tokens.
    Tokens(GrantedTokens),
    /// An error in the format of OAuth.
    Refused(OAuthError),
    /// An answer that is not in the format of OAuth, or a redirect, or a status that says that the server cannot
    /// answer now.
    Status(StatusCode),
    /// A JSON or form answer without a token or error.
    Unknown,
}

/// The tokens of an answer (RFC 6749 section 5.1).
pub(crate) struct GrantedTokens {
    /// The access token.
    pub access: Sensitive,
    /// The ID token, which only people's logins get.
    pub id: Option<Sensitive>,
}

/// An error (RFC 6749 section 5.2).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    /// The field `error`.
    pub code: String,
    description: String,
}

/// Sends the parameters of a grant on behalf of this client.
pub(crate) async fn request_token(
    http: HttpClient<'_>,
    endpoint: &Url,
    client: &str,
    authentication: ClientAuthentication<'_>,
    parameters: &[(&str, &str)],
) -> Result<TokenAnswer, Problem> {
    let request = make(endpoint, client, authentication, parameters)?;
    let response = http.send(request).await.map_err(|problem| at("token_endpoint", &problem))?;
    Ok(read(&response))
}

fn make(
    endpoint: &Url,
    client: &str,
    authentication: ClientAuthentication<'_>,
    parameters: &[(&str, &str)],
) -> Result<HttpRequest, Problem> {
    let mut headers = vec![
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
    ];
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters);
    match authentication {
        ClientAuthentication::Public => {
            form.append_pair("client_id", client);
        }
        ClientAuthentication::Basic(secret) => headers.push((header::AUTHORIZATION, basic(client, secret)?)),
        ClientAuthentication::Post(secret) => {
            form.append_pair("client_id", client).append_pair("client_secret", secret.expose());
        }
    }
    Ok(HttpRequest { method: Method::POST, url: endpoint.clone(), headers, body: form.finish().into() })
}

fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The header for HTTP Basic authentication, encoded as RFC 6749 section 2.3.1 requires.
fn basic(client: &str, secret: &Sensitive) -> Result<HeaderValue, Problem> {
    let pair = STANDARD.encode(format!("{}:{}", encode(client), encode(secret.expose())));
    let mut value = HeaderValue::try_from(format!("Basic {pair}"))
        .map_err(|_| Problem::new(Reason::InvalidSpec, "The client's ID cannot be sent in a header."))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(response: &HttpResponse) -> TokenAnswer {
    let status = response.status;
    if status.is_redirection() || is_unavailable(status) {
        return TokenAnswer::Status(status);
    }
    let fields = match serde_json::from_slice(&response.body) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return TokenAnswer::Unknown,
        Err(_) => match form(response) {
            Some(fields) => fields,
            None => return TokenAnswer::Status(status),
        },
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(code) = text("error") {
        let description = text("error_description").unwrap_or_default().to_owned();
        return TokenAnswer::Refused(OAuthError { code: code.to_owned(), description });
    }
    match text("access_token") {
        Some(access) if status.is_success() => TokenAnswer::Tokens(GrantedTokens {
            access: access.into(),
            id: text("id_token").map(Sensitive::from),
        }),
        _ => TokenAnswer::Unknown,
    }
}

/// The fields of an answer that is a form, as some providers send it. Since other texts have the same media types,
/// it must contain a known field.
fn form(response: &HttpResponse) -> Option<Map<String, Value>> {
    let content_type = response.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = content_type.split(';').next()?.trim().to_ascii_lowercase();
    let is_form = matches!(media_type.as_str(), "application/x-www-form-urlencoded" | "text/plain");
    let pairs = form_urlencoded::parse(&response.body).map(|(name, value)| (name.into_owned(), value.into()));
    let fields: Map<_, Value> = pairs.collect();
    (is_form && (fields.contains_key("access_token") || fields.contains_key("error"))).then_some(fields)
}

/// A redactor for what the requests contain: the secret, and the pair of identifier and secret for HTTP Basic, both
/// encoded as RFC 6749 section 2.3.1 requires and unencoded, as older clients send it.
pub(crate) fn client_redactor(id: &str, secret: &Sensitive) -> Redactor {
    let text = secret.expose();
    let pairs = [format!("{id}:{text}"), format!("{}:{}", encode(id), encode(text))];
    Redactor::new(pairs.map(Sensitive::new).into_iter().chain([secret.clone()]))
}

/// The login of the client, by which repeated failures are recognized.
pub(crate) fn client_login(server: Endpoint, endpoint: &Url, id: &str, secret: &Sensitive) -> Login {
    Login {
        server,
        // Several issuers may share one address, so the path is part of the account.
        account: format!("{} {id}", endpoint.path()),
        secret: secret.clone(),
        consequence: Consequence::Refusal,
    }
}

impl OAuthError {
    /// An error with this description.
    pub(crate) fn new(code: &str, description: &str) -> Self {
        Self { code: code.to_owned(), description: description.to_owned() }
    }

    /// The text of the error without secrets. These are removed first, since the following steps split texts.
    pub(crate) fn words(&self, redactor: &Redactor) -> String {
        let description = redactor.redact(self.description.clone());
        let description = stable_part(&description);
        let code = quote(&redactor.redact(self.code.clone()));
        if description.is_empty() { code } else { format!("{code}: {}", quote(description)) }
    }

    /// Whether the description contains one of these error codes of Entra. A specific code may follow a more
    /// general one.
    pub(crate) fn is_entra(&self, numbers: &[&str]) -> bool {
        let length =
            |text: &str| text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let codes = self.description.split("AADSTS").skip(1);
        codes.filter_map(|text| text.get(..length(text))).any(|code| numbers.contains(&code))
    }
}

/// The part of a description that is the same in every answer; Entra appends identifiers and the time.
fn stable_part(description: &str) -> &str {
    let end = ["\r", "\n", "Trace ID", "Correlation ID", "Timestamp"]
        .into_iter()
        .filter_map(|mark| description.find(mark))
        .min();
    description.get(..end.unwrap_or(description.len())).unwrap_or_default().trim().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &'static str, body: &str) -> String {
        let response = HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect(),
            body: body.to_owned().into(),
        };
        match read(&response) {
            TokenAnswer::Tokens(GrantedTokens { access, id }) => {
                let id = id.map_or_else(String::new, |id| format!(" and {}", id.expose()));
                format!("token {}{id}", access.expose())
            }
            TokenAnswer::Refused(error) => format!("refused {}", error.words(&Redactor::default())),
            TokenAnswer::Status(status) => format!("status {}", status.as_u16()),
            TokenAnswer::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn reads_what_providers_answer() {
        let json = "application/json";
        for (status, content_type, body, expected) in [
            (200, json, r#"{"access_token": "t", "token_type": "Bearer", "expires_in": 600}"#, "token t"),
            (200, json, r#"{"access_token": "t", "expires_in": "600"}"#, "token t"),
            (200, json, r#"{"access_token": "t", "id_token": "i"}"#, "token t and i"),
            (200, json, r#"{"id_token": "i"}"#, "unknown"),
            (200, "application/x-www-form-urlencoded", "access_token=t&expires_in=600", "token t"),
            (200, "text/plain; charset=utf-8", r#"{"access_token": "t"}"#, "token t"),
            (200, json, r#"{"access_token": "", "token_type": "Bearer"}"#, "unknown"),
            (200, json, r#"{"token": "t"}"#, "unknown"),
            (200, json, "[]", "unknown"),
            (200, "text/html", "<html>", "status 200"),
            (302, json, r#"{"error": "x"}"#, "status 302"),
            (503, json, r#"{"error": "temporarily_unavailable"}"#, "status 503"),
            (200, json, r#"{"error": "bad_verification_code"}"#, "refused bad_verification_code"),
            (400, json, r#"{"access_token": "t"}"#, "unknown"),
            (400, "text/plain", "error=invalid_grant", "refused invalid_grant"),
            (400, json, r#"{"error": "from\u0000the future"}"#, "refused from the future"),
            (
                401,
                json,
                r#"{"error":"unauthorized_client","error_description":"no\r\nTrace"}"#,
                "refused unauthorized_client: no",
            ),
        ] {
            assert_eq!(answer(status, content_type, body), expected, "{body}");
        }
    }

    #[test]
    fn knows_the_error_codes_of_entra() {
        let description = "AADSTS7000215: Invalid client secret provided. Trace ID: 1 Timestamp: 2";
        let error = OAuthError::new("invalid_client", description);
        assert_eq!(
            error.words(&Redactor::default()),
            "invalid_client: AADSTS7000215: Invalid client secret provided"
        );
        assert!(error.is_entra(&["7000215"]) && !error.is_entra(&["700021"]));
        let description = "AADSTS70002: Error validating credentials. AADSTS50012: Invalid client secret.";
        assert!(OAuthError::new("invalid_grant", description).is_entra(&["50012"]));
    }
}
