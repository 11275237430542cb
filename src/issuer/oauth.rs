//! Requests to a token endpoint (RFC 6749 section 3.2), within our limits and without secrets in words.

use std::pin::Pin;

use hyper::{Method, Response, StatusCode, Uri};
use openidconnect::{
    AsyncHttpClient, HttpRequest as OAuthRequest, HttpResponse as OAuthResponse, StandardErrorResponse,
    core::CoreErrorResponseType,
};
use url::Url;

use super::is_unavailable;
use crate::{
    api::Reason,
    net::{HttpClient, HttpRequest, HttpResponse},
    problem::{Problem, quote},
    sensitive::{Redactor, Sensitive},
};

/// Why there is no OAuth answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Nothing came back, or something that is not HTTP.
    #[error("{}", .0.message)]
    Problem(Problem),
    /// What came back is not JSON, a redirect, or says that the server does not work now.
    #[error("status {0}")]
    Status(StatusCode),
}

/// Sends the library's requests within our limits. The answer is JSON, or it is an error.
pub(crate) struct Within<'a>(pub HttpClient<'a>);

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

/// Takes out what the requests carried: the secret, and HTTP Basic's pair of it and the client's id,
/// encoded as RFC 6749 section 2.3.1 wants it, and as clients do that predate that.
pub(crate) fn client_redactor(id: &str, secret: &Sensitive) -> Redactor {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let text = secret.expose();
    let pairs = [format!("{id}:{text}"), format!("{}:{}", encode(id), encode(text))];
    Redactor::new(pairs.map(Sensitive::new).into_iter().chain([secret.clone()]))
}

/// What an error says, without secrets: they go first, since what follows takes texts apart.
pub(crate) fn words_of(answer: &StandardErrorResponse<CoreErrorResponseType>, redactor: &Redactor) -> String {
    let description = answer.error_description().cloned().map(|text| redactor.redact(text));
    let description = description.as_deref().map(stable_part).unwrap_or_default();
    let code = quote(&redactor.redact(answer.error().as_ref().to_owned()));
    if description.is_empty() { code } else { format!("{code}: {}", quote(description)) }
}

/// The part of a description that is the same each time; Entra appends identifiers and the time.
fn stable_part(description: &str) -> &str {
    let end = ["\r", "\n", "Trace ID", "Correlation ID", "Timestamp"]
        .into_iter()
        .filter_map(|mark| description.find(mark))
        .min();
    description.get(..end.unwrap_or(description.len())).unwrap_or_default().trim().trim_end_matches('.')
}
