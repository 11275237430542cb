//! The way to an API server behind a proxy, for a process outside of the cluster.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper::{
    Response, Uri,
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use kube::{
    Config, Error,
    client::{Body, ClientBuilder, ConfigExt},
};
use tokio::net::TcpStream;
use tower::{BoxError, Layer, Service, util::BoxService};

use crate::net::{Duplex, Endpoint, Host, Proxy, Trust, secure, tunnel, usable};

type ProxiedService = BoxService<hyper::Request<Body>, Response<Incoming>, BoxError>;

/// How long connecting to the proxy may take. The time limit of the request counts as well.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// A client whose connections go through this proxy. The system's authorities vouch for a proxy with TLS, and the
/// kubeconfig's for the API server.
pub(super) fn builder(config: &Config, proxy: &Uri) -> kube::Result<ClientBuilder<ProxiedService>> {
    let unusable = |message: String| Error::Service(Unreached(message).into());
    let proxy = Proxy::parse(&proxy.to_string())
        .ok_or_else(|| unusable("the proxy's URL cannot be read".to_owned()))?;
    usable(&proxy).map_err(|problem| unusable(problem.message))?;
    let tunnels = Tunnels { proxy, trust: Trust::system() };
    let connector = config.rustls_https_connector_with_connector(tunnels)?;
    let client = legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = config.extra_headers_layer()?.layer(Erring(client));
    let service = match config.auth_layer()? {
        Some(authentication) => BoxService::new(config.base_uri_layer().layer(authentication.layer(service))),
        None => BoxService::new(config.base_uri_layer().layer(service)),
    };
    Ok(ClientBuilder::new(service, config.default_namespace.clone()))
}

/// No connection to the API server comes about.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreached(String);

/// A client whose errors have the type that layers expect.
#[derive(Clone)]
struct Erring<S>(S);

impl<S, R> Service<R> for Erring<S>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

/// Makes connections to servers through the proxy.
#[derive(Clone)]
struct Tunnels {
    proxy: Proxy,
    trust: Trust,
}

impl Service<Uri> for Tunnels {
    type Response = Tunnel;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Tunnel, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let Self { proxy, trust } = self.clone();
        Box::pin(async move {
            let connecting = connect(&proxy, &trust, &server);
            let stream = tokio::time::timeout(CONNECT_LIMIT, connecting).await.map_err(|_| {
                Unreached(format!("the proxy {proxy} does not answer. Check that it is healthy"))
            })??;
            Ok(Tunnel(TokioIo::new(stream)))
        })
    }
}

async fn connect(proxy: &Proxy, trust: &Trust, server: &Uri) -> Result<Box<dyn Duplex>, Unreached> {
    let told = |problem: crate::problem::Problem| Unreached(problem.message);
    let host = server.host().and_then(Host::parse);
    let host = host.ok_or_else(|| Unreached("the API server's URL names no host".to_owned()))?;
    let is_encrypted = server.scheme_str() != Some("http");
    let server = Endpoint { host, port: server.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 }) };
    let address = usable(proxy).map_err(told)?;
    let place = (address.host.to_string(), address.port);
    let stream = TcpStream::connect((place.0.trim_matches(['[', ']']), place.1)).await;
    let stream = stream.map_err(|error| Unreached(format!("the proxy {proxy} is not reached: {error}")))?;
    let _ = stream.set_nodelay(true);
    let stream = secure(Box::new(stream), proxy, trust).await.map_err(told)?;
    tunnel(stream, proxy, &server).await.map_err(told)
}

/// A connection that a proxy has made.
struct Tunnel(TokioIo<Box<dyn Duplex>>);

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
