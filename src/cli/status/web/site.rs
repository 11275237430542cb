//! Serves the page to browsers of this machine that know its address.
//!
//! Other people of the machine reach the port, too, and so do pages from elsewhere in a person's browser: by its
//! number, or by a name that they let resolve to this machine (DNS rebinding). So the path has a secret, and the host
//! has to be this one. The secret is no cookie, since browsers send those to every port of a host.

use std::{
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::stream;
use tokio::{net::TcpListener, sync::watch};

use super::PageFeed;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// Nothing but what this server has, and no script, style or handler inside of the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// How often a line is sent that says nothing, so that the end of a browser is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Where the page is, with its secret.
#[derive(Clone)]
pub(super) struct PageAddress {
    socket: SocketAddr,
    secret: String,
}

/// For the person who called the command; the secret is theirs.
impl fmt::Display for PageAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}/{}/", self.socket, self.secret)
    }
}

impl PageAddress {
    /// A new secret for a server that listens here.
    pub(super) fn new(socket: SocketAddr) -> anyhow::Result<Self> {
        let mut secret = [0; 24];
        rand::fill(&mut secret).map_err(|_| anyhow!("this machine has no random numbers"))?;
        Ok(Self { socket, secret: BASE64_URL_SAFE_NO_PAD.encode(secret) })
    }

    /// What of the page is asked for; an error is why nobody gets it.
    fn asked<'a>(&self, method: &Method, path: &'a str, headers: &HeaderMap) -> Result<&'a str, StatusCode> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let port = self.socket.port();
        let own = [format!("{}:{port}", self.socket.ip()), format!("localhost:{port}")];
        let is_own = hosts.next().is_some_and(|host| own.iter().any(|own| own.as_bytes() == host.as_bytes()));
        if !is_own || hosts.next().is_some() {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        let (secret, rest) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        if verify_slices_are_equal(secret.as_bytes(), self.secret.as_bytes()).is_err() {
            return Err(StatusCode::FORBIDDEN);
        }
        if *method != Method::GET {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        Ok(rest)
    }
}

/// The page, and what it shows now.
pub(super) struct Site {
    address: PageAddress,
    feed: watch::Receiver<PageFeed>,
}

/// Listens on loopback alone.
pub(super) async fn listen(port: Option<u16>) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_default()));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve the page on {address}; choose another --port, or none"))
}

impl Site {
    pub(super) fn new(address: PageAddress, feed: watch::Receiver<PageFeed>) -> Self {
        Self { address, feed }
    }

    /// Serves until the process ends.
    pub(super) async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let routes = Router::new().fallback(answer).with_state(Arc::new(self));
        axum::serve(listener, routes).await
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let asked = site.address.asked(request.method(), request.uri().path(), request.headers());
    let response = match asked {
        Ok("") => file("text/html; charset=utf-8", PAGE),
        Ok("page.css") => file("text/css; charset=utf-8", STYLE),
        Ok("page.js") => file("text/javascript; charset=utf-8", SCRIPT),
        Ok("icon.svg") => file("image/svg+xml", ICON),
        Ok("feed") => feed(site.feed.clone()),
        Ok(_) => (StatusCode::NOT_FOUND, "there is nothing at this address\n").into_response(),
        Err(status) => (status, format!("{}\n", refusal(status))).into_response(),
    };
    (HEADERS, response).into_response()
}

/// Why a request is refused, for a person who sees it.
fn refusal(status: StatusCode) -> &'static str {
    match status {
        StatusCode::MISDIRECTED_REQUEST => "this server answers under its own address only",
        StatusCode::METHOD_NOT_ALLOWED => "this page can be read only",
        _ => "this is not the address that status --web has printed",
    }
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// What is to be shown, at once and after each change, as server-sent events.
fn feed(mut receiver: watch::Receiver<PageFeed>) -> Response {
    receiver.mark_changed();
    let events = stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        let text = serde_json::to_string(&*receiver.borrow_and_update()).ok()?;
        Some((Ok::<_, Infallible>(Event::default().data(text)), receiver))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_who_has_the_address_is_answered() {
        let address = PageAddress { socket: "127.0.0.1:4711".parse().unwrap(), secret: "secret".to_owned() };
        let ask = |method: Method, path: &'static str, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            address.asked(&method, path, &headers)
        };
        let own = &["127.0.0.1:4711"][..];
        for (method, path, hosts, expected) in [
            (Method::GET, "/secret/", own, Ok("")),
            (Method::GET, "/secret/feed", &["localhost:4711"], Ok("feed")),
            (Method::GET, "/secret/", &[], Err(StatusCode::MISDIRECTED_REQUEST)),
            (Method::GET, "/secret/", &["evil.example:4711"], Err(StatusCode::MISDIRECTED_REQUEST)),
            (Method::GET, "/secret/", &["127.0.0.1"], Err(StatusCode::MISDIRECTED_REQUEST)),
            (Method::GET, "/secret/", &["127.0.0.1:4712"], Err(StatusCode::MISDIRECTED_REQUEST)),
            (
                Method::GET,
                "/secret/",
                &["127.0.0.1:4711", "evil.example"],
                Err(StatusCode::MISDIRECTED_REQUEST),
            ),
            (Method::GET, "/", own, Err(StatusCode::FORBIDDEN)),
            (Method::GET, "/secret", own, Err(StatusCode::FORBIDDEN)),
            (Method::GET, "/Secret/", own, Err(StatusCode::FORBIDDEN)),
            (Method::GET, "/secret2/feed", own, Err(StatusCode::FORBIDDEN)),
            (Method::POST, "/secret/", own, Err(StatusCode::METHOD_NOT_ALLOWED)),
        ] {
            assert_eq!(ask(method, path, hosts), expected, "{path} {hosts:?}");
        }
    }

    #[test]
    fn every_page_has_a_secret_of_its_own() {
        let socket = "127.0.0.1:1".parse().unwrap();
        let [one, other] = [(), ()].map(|()| PageAddress::new(socket).unwrap().to_string());
        assert_ne!(one, other);
        // 24 bytes in base64.
        assert_eq!(one.len(), "http://127.0.0.1:1//".len() + 32);
    }
}
