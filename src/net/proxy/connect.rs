//! The way through a proxy: to the proxy, and from there to the server (`CONNECT`, RFC 9110, section 9.3.6).
//!
//! The proxy's own address is not judged by the egress policy, since the person who runs the operator chose it. For the
//! same reason, only the operator's own authorities vouch for its certificate: the author of a resource must not decide
//! who gets the proxy's credentials.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http_body_util::Empty;
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    client::conn::http1::handshake,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;

use super::{HttpScheme, Proxy, ProxyProtocol, answer};
use crate::{
    api::Reason,
    net::{
        Duplex, Endpoint, HttpConnection, Network, Trust,
        connection::RequestForm,
        dial, encrypt,
        http::{USER_AGENT, spoilt, transport_problem},
        names::Names,
    },
    problem::{Problem, quote},
    sensitive::Sensitive,
};

impl Network {
    /// Connects to the server through the proxy. What protects an https URL is not negotiated yet.
    pub async fn connect_through(
        &self,
        proxy: &Proxy,
        scheme: HttpScheme,
        server: &Endpoint,
    ) -> Result<HttpConnection, Problem> {
        let address = usable(proxy)?;
        let unreached = |problem| answer::unreached(proxy, problem);
        // The proxy belongs to the operator, so its name means what it means to the operator's own pod.
        let terms = self.lookup_terms(Duration::MAX);
        let addresses = dial::resolve(&Names::default(), &address, terms).await.map_err(unreached)?;
        let stream = dial::connect(&address, &addresses, &self.meter).await.map_err(unreached)?;
        let stream = secure(Box::new(stream), proxy, &self.proxy_trust).await?;
        Ok(match scheme {
            HttpScheme::Http => {
                let authorization = proxy.authorization().map(header_value).transpose()?;
                HttpConnection { stream, form: RequestForm::Absolute { proxy: proxy.clone(), authorization } }
            }
            HttpScheme::Https => {
                HttpConnection { stream: tunnel(stream, proxy, server).await?, form: RequestForm::Origin }
            }
        })
    }
}

/// Where the proxy is, if the operator can use it.
pub(crate) fn usable(proxy: &Proxy) -> Result<Endpoint, Problem> {
    let not_usable = |message: String| Err(Problem::new(Reason::ProxyNotUsable, message));
    if proxy.is_misread() {
        return not_usable(answer::MISREAD.to_owned());
    }
    if proxy.protocol().is_none() {
        return not_usable(format!(
            "The operator cannot use the proxy {proxy}: it speaks with proxies by HTTP and not by {}. Name a proxy whose URL begins with http:// or https://.",
            quote(proxy.scheme()),
        ));
    }
    match proxy.endpoint() {
        Some(endpoint) => Ok(endpoint),
        None => not_usable(format!(
            "The URL of the proxy, {proxy}, names no host and port to connect to. Correct the variable, for example to http://proxy.example.com:3128."
        )),
    }
}

/// The connection to the proxy, encrypted where its URL wants that.
pub(crate) async fn secure(
    stream: Box<dyn Duplex>,
    proxy: &Proxy,
    trust: &Trust,
) -> Result<Box<dyn Duplex>, Problem> {
    if proxy.protocol() != Some(ProxyProtocol::Https) {
        return Ok(stream);
    }
    let name = usable(proxy)?.host.server_name();
    let name = name.ok_or_else(|| answer::protocol(proxy))?;
    let (stream, _) =
        encrypt(stream, &name, trust).await.map_err(|problem| answer::unsecured(proxy, problem))?;
    Ok(Box::new(stream))
}

/// Asks the proxy for a connection to the server.
pub(crate) async fn tunnel(
    stream: Box<dyn Duplex>,
    proxy: &Proxy,
    server: &Endpoint,
) -> Result<Box<dyn Duplex>, Problem> {
    let failed =
        |error: &hyper::Error| answer::broken(transport_problem(&format!("The proxy {proxy}"), error));
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let request = request(proxy, server)?;
    // It may end together with the answer, and must not be polled after that.
    let mut connection = std::pin::pin!(connection.with_upgrades().fuse());
    let answer = {
        let broken = async {
            match connection.as_mut().await {
                Err(error) if spoilt(&error) => failed(&error),
                // Otherwise the request itself tells what became of it.
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            problem = broken => return Err(problem),
            answer = sender.send_request(request) => answer.map_err(|error| failed(&error))?,
        }
    };
    expect_tunnel(&answer, proxy, server)?;
    let upgrade = hyper::upgrade::on(answer);
    let upgraded = tokio::select! {
        // The connection hands its stream over when it ends.
        Err(error) = connection => Err(error),
        upgraded = upgrade => upgraded,
    };
    let upgraded = upgraded.map_err(|error| failed(&error))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

fn request(proxy: &Proxy, server: &Endpoint) -> Result<Request<Empty<Bytes>>, Problem> {
    let server = server.to_string();
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&server)
        .header(header::HOST, &server)
        .header(header::USER_AGENT, USER_AGENT);
    if let Some(authorization) = proxy.authorization() {
        request = request.header(header::PROXY_AUTHORIZATION, header_value(authorization)?);
    }
    request.body(Empty::new()).map_err(|_| answer::protocol(proxy))
}

/// The value of a header that is not shown anywhere.
fn header_value(text: &Sensitive) -> Result<HeaderValue, Problem> {
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| {
        Problem::new(
            Reason::ProxyNotUsable,
            "The proxy's credentials cannot be sent. Correct them in its URL.",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Only 200 stands for a connection, as for Go.
fn expect_tunnel(
    answer: &hyper::Response<Incoming>,
    proxy: &Proxy,
    server: &Endpoint,
) -> Result<(), Problem> {
    match answer.status() {
        StatusCode::OK => Ok(()),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(answer::unauthorized(proxy, answer.headers())),
        status => Err(answer::refused(proxy, server, status)),
    }
}
