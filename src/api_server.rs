//! The client for the Kubernetes API server. Each request has a time limit of its own, so that no part of the
//! operator waits for an answer that never comes.

pub mod addresses;
mod clock;
mod cluster;
mod connections;
mod load;
mod proxied;
mod requests;

pub use clock::Now;
pub use cluster::{Acceptance, Cluster};
pub use load::{Load, TurnHolder};
pub use requests::Requests;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, SizeHint},
};
use kube::{Client, Config, client::Body};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{BoxError, Layer, Service};

use self::{
    load::Sent,
    requests::{count, verb},
};

/// The time limit for a read, for a page of a list, and for the beginning of a watch. The API server itself refuses
/// a request after 15 seconds if it had no time for it.
pub const READ_LIMIT: Duration = Duration::from_secs(20);

/// The time limit for a write. The API server gives an admission webhook up to 30 seconds.
pub const WRITE_LIMIT: Duration = Duration::from_secs(35);

/// Makes a client whose requests end within these limits. They go through the proxy that the configuration names, if it
/// names one.
///
/// The client does not retry requests: the caller knows better how often to try, and reports what the API server
/// said.
pub fn client(mut config: Config, writes: &Writes, requests: &Requests) -> kube::Result<Client> {
    let layer = Limits { writes: writes.clone(), requests: requests.clone() };
    let builder = match config.proxy_url.take() {
        None => connections::builder(&config, connections::direct())?,
        Some(proxy) => connections::builder(&config, proxied::tunnels(&proxy)?)?,
    };
    Ok(builder.with_layer(&layer).build())
}

/// Counts the writes that have been sent but not answered yet, and learns from the answers what the API server can
/// take.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    unanswered: Arc<AtomicUsize>,
    load: Load,
}

impl Writes {
    /// The number of writes without an answer now.
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }

    /// How much the API server can take.
    pub fn load(&self) -> &Load {
        &self.load
    }

    fn begin(&self) -> Write {
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        Write(Arc::clone(&self.unanswered))
    }
}

/// A write, counted until its answer arrives or nobody waits for it any more.
struct Write(Arc<AtomicUsize>);

impl Drop for Write {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The error that no answer came within the time limit.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

/// The error that a refusal counts for nothing: an API server reads the roles after it has begun to answer.
#[derive(Debug, thiserror::Error)]
#[error("it has just come back, and refuses what it may allow as soon as it has read the roles")]
struct RolesUnread;

/// Gives each request of a service its time limit.
struct Limits {
    writes: Writes,
    requests: Requests,
}

impl<S> Layer<S> for Limits {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        let Self { writes, requests } = self;
        Limited {
            inner,
            writes: writes.clone(),
            requests: requests.clone(),
            read: READ_LIMIT,
            write: WRITE_LIMIT,
        }
    }
}

/// A service with a time limit for each request.
struct Limited<S> {
    inner: S,
    writes: Writes,
    requests: Requests,
    read: Duration,
    write: Duration,
}

impl<S, B> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<LimitedBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_watch = request.uri().query().is_some_and(is_watch);
        let limit = if is_read { self.read } else { self.write };
        let deadline = Instant::now() + limit;
        let write = (!is_read).then(|| self.writes.begin());
        let verb = verb(request.method(), request.uri().path(), is_watch);
        let (requests, load) = (self.requests.clone(), self.writes.load.clone());
        let under_way = self.writes.load.begin(if is_read { Sent::Read } else { Sent::Write });
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Ok(answer) = timeout_at(deadline, answer).await else {
                count(&requests, verb, None);
                under_way.end(None);
                return Err(NoAnswer(limit).into());
            };
            drop(write);
            count(&requests, verb, answer.as_ref().ok().map(Response::status));
            match &answer {
                Ok(answer) => under_way.end(Some((answer.status(), answer.headers()))),
                Err(_) => under_way.fail(),
            }
            let is_refused = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::FORBIDDEN);
            if is_refused && load.is_recovering(std::time::Instant::now()) {
                return Err(RolesUnread.into());
            }
            // A watch lasts for minutes, and its caller notices itself when nothing arrives any more.
            let end = (!is_watch).then(|| (limit, Box::pin(sleep_until(deadline))));
            Ok(answer.map_err(Into::into)?.map(|body| LimitedBody { body, end }))
        })
    }
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|parameter| parameter == "watch=true" || parameter == "watch=1")
}

