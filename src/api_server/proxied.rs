//! The way to an API server behind a proxy, for a process outside of the cluster.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper::{
    Uri,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use kube::Error;
use tokio::net::TcpStream;
use tower::{BoxError, Service};

use crate::net::{Duplex, Endpoint, Host, Proxy, Trust, secure, tunnel, usable};

/// How long connecting to the proxy may take. The time limit of the request counts as well.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Connects through this proxy. The system's authorities vouch for a proxy with TLS, and the kubeconfig's for the API
/// server.
pub(super) fn tunnels(proxy: &Uri) -> kube::Result<Tunnels> {
    let unusable = |message: String| Error::Service(Unreached(message).into());
    let proxy = Proxy::parse(&proxy.to_string())
        .ok_or_else(|| unusable("the proxy's URL cannot be read".to_owned()))?;
    usable(&proxy).map_err(|problem| unusable(problem.message))?;
    Ok(Tunnels { proxy, trust: Trust::system() })
}

/// No connection to the API server comes about.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreached(String);

/// Makes connections to servers through the proxy.
#[derive(Clone)]
pub(super) struct Tunnels {
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
pub(super) struct Tunnel(TokioIo<Box<dyn Duplex>>);

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
