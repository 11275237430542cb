//! Follows the objects of one kind: lists them, then watches for changes, for as long as it is polled.
//!
//! `kube::runtime::watcher` does the same, but it never gives up a list that hangs, goes on asking for a version
//! that the API server does not have any more (410), and does not show that it is alive while nothing changes.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
    runtime::watcher::Event,
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{
    health::WatchHandle,
    trouble::{WatchedPlace, forgotten, is_gone, trouble},
};
use crate::engine::scheduling::backoff::wait;

/// How long the API server may keep one watch open, in seconds.
const WATCH_SECONDS: u32 = 290;

/// How long a watch may be silent. The API server sends a bookmark every minute, and a connection that was lost
/// on the way ends without an error.
const SILENCE: Duration = Duration::from_secs(90);

/// The longest pause after failures. It is short so that a kind that is served again, or a right that was
/// granted, has an effect within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The shortest pause after failures.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A watch that ends sooner than this counts as failed, so that it is not begun again at once.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// So many times in a row the API server may have forgotten the version before that is told. Once is usual, after a
/// pause or where much changes.
const FORGOTTEN: u32 = 3;

/// The number of objects in one page of a list.
const PAGE: u32 = 500;

/// Streams every object, and every change from then on. Failures are reported to `watched`, and retried.
pub(in crate::engine) fn follow<K>(
    api: Api<K>,
    place: WatchedPlace,
    watched: Arc<WatchHandle>,
) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let restarts = watched.restarts();
    let follower =
        Follower { api, place, watched, restarts, state: WatchPhase::Unknown, failures: 0, forgotten: 0 };
    stream::unfold(follower, |mut follower| async {
        let event = follower.next().await;
        Some((event, follower))
    })
}

struct Follower<K> {
    api: Api<K>,
    place: WatchedPlace,
    watched: Arc<WatchHandle>,
    restarts: watch::Receiver<u64>,
    state: WatchPhase<K>,
    /// The number of failures in a row.
    failures: u32,
    /// How many times in a row the version was forgotten, with lists between them.
    forgotten: u32,
}

/// The phase of a watch.
enum WatchPhase<K> {
    /// No objects are known, or not any more.
    Unknown,
    /// The objects of a page are being passed on, and the next step follows after them.
    Listing { page: VecDeque<K>, next: Next },
    /// All objects of this version are known.
    Listed { version: String },
    /// Changes are being received.
    Watching { version: String, since: Instant, events: BoxStream<'static, kube::Result<WatchEvent<K>>> },
}

/// What follows a page of a list.
enum Next {
    /// The page of this token, or the first one.
    Page(Option<String>),
    /// The list is complete.
    Watch { version: String },
}

impl<K> Follower<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    async fn next(&mut self) -> Event<K> {
        loop {
            let event = match std::mem::replace(&mut self.state, WatchPhase::Unknown) {
                WatchPhase::Unknown => {
                    self.restarts.mark_unchanged();
                    self.state = WatchPhase::Listing { page: VecDeque::new(), next: Next::Page(None) };
                    Some(Event::Init)
                }
                WatchPhase::Listing { mut page, next } => match page.pop_front() {
                    Some(object) => {
                        self.state = WatchPhase::Listing { page, next };
                        Some(Event::InitApply(object))
                    }
                    None => self.turn_page(next).await,
                },
                WatchPhase::Listed { version } => {
                    // The consumer has polled again, so it has processed the whole list.
                    self.watched.listed();
                    self.begin(version).await;
                    None
                }
                WatchPhase::Watching { version, since, events } => self.watch(version, since, events).await,
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    async fn turn_page(&mut self, next: Next) -> Option<Event<K>> {
        let token = match next {
            Next::Watch { version } => {
                self.state = WatchPhase::Listed { version };
                return Some(Event::InitDone);
            }
            Next::Page(token) => token,
        };
        let parameters =
            ListParams { limit: Some(PAGE), continue_token: token.clone(), ..ListParams::default() };
        match self.api.list(&parameters).await {
            Ok(list) => {
                self.failures = 0;
                self.watched.progressed();
                let token = list.metadata.continue_.filter(|token| !token.is_empty());
                let next = match token {
                    Some(token) => {
                        self.watched.lists();
                        Next::Page(Some(token))
                    }
                    None => Next::Watch { version: list.metadata.resource_version.unwrap_or_default() },
                };
                self.state = WatchPhase::Listing { page: list.items.into(), next };
            }
            // A list that took too long cannot be continued (410), so it begins again.
            Err(error) if is_gone(&error) && token.is_some() => {
                self.watched.begins_again();
                self.forget().await;
            }
            Err(error) => {
                self.watched.begins_again();
                self.watched.failed(trouble(&error, &self.place));
                self.pause().await;
            }
        }
        None
    }

    async fn begin(&mut self, version: String) {
        let parameters = WatchParams { timeout: Some(WATCH_SECONDS), ..WatchParams::default() };
        match self.api.watch(&parameters, &version).await {
            Ok(events) => {
                self.watched.progressed();
                self.state = WatchPhase::Watching { version, since: Instant::now(), events: events.boxed() };
            }
            Err(error) if is_gone(&error) => self.forget().await,
            Err(error) => {
                self.watched.failed(trouble(&error, &self.place));
                self.state = WatchPhase::Listed { version };
                self.pause().await;
            }
        }
    }

    async fn watch(
        &mut self,
        version: String,
        since: Instant,
        mut events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
    ) -> Option<Event<K>> {
        let next = tokio::select! {
            next = tokio::time::timeout(SILENCE, events.next()) => next.ok().flatten(),
            // The sender lives as long as the process.
            _ = self.restarts.changed() => return None,
        };
        let (version, event) = match next {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                (object.resource_version().unwrap_or(version), Some(Event::Apply(object)))
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                (object.resource_version().unwrap_or(version), Some(Event::Delete(object)))
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => (bookmark.metadata.resource_version, None),
            Some(Ok(WatchEvent::Error(status))) if status.code == 410 => {
                self.forget().await;
                return None;
            }
            // Begun again, it says what is wrong; one that was of some use begins at once.
            Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => {
                self.state = WatchPhase::Listed { version };
                if since.elapsed() < SHORT_WATCH {
                    self.pause().await;
                }
                return None;
            }
        };
        (self.failures, self.forgotten) = (0, 0);
        self.watched.follows();
        self.state = WatchPhase::Watching { version, since, events };
        event
    }

    /// Everything is listed anew, as the API server does not have the version any more.
    async fn forget(&mut self) {
        self.forgotten = self.forgotten.saturating_add(1);
        if self.forgotten >= FORGOTTEN {
            self.watched.failed(forgotten(&self.place));
        }
        self.pause().await;
    }

    async fn pause(&mut self) {
        // A list between two failures to follow it is no success.
        let failures = self.failures.max(self.forgotten.saturating_sub(1));
        let pause = wait(failures, FIRST_PAUSE, LONGEST_PAUSE, crate::jitter::random());
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}
