//! The words for a proxy that does not do its work. Nothing that it says itself is repeated, and no credentials.

use std::fmt;

use hyper::{
    StatusCode,
    header::{self, HeaderMap},
};

use super::Proxy;
use crate::{
    api::Reason,
    problem::{Problem, enumerate},
};

/// The value of a variable is no URL.
pub(super) const MISREAD: &str = "The variable of the proxy has no URL that can be read. W&B Server looks for a proxy of a senseless name then, and its requests fail. Correct the variable; characters such as / and # of a password are written as %2F and %23.";

/// No connection to the proxy itself comes about.
pub(super) fn unreached(proxy: &Proxy, Problem { reason, message }: Problem) -> Problem {
    Problem::new(reason, format!("The proxy {proxy} is not reached. {message}"))
}

/// The proxy breaks off, or does not keep to HTTP.
pub(super) fn broken(Problem { reason, message }: Problem) -> Problem {
    Problem::new(reason, message.replace("the server's own log", "the proxy's log"))
}

/// TLS with the proxy itself does not come about.
pub(super) fn unsecured(proxy: &Proxy, Problem { reason, message }: Problem) -> Problem {
    let seen = message.split_once(". ").map_or(message.as_str(), |(seen, _)| seen).trim_end_matches('.');
    let seen = seen.replace("The server", "The proxy").replace("the server", "the proxy");
    let advice = match reason {
        Reason::UnknownAuthority => {
            "Give its authority to the operator with --proxy-ca-file, or with proxy.caBundle of the chart; tls.caBundle of a resource does not count for a proxy."
        }
        Reason::TlsHandshakeFailed | Reason::ConnectionClosed => {
            "Check that the proxy takes TLS at this port. If it does not, its URL begins with http://."
        }
        _ => "Have its certificate replaced, or correct the URL of the proxy.",
    };
    Problem::new(reason, format!("No TLS with the proxy {proxy}. {seen}. {advice}"))
}

/// The proxy's URL leads to no request.
pub(super) fn protocol(proxy: &Proxy) -> Problem {
    Problem::new(
        Reason::ProxyNotUsable,
        format!("No request can be made to the proxy {proxy}. Check its URL."),
    )
}

/// Go refuses to use `HTTP_PROXY`.
pub(in crate::net) fn ambiguous() -> Problem {
    Problem::new(
        Reason::ProxyNotUsable,
        "HTTP_PROXY is not used while REQUEST_METHOD is set, since a request to a CGI program could have set it; W&B Server refuses such requests, too. Remove REQUEST_METHOD from the environment.",
    )
}

/// The proxy wants credentials, or other ones.
pub(in crate::net) fn unauthorized(proxy: &Proxy, headers: &HeaderMap) -> Problem {
    let offered = headers.get_all(header::PROXY_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let schemes: Vec<_> =
        offered.filter_map(|offer| offer.split_whitespace().next()).map(str::to_owned).collect();
    let message = if !schemes.is_empty() && !schemes.iter().any(|it| it.eq_ignore_ascii_case("basic")) {
        format!(
            "The proxy {proxy} wants credentials by the methods {}, and the operator knows Basic only, as W&B Server does. Have the proxy offer Basic, or let the operator's addresses in without credentials.",
            enumerate(schemes)
        )
    } else if proxy.has_credentials() {
        format!(
            "The proxy {proxy} does not accept the credentials in its URL (status 407). Correct them, with characters such as @ and / written as %40 and %2F."
        )
    } else {
        format!(
            "The proxy {proxy} wants credentials (status 407), and its URL has none. Add them as http://user:password@…, by proxy.secretRef of the chart."
        )
    };
    Problem::new(Reason::ProxyRefused, message)
}

/// The proxy does not connect to the server.
pub(super) fn refused(proxy: &Proxy, server: impl fmt::Display, status: StatusCode) -> Problem {
    let shown = status.as_u16();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Problem::new(
            Reason::RateLimited,
            format!("The proxy {proxy} wants fewer requests (status 429). Raise its limit for the operator."),
        );
    }
    if status.is_server_error() {
        return Problem::new(
            Reason::ServerUnavailable,
            format!(
                "The proxy {proxy} does not get a connection to {server}: it answers with the status {shown}. Check that the proxy can resolve and reach the server, and look into the proxy's log."
            ),
        );
    }
    Problem::new(
        Reason::ProxyRefused,
        format!(
            "The proxy {proxy} does not connect to {server}: it answers with the status {shown}. Have the proxy allow that server, for W&B Server as well, and look into the proxy's log."
        ),
    )
}