/// The body of an answer, which must be complete before its deadline, if it has one.
struct LimitedBody<B> {
    body: B,
    end: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl<B> HttpBody for LimitedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some((limit, end)) = &mut self.end else { return Poll::Pending };
        end.as_mut().poll(context).map(|()| Some(Err(NoAnswer(*limit).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, future, stream};
    use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};

    use super::*;

    /// The behaviour of a server in these tests.
    #[derive(Clone, Copy)]
    enum Server {
        Silent,
        /// No connection to the server comes about.
        Unreachable,
        /// The server sends the head and the first bytes of the body, and then nothing more.
        Half,
    }

    impl Service<Request<Body>> for Server {
        type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
        type Error = BoxError;
        type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            match self {
                Self::Silent => Box::pin(future::pending()),
                Self::Unreachable => Box::pin(future::ready(Err("connection refused".into()))),
                Self::Half => {
                    let first = Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"half")));
                    let body = StreamBody::new(stream::iter([first]).chain(stream::pending()));
                    Box::pin(future::ready(Ok(Response::new(body.boxed_unsync()))))
                }
            }
        }
    }

    const READ: Duration = Duration::from_millis(50);
    const WRITE: Duration = Duration::from_millis(100);

    async fn ask(server: Server, method: Method, path: &str) -> String {
        let writes = Writes::default();
        let requests = Requests::default();
        let limited = Limited { inner: server, writes: writes.clone(), requests, read: READ, write: WRITE };
        let request = Request::builder().method(method).uri(path).body(Vec::new()).unwrap();
        let answer = Client::new(limited, "default").request_text(request).await;
        assert_eq!(writes.unanswered(), 0);
        crate::error::in_words(&answer.unwrap_err())
    }

    #[tokio::test]
    async fn what_is_never_answered_is_given_up() {
        for server in [Server::Silent, Server::Half] {
            let list = "/api/v1/secrets?limit=500";
            assert_eq!(ask(server, Method::GET, list).await, "no answer within 50ms");
            assert_eq!(ask(server, Method::PATCH, "/api/v1/secrets/one").await, "no answer within 100ms");
        }
    }

    #[tokio::test]
    async fn the_beginning_of_a_watch_has_a_limit_and_the_watch_has_none() {
        let path = "/api/v1/secrets?&watch=true&resourceVersion=1";
        assert_eq!(ask(Server::Silent, Method::GET, path).await, "no answer within 50ms");
        let watch = tokio::time::timeout(WRITE * 5, ask(Server::Half, Method::GET, path));
        assert!(watch.await.is_err(), "a watch goes on");
    }

    #[tokio::test]
    async fn a_connection_that_fails_tells_nothing_of_what_the_api_server_can_take() {
        for (server, learns) in [(Server::Unreachable, false), (Server::Half, true)] {
            let writes = Writes::default();
            let before = writes.load().places();
            let _others: Vec<_> = (0..before).map(|_| writes.load().begin(Sent::Write)).collect();
            for _ in 0..100 {
                let (writes, requests) = (writes.clone(), Requests::default());
                let mut limited = Limited { inner: server, writes, requests, read: READ, write: WRITE };
                let request = Request::builder().method(Method::PATCH).uri("/api/v1/secrets/one");
                let _ = limited.call(request.body(Body::empty()).unwrap()).await;
            }
            assert_eq!(writes.load().places() > before, learns);
        }
    }

    #[test]
    fn writes_count_until_nobody_waits_for_them() {
        let writes = Writes::default();
        let (first, second) = (writes.begin(), writes.begin());
        assert_eq!(writes.unanswered(), 2);
        drop(first);
        assert_eq!(writes.unanswered(), 1);
        drop(second);
        assert_eq!(writes.unanswered(), 0);
    }
}
