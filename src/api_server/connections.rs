//! The connections to the API server. A burst of work opens one for each request at a time, and each takes some 40 KiB
//! here and as much there. Those that nobody uses any more are closed soon: kube's own client keeps them until the
//! API server closes them.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper::{
    Request, Response, Uri,
    body::Incoming,
    rt::{Read, Write},
};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tower::{BoxError, Layer, Service, util::BoxService};

use super::NoAnswer;

/// A client's service below its own layers.
pub(super) type Connected = BoxService<Request<Body>, Response<Incoming>, BoxError>;

/// How long a connection is kept for use that nobody uses. It is closed within as long again.
const KEPT: Duration = Duration::from_secs(10);

/// How long connecting may take, the handshake included. The time limit of the request counts as well, and a proxy has a
/// shorter limit of its own, whose message says more.
const CONNECT_LIMIT: Duration = Duration::from_secs(35);

/// The most that is read of an answer at once. A connection keeps a buffer of the size that it needed.
const BUFFER: usize = 64 * 1024;

/// Connects directly.
pub(super) fn direct() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}

/// A client whose connections are made in this way.
pub(super) fn builder<C>(config: &Config, connector: C) -> kube::Result<ClientBuilder<Connected>>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    keeping(KEPT, config, connector)
}

fn keeping<C>(kept: Duration, config: &Config, connector: C) -> kube::Result<ClientBuilder<Connected>>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let connector = InTime(config.rustls_https_connector_with_connector(connector)?);
    let client = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(kept)
        .http1_max_buf_size(BUFFER)
        .build::<_, Body>(connector);
    let service = config.extra_headers_layer()?.layer(Erring(client));
    let service = match config.auth_layer()? {
        Some(authentication) => BoxService::new(config.base_uri_layer().layer(authentication.layer(service))),
        None => BoxService::new(config.base_uri_layer().layer(service)),
    };
    Ok(ClientBuilder::new(service, config.default_namespace.clone()))
}

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

/// Gives up connections that do not come about in time. Nobody else would, once the request is over for which they
/// were begun.
#[derive(Clone)]
struct InTime<C>(C);

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT_LIMIT, self.0.call(server));
        Box::pin(async move { connecting.await.map_err(|_| NoAnswer(CONNECT_LIMIT))?.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_connection_that_nobody_uses_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = Config::new(url.parse().unwrap());
        let client = keeping(Duration::from_millis(10), &config, direct()).unwrap().build();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            stream
        };
        let request = Request::get("/version").body(Vec::new()).unwrap();
        let (answer, mut stream) = tokio::join!(client.request_text(request), server);
        assert_eq!(answer.unwrap(), "{}");
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut rest)).await;
        assert_eq!(end.expect("it is closed").unwrap(), 0);
    }
}
