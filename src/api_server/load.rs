//! How much the API server can take, as its answers tell.

mod limit;
mod presence;

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{HeaderMap, StatusCode, header::RETRY_AFTER};

use self::{
    limit::{Limit, LimitAnswer},
    presence::Presence,
};
use crate::shares::Permits;

/// How much the API server can take.
#[derive(Clone, Debug)]
pub struct Load {
    limit: Arc<Mutex<Limit>>,
    under_way: Arc<AtomicUsize>,
    presence: Arc<Mutex<Presence>>,
    turns: Permits<TurnHolder>,
}

/// The runs of one kind in one namespace, which share their turns: neither a namespace nor a kind delays another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TurnHolder {
    /// The kind.
    pub kind: Cow<'static, str>,
    /// The namespace.
    pub namespace: String,
}

/// How many runs there are for each request that may be under way: a run also computes, and reads what the watches told.
/// For a moment it may have four under way, where it looks for what still refers to a revision.
const RUNS_PER_REQUEST: usize = 2;

impl Default for Load {
    fn default() -> Self {
        let limit = Limit::default();
        Self {
            limit: Arc::new(Mutex::new(limit)),
            under_way: Arc::default(),
            presence: Arc::default(),
            turns: Permits::new(limit.requests() * RUNS_PER_REQUEST),
        }
    }
}

/// What kind of request was sent.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sent {
    /// It may be a long list, so that the time it takes tells nothing.
    Read,
    /// It is about one object.
    Write,
}

/// A request that was sent, until it is answered or nobody waits for the answer any more.
pub(super) struct RequestUnderWay {
    load: Load,
    sent: Sent,
    since: Instant,
}

impl Load {
    /// How many runs may speak with it at a time.
    pub fn places(&self) -> usize {
        self.limit().requests() * RUNS_PER_REQUEST
    }

    /// The turns of those runs, one queue for all kinds.
    pub(crate) fn turns(&self) -> &Permits<TurnHolder> {
        &self.turns
    }

    pub(super) fn begin(&self, sent: Sent) -> RequestUnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        RequestUnderWay { load: self.clone(), sent, since: Instant::now() }
    }

    /// Whether the API server came back so recently that a refusal may only mean that it does not know the roles yet.
    pub(super) fn is_recovering(&self, now: Instant) -> bool {
        self.presence().is_recovering(now)
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestUnderWay {
    /// No connection came about, or it broke. Such a failure is quick, and says nothing of what the API server can
    /// take.
    pub(super) fn fail(self) {
        self.load.presence().missed(Instant::now());
    }

    /// It was answered, or nothing came in time.
    pub(super) fn end(self, answer: Option<(StatusCode, &HeaderMap)>) {
        let now = Instant::now();
        match answer.map(|(status, _)| status) {
            // A write may hang at a webhook, whose server is another one.
            None if self.sent == Sent::Write => {}
            None | Some(StatusCode::SERVICE_UNAVAILABLE) => self.load.presence().missed(now),
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) => {}
            Some(status) if status.is_server_error() => {}
            Some(_) => self.load.presence().allowed(now),
        }
        let answer = match (answer, self.sent) {
            (Some((StatusCode::TOO_MANY_REQUESTS, headers)), _) => {
                LimitAnswer::Refused { pause: pause(headers) }
            }
            (None, _) | (Some(_), Sent::Write) => {
                LimitAnswer::Answered { took: now.duration_since(self.since) }
            }
            (Some(_), Sent::Read) => return,
        };
        let under_way = self.load.under_way.load(Ordering::Relaxed);
        let mut limit = self.load.limit();
        *limit = limit.learn(answer, under_way, now);
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.load.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A longer rest than this is not kept, whoever asks for it: a proxy in between may name an hour.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How long the API server asks to be left alone.
fn pause(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or_default()).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn answers_change_what_it_can_take() {
        let load = Load::default();
        let before = load.places();
        let answered = |sent, status| load.begin(sent).end(Some((status, &HeaderMap::new())));
        answered(Sent::Read, StatusCode::OK);
        answered(Sent::Read, StatusCode::INTERNAL_SERVER_ERROR);
        drop(load.begin(Sent::Write));
        assert_eq!(load.places(), before);
        answered(Sent::Read, StatusCode::TOO_MANY_REQUESTS);
        assert!(load.places() < before);
        assert_eq!(load.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn knows_when_the_api_server_was_away() {
        let ends_away = |sent: Sent, end: fn(RequestUnderWay)| {
            let load = Load::default();
            end(load.begin(sent));
            load.is_recovering(Instant::now())
        };
        for sent in [Sent::Read, Sent::Write] {
            assert!(ends_away(sent, RequestUnderWay::fail));
            let unavailable: fn(RequestUnderWay) =
                |request| request.end(Some((StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new())));
            assert!(ends_away(sent, unavailable));
            assert!(!ends_away(sent, |request| request.end(Some((StatusCode::OK, &HeaderMap::new())))));
        }
        assert!(ends_away(Sent::Read, |request| request.end(None)));
        assert!(!ends_away(Sent::Write, |request| request.end(None)), "a webhook may hang");
    }

    #[test]
    fn reads_how_long_to_wait() {
        for (value, seconds) in [
            ("7", 7),
            ("60", 60),
            ("3600", 60),
            ("18446744073709551615", 60),
            ("", 0),
            ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(pause(&headers), Duration::from_secs(seconds));
        }
    }
}
