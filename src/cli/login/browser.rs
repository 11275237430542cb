//! Listens on this machine for the browser that the provider sends back.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::{Method, StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
};
use futures::future::join_all;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;
use url::Host;

use crate::oidc::{BrowserAnswer, RedirectUri};

/// Open sockets at the address of this machine.
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    address: ListenerAddress,
}

/// The address for which the program answers.
struct ListenerAddress {
    port: u16,
    path: String,
}

impl ListenerAddress {
    /// Whether the header Host names this machine and the port: a page of another name that leads here is not answered.
    fn is_named_by(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_here = name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        is_here && authority.port_u16().unwrap_or(80) == self.port && !host.contains('@')
    }
}

/// More is no answer.
const BODY_LIMIT: usize = 256 * 1024;

impl Listener {
    /// Opens the address. A browser may take localhost for either family of addresses.
    pub(super) async fn open(uri: &RedirectUri) -> anyhow::Result<Self> {
        let url = uri.url();
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            _ => vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()],
        };
        let mut sockets = Vec::new();
        for address in addresses {
            match TcpListener::bind(address).await {
                Ok(socket) => sockets.push(socket),
                // A machine need not have both families. But an address that another program has is that program's,
                // and a browser may take the answer there.
                Err(error) if !sockets.is_empty() && error.kind() != ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("--redirect-uri: nobody can listen at {uri}"));
                }
            }
        }
        Ok(Self { sockets, address: ListenerAddress { port, path: url.path().to_owned() } })
    }

    /// The first answer that is surely to this login. Others are told that they are not, and the waiting goes on.
    pub(super) async fn answer(self, is_ours: impl Fn(&BrowserAnswer) -> bool) -> BrowserAnswer {
        let (sender, mut arrivals) = mpsc::channel(1);
        let stopping = CancellationToken::new();
        let address = Arc::new(self.address);
        let servers = self.sockets.into_iter().map(|socket| {
            let (sender, address) = (sender.clone(), Arc::clone(&address));
            let routes = Router::new().fallback(move |request| respond(request, address, sender));
            axum::serve(socket, routes)
                .with_graceful_shutdown(stopping.clone().cancelled_owned())
                .into_future()
        });
        let mut serving = std::pin::pin!(join_all(servers.collect::<Vec<_>>()));
        let waiting = async {
            loop {
                let Some(Arrival { answer, page }) = arrivals.recv().await else {
                    return std::future::pending().await;
                };
                let is_ours = is_ours(&answer);
                // A browser that is gone needs no page.
                let _ = page.send(match (is_ours, answer.says_of_which_login()) {
                    (true, _) => DONE,
                    (false, true) => OTHER,
                    (false, false) => STRAY,
                });
                if is_ours {
                    return answer;
                }
            }
        };
        tokio::select! {
            answer = waiting => {
                stopping.cancel();
                // The page is still on its way to the browser.
                let _ = tokio::time::timeout(FAREWELL, serving).await;
                answer
            }
            _ = &mut serving => std::future::pending().await,
        }
    }
}

/// How long the browser may take to read its page.
const FAREWELL: Duration = Duration::from_secs(1);

/// An answer, and where the page for the browser goes.
struct Arrival {
    answer: BrowserAnswer,
    page: oneshot::Sender<&'static str>,
}

async fn respond(request: Request, address: Arc<ListenerAddress>, sender: mpsc::Sender<Arrival>) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| address.is_named_by(host)) || request.uri().path() != address.path {
        return page(StatusCode::NOT_FOUND, ELSEWHERE);
    }
    let text = match *request.method() {
        Method::GET => request.uri().query().unwrap_or_default().to_owned(),
        Method::POST => match to_bytes(request.into_body(), BODY_LIMIT).await {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(_) => return page(StatusCode::PAYLOAD_TOO_LARGE, NOTHING),
        },
        _ => return page(StatusCode::METHOD_NOT_ALLOWED, ELSEWHERE),
    };
    let Some(answer) = BrowserAnswer::of_parameters(&text) else {
        return page(StatusCode::BAD_REQUEST, NOTHING);
    };
    let (sent, shown) = oneshot::channel();
    if sender.send(Arrival { answer, page: sent }).await.is_err() {
        return page(StatusCode::GONE, OTHER);
    }
    match shown.await.unwrap_or(OTHER) {
        DONE => page(StatusCode::OK, DONE),
        other => page(StatusCode::BAD_REQUEST, other),
    }
}

const DONE: &str =
    "The answer has arrived. Close this window: the terminal shows what W&amp;B Server reads of it.";
const OTHER: &str = "This answer belongs to another login. Open the address that the terminal printed last.";
const STRAY: &str = "This answer does not say to which login it belongs (state), so the terminal goes on waiting. If the address bar has an error of the provider, follow that.";
const NOTHING: &str = "The provider sent the browser back without an answer that a server can read. With authMethod: implicit, it must post a form (response_mode form_post).";
const ELSEWHERE: &str = "This address is not the one of the login.";

/// A page without anything of the answer in it.
fn page(status: StatusCode, text: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    let html = format!(
        "<!doctype html><html lang=\"en\"><title>wandb-auth-operator login</title><p>{text}</p></html>"
    );
    (status, headers, html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_with_the_port_are_answered() {
        let address = ListenerAddress { port: 8765, path: "/callback".to_owned() };
        for (host, expected) in [
            ("localhost:8765", true),
            ("LOCALHOST:8765", true),
            ("127.0.0.1:8765", true),
            ("[::1]:8765", true),
            ("localhost", false),
            ("localhost:80", false),
            ("evil.example:8765", false),
            ("localhost.evil.example:8765", false),
            ("evil@localhost:8765", false),
            ("10.0.0.1:8765", false),
            ("", false),
        ] {
            assert_eq!(address.is_named_by(host), expected, "{host}");
        }
        assert!(ListenerAddress { port: 80, path: "/".to_owned() }.is_named_by("localhost"));
    }
}
