//! The client of the API server. Each of its requests has a time limit of its own, so that nothing of the operator
//! waits for an answer that does not come.

pub mod addresses;
mod clock;
mod cluster;
mod load;

pub use clock::Now;
pub use cluster::{Acceptance, Cluster};
pub use load::Load;

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
    Method, Request, Response,
    body::{Body as HttpBody, Frame, SizeHint},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{BoxError, Service, layer::layer_fn};

use self::load::Sent;

/// How long a read, a page of a list or the beginning of a watch may take. The API server itself refuses after 15
/// seconds what it had no time for.
pub const READ_LIMIT: Duration = Duration::from_secs(20);

/// How long a write may take. The API server gives an admission webhook up to 30 seconds.
pub const WRITE_LIMIT: Duration = Duration::from_secs(35);

/// Makes a client whose requests end within these limits.
///
/// The client retries nothing: who asks knows better how often, and reports what the API server said.
pub fn client(mut config: Config, writes: &Writes) -> kube::Result<Client> {
    config.default_retry = false;
    let writes = writes.clone();
    let layer = layer_fn(move |inner| Limited {
        inner,
        writes: writes.clone(),
        read: READ_LIMIT,
        write: WRITE_LIMIT,
    });
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

/// The writes that were sent and not answered yet, and what the answers tell of the API server.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    unanswered: Arc<AtomicUsize>,
    load: Load,
}

impl Writes {
    /// How many there are now.
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

/// One write, until its answer is there or nobody waits for it any more.
struct Write(Arc<AtomicUsize>);

impl Drop for Write {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// No answer came within the time limit.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

/// The service below with a time limit for each request.
struct Limited<S> {
    inner: S,
    writes: Writes,
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
        let under_way = self.writes.load.begin(if is_read { Sent::Read } else { Sent::Write });
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Ok(answer) = timeout_at(deadline, answer).await else {
                under_way.end(None);
                return Err(NoAnswer(limit).into());
            };
            drop(write);
            under_way.end(answer.as_ref().ok().map(|answer| (answer.status(), answer.headers())));
            // A watch goes on for minutes, and who watches sees whether anything still comes.
            let end = (!is_watch).then(|| (limit, Box::pin(sleep_until(deadline))));
            Ok(answer.map_err(Into::into)?.map(|body| LimitedBody { body, end }))
        })
    }
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|parameter| parameter == "watch=true" || parameter == "watch=1")
}

/// An answer's body that must be complete by then.
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

    /// What a server does with a request.
    #[derive(Clone, Copy)]
    enum Server {
        Silent,
        /// It sends the head and the first bytes of the body, and nothing more.
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
        let limited = Limited { inner: server, writes: writes.clone(), read: READ, write: WRITE };
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
