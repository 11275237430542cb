//! Public documents that several resources ask for: one request for all of them, as long as its answer is fresh enough.
//!
//! An answer is never older than the interval at which a resource looks, nor used twice by the same one: each look sees
//! what was asked for after the look before. Where a person asks for a look, the request is made anew.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};

use super::{
    Freshness, HttpResponse, Network, RequestKey,
    http::permit_parsing,
    shared::{Dated, Shared},
};
use crate::problem::Problem;

/// How old an answer may be to say how things are now, and where nobody said anything else, as on the command line.
const JUST_NOW: Duration = Duration::from_secs(1);

/// How old an answer may be at most, however seldom a resource looks.
const LONGEST: Duration = Duration::from_mins(10);

/// The largest body that is kept for those who come later: what is kept is in nobody's share of the memory.
const LARGEST: usize = 64 * 1024;

/// How much all that is kept may take together.
const ALL: usize = 4 * 1024 * 1024;

/// What an entry takes beside the body, by and large.
const ENTRY: usize = 512;

/// Answers that resources share.
pub(super) type Documents = Shared<RequestKey, HttpResponse>;

/// None yet.
pub(super) fn documents() -> Documents {
    Shared::new(ALL, |answer| answer.body.len() + ENTRY)
}

/// Which answers are as good for others who ask a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// A document.
    Found,
    /// A document, or that there is none, where most servers have none.
    FoundOrAbsent,
}

impl Lasting {
    /// Whether an answer of this status is.
    pub fn is(self, status: StatusCode) -> bool {
        status == StatusCode::OK || (self == Self::FoundOrAbsent && status == StatusCode::NOT_FOUND)
    }
}

/// How recent an answer must be, whatever the run shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recency {
    /// As recent as the run says.
    AsShared,
    /// From just now: what it is compared with may be newer than an earlier answer, such as a token that was signed with
    /// a new key.
    JustNow,
}

/// How a run shares answers with those of other resources.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    /// How often the resource looks.
    pub interval: Duration,
    /// How fresh answers must be for this run.
    pub freshness: Freshness,
}

impl Sharing {
    /// Takes what was asked for after this time, and no longer ago than the interval.
    pub fn since(not_before: Option<Instant>, interval: Duration) -> Self {
        Self { interval, freshness: Freshness { not_before, at_most: interval.min(LONGEST) } }
    }

    /// The same, where what the run asks about was just changed.
    #[must_use]
    pub fn just_now(self) -> Self {
        self.no_older_than(JUST_NOW)
    }

    /// The same, where nothing may be older than that.
    #[must_use]
    pub fn no_older_than(mut self, limit: Duration) -> Self {
        self.freshness.at_most = self.freshness.at_most.min(limit);
        self
    }
}

impl Network {
    /// The same network for a run that shares answers so.
    #[must_use]
    pub fn sharing(self, sharing: Sharing) -> Self {
        Self { sharing: Some(sharing), ..self }
    }

    /// What a person must know of the age of documents. It is the same whoever asked, so that equal findings stay an
    /// equal status.
    pub fn seen_within(&self) -> String {
        let Some(sharing) = self.sharing else { return String::new() };
        let seconds = sharing.interval.min(LONGEST).as_secs().max(1);
        let limit =
            if seconds.is_multiple_of(60) { format!("{}m", seconds / 60) } else { format!("{seconds}s") };
        format!(" Seen within the last {limit}, by this resource or another one.")
    }

    /// A public document, which `request` fetches unless another run is about to or did, and it is fresh enough.
    pub async fn document(
        &self,
        key: RequestKey,
        (lasting, recency): (Lasting, Recency),
        request: impl Future<Output = Result<HttpResponse, Problem>>,
    ) -> Result<Arc<HttpResponse>, Problem> {
        let host = key.url.authority().to_owned();
        let is_own = AtomicBool::new(false);
        let request = async {
            is_own.store(true, Ordering::Relaxed);
            let HttpResponse { status, body, .. } = request.await?;
            // What is kept must not hold the buffer that the connection was read into.
            Ok(HttpResponse { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(&body) })
        };
        let sharing = self.sharing.unwrap_or_else(|| Sharing::since(None, JUST_NOW));
        let freshness = match recency {
            Recency::AsShared => sharing.freshness,
            Recency::JustNow => sharing.just_now().freshness,
        };
        let is_kept = |answer: &HttpResponse| lasting.is(answer.status) && answer.body.len() <= LARGEST;
        let Dated { value, shared_since } = self.documents.get(key, freshness, is_kept, request).await?;
        if let Some(since) = shared_since {
            let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
            usage.oldest_answer = Some(usage.oldest_answer.map_or(since, |oldest| oldest.min(since)));
        }
        if !is_own.load(Ordering::Relaxed) {
            permit_parsing(&self.meter, &host, &value.body).await?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::EgressPolicy;

    #[test]
    fn the_limit_is_told_and_no_age() {
        let network = || Network::new(EgressPolicy::Enforced { allowed: Vec::new(), api_server: Vec::new() });
        assert_eq!(network().seen_within(), "");
        for (seconds, told) in [(300, "5m"), (90, "90s"), (10, "10s"), (24 * 3600, "10m")] {
            let sharing = Sharing::since(None, Duration::from_secs(seconds));
            for sharing in [sharing, sharing.no_older_than(Duration::from_secs(1))] {
                let words = network().sharing(sharing).seen_within();
                assert_eq!(words, format!(" Seen within the last {told}, by this resource or another one."));
            }
        }
    }

    #[test]
    fn only_what_stays_so_is_as_good_for_others() {
        for (lasting, status, expected) in [
            (Lasting::Found, 200, true),
            (Lasting::Found, 404, false),
            (Lasting::FoundOrAbsent, 404, true),
            (Lasting::FoundOrAbsent, 503, false),
            (Lasting::FoundOrAbsent, 302, false),
        ] {
            assert_eq!(lasting.is(StatusCode::from_u16(status).unwrap()), expected, "{lasting:?} {status}");
        }
    }
}
