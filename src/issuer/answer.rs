//! What every answer of an issuer must be, whatever was asked.

use std::net::SocketAddr;

use hyper::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use crate::{
    api::Reason,
    net::{self, EgressPolicy, Host, HttpResponse},
    problem::{Problem, quote},
};

/// Refuses everything but a plain answer.
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
    expect_available(url, response.status, "look into the server's log if that does not pass")?;
    if response.status != 200 {
        return Err(Problem::new(
            Reason::UnexpectedStatus,
            format!(
                "{} answers with the status {} instead of 200. {}.",
                quote(url.as_str()),
                response.status.as_u16(),
                advice()
            ),
        ));
    }
    Ok(())
}

/// Refuses an answer that says that the server does not work now, or not for us. What is to be done
/// by somebody who does not want to wait comes last in the message.
pub(crate) fn expect_available(url: &Url, status: StatusCode, next: &str) -> Result<(), Problem> {
    if !is_unavailable(status) {
        return Ok(());
    }
    Err(Problem::new(
        Reason::ServerUnavailable,
        format!(
            "{} answers with the status {}, as servers do that are starting, overloaded or broken. The operator tries again by itself; {next}.",
            quote(url.as_str()),
            status.as_u16()
        ),
    ))
}

/// Whether the status tells nothing about what was asked.
pub(crate) fn is_unavailable(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// What an address in a redirect is, where the policy refuses it. Names are not resolved for this.
fn objection(base: &Url, location: &str, egress: &EgressPolicy) -> String {
    let endpoint = base.join(location).ok().and_then(|url| net::endpoint_of(&url).ok());
    match endpoint.map(|endpoint| (endpoint.host, endpoint.port)) {
        Some((Host::Address(address), port)) => egress
            .objection(SocketAddr::new(address, port))
            .map_or_else(String::new, |what| format!(" ({what})")),
        _ => String::new(),
    }
}

/// Reads a JSON object.
pub(crate) fn read_json(body: &[u8], url: &Url) -> Result<Map<String, Value>, Problem> {
    let url = quote(url.as_str());
    match serde_json::from_slice(body) {
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
