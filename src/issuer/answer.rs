//! The requirements for every answer of an issuer, whatever was requested.

use std::net::SocketAddr;

use hyper::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use crate::{
    api::Reason,
    net::{self, EgressPolicy, Host, HttpResponse},
    problem::{Problem, quote},
};

/// Fails unless the answer has the status 200.
pub(crate) fn expect_ok(
    response: &HttpResponse,
    url: &Url,
    egress: &EgressPolicy,
    advice: impl Fn() -> &'static str,
) -> Result<(), Problem> {
    if let Some(location) = response.redirect() {
        return Err(Problem::new(
            Reason::Redirected,
            format!(
                "{} redirects to {}{}, and redirects are not followed. {}.",
                quote(url.as_str()),
                quote(location),
                objection(url, location, egress),
                advice()
            ),
        ));
    }
    expect_available(url, response.status, "If this goes on, look into the server's log")?;
    if response.status != 200 {
        let advice = if is_kubernetes(response) { kubernetes_advice(response.status) } else { advice() };
        return Err(Problem::new(
            Reason::UnexpectedStatus,
            format!(
                "{} answers with the status {} instead of 200. {advice}.",
                quote(url.as_str()),
                response.status.as_u16(),
            ),
        ));
    }
    Ok(())
}

/// Whether the answer is a refusal of a Kubernetes API server.
fn is_kubernetes(response: &HttpResponse) -> bool {
    let is_refusal = matches!(response.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let has = |name: &str, expected: &str| body.get(name).and_then(Value::as_str) == Some(expected);
    is_refusal && has("kind", "Status") && has("apiVersion", "v1")
}

/// Advice about a refusal of Kubernetes. W&B Server requests documents and keys without credentials, so these
/// requests must be allowed.
fn kubernetes_advice(status: StatusCode) -> &'static str {
    if status == StatusCode::UNAUTHORIZED {
        "This is a Kubernetes API server that accepts no requests without credentials (--anonymous-auth), and W&B Server has none. Allow anonymous requests for the paths of the ClusterRole system:service-account-issuer-discovery and bind that to the group system:unauthenticated, or publish its document and keys at another issuer (--service-account-issuer)"
    } else {
        "This is a Kubernetes API server, and it shows its document and keys only to those who have the ClusterRole system:service-account-issuer-discovery. W&B Server asks without credentials, so bind it to the group system:unauthenticated (kubectl create clusterrolebinding service-account-issuer-discovery --clusterrole=system:service-account-issuer-discovery --group=system:unauthenticated); both are public by nature"
    }
}

/// Fails if the status says that the server cannot answer now. `next` is what a person can do instead of waiting;
/// it comes last in the message.
pub(crate) fn expect_available(url: &Url, status: StatusCode, next: &str) -> Result<(), Problem> {
    if !is_unavailable(status) {
        return Ok(());
    }
    Err(Problem::new(
        Reason::ServerUnavailable,
        format!(
            "{} answers with the status {}, which usually means that the server is starting, overloaded or broken. {next}.",
            quote(url.as_str()),
            status.as_u16()
        ),
    ))
}

/// Whether the status means that the server cannot answer now.
pub(crate) fn is_unavailable(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Describes the address in a redirect, if the egress policy refuses it. Host names are not resolved for that.
fn objection(base: &Url, location: &str, egress: &EgressPolicy) -> String {
    let endpoint = base.join(location).ok().and_then(|url| net::endpoint_of(&url).ok());
    match endpoint.map(|endpoint| (endpoint.host, endpoint.port)) {
        Some((Host::Address(address), port)) => egress
            .objection(SocketAddr::new(address, port))
            .map_or_else(String::new, |what| format!(" ({what})")),
        _ => String::new(),
    }
}

/// Parses a JSON object.
pub(crate) fn read_json(body: &[u8], url: &Url) -> Result<Map<String, Value>, Problem> {
    let url = quote(url.as_str());
    // Go replaces invalid UTF-8 and continues, so the same is done here.
    match serde_json::from_str(&String::from_utf8_lossy(body)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::new(
            Reason::InvalidDocument,
            format!("{url} answers with JSON that is not an object. Check that spec.issuer is the issuer."),
        )),
        Err(_) if body.trim_ascii_start().starts_with(b"<") => Err(Problem::new(
            Reason::NotJson,
            format!(
                "{url} answers with a web page instead of JSON. Check that spec.issuer is the issuer and not a page for people, and that no proxy or login page answers in its place."
            ),
        )),
        Err(_) => Err(Problem::new(
            Reason::NotJson,
            format!("{url} answers with something that is not JSON. Check that spec.issuer is the issuer."),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("https://idp.example/.well-known/openid-configuration").unwrap()
    }

    #[test]
    fn says_what_a_redirect_leads_to() {
        let response = HttpResponse {
            status: StatusCode::FOUND,
            headers: [(hyper::header::LOCATION, "http://169.254.169.254/latest".parse().unwrap())]
                .into_iter()
                .collect(),
            body: bytes::Bytes::new(),
        };
        let egress = EgressPolicy::Enforced { allowed: Vec::new(), api_server: Vec::new() };
        let problem = expect_ok(&response, &url(), &egress, || "Look").unwrap_err();
        assert_eq!(problem.reason, Reason::Redirected);
        assert!(problem.message.contains("a cloud metadata address"), "{}", problem.message);
    }
}
