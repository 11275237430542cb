//! The time as the API server has it. It wrote the times in the cluster's objects, so only it tells how long ago they
//! are: the clock of this machine may be minutes ahead or behind.
//!
//! Any clock may be set wrong for a while. Between two readings time passes as this process measures it, and a reading
//! that does not agree with that counts only once it has stood for long enough.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::{Request, header::DATE};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::{Client, client::Body};

/// How old a reading may be.
const REFRESH: Duration = Duration::from_secs(5);

/// Readings are whole seconds, and their answers take a while.
const NOISE: SignedDuration = SignedDuration::from_secs(2);

/// By how much the clocks of a cluster's API servers may differ, or one of them be corrected.
const DRIFT: SignedDuration = SignedDuration::from_secs(30);

/// By how much the clock of this machine may differ before it is not known which one is right.
const DISAGREEMENT: SignedDuration = SignedDuration::from_mins(5);

/// How long a clock that does not agree must go on before it is believed.
const STEADY: Duration = Duration::from_mins(15);

/// The present time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time.
    pub time: Timestamp,
    /// The earliest that it may be, where clocks do not agree: what cannot be undone goes by this.
    pub earliest: Timestamp,
    /// The latest that it may be: what must last for a while is counted from this.
    pub latest: Timestamp,
    /// What the API server says just now, where this machine agrees with it, or else the time: what can be done once
    /// more goes by this, such as the renewal of a token after a machine stood still for hours.
    pub likely: Timestamp,
}

impl Now {
    /// The time of this machine, where there is no other.
    pub fn local() -> Self {
        Self::certain(Timestamp::now())
    }

    /// A time that nobody doubts.
    pub fn certain(time: Timestamp) -> Self {
        Self { time, earliest: time, latest: time, likely: time }
    }
}

/// The API server's clock, as this process follows it.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Option<Followed>>);

impl Clock {
    /// The time, with a reading that is not old. Later readings may fail: time goes on without them.
    pub(super) async fn read(&self, client: &Client) -> Result<Now, kube::Error> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.filter(|known| known.last.at.elapsed() < REFRESH) {
            return Ok(known.now(Instant::now()));
        }
        let reading = match (Reading::take(client).await, known) {
            (Ok(reading), _) => reading,
            (Err(_), Some(known)) => return Ok(known.now(Instant::now())),
            (Err(error), None) => return Err(error),
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let followed = state.map_or_else(|| Followed::begin(reading), |followed| followed.take_in(reading));
        *state = Some(followed);
        Ok(followed.now(Instant::now()))
    }

    /// The time in whole seconds, as the API server stores times; before any reading, that of this machine.
    pub(super) fn seconds(&self) -> Timestamp {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = known.map_or_else(Timestamp::now, |known| known.now(Instant::now()).time);
        Timestamp::from_second(time.as_second()).unwrap_or_default()
    }
}

/// What two clocks say at a moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    server: Timestamp,
    local: Timestamp,
    at: Instant,
}

impl Reading {
    /// Asks the API server for its time, which every answer carries (`Date`, RFC 9110 section 6.6.1).
    async fn take(client: &Client) -> Result<Self, kube::Error> {
        let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
        let answer = client.send(request).await?;
        // Not before: an answer that took long would make the time later than it is.
        let at = Instant::now();
        let date = answer.headers().get(DATE).and_then(|date| parse(date.to_str().ok()?));
        let local = Timestamp::now();
        // Something between both took it out.
        Ok(Self { server: date.unwrap_or(local), local, at })
    }
}

/// How much earlier and later than what is followed it may be.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    earlier: SignedDuration,
    later: SignedDuration,
    /// Until when that counts.
    until: Instant,
}

impl Doubt {
    /// What follows from something that is off by this at this moment.
    fn about(off: SignedDuration, at: Instant) -> Self {
        let zero = SignedDuration::ZERO;
        Self { earlier: (-off).max(zero), later: off.max(zero), until: at + STEADY }
    }

    fn or(self, other: Self) -> Self {
        Self {
            earlier: self.earlier.max(other.earlier),
            later: self.later.max(other.later),
            until: self.until.max(other.until),
        }
    }
}

/// A clock that is followed from its first reading on.
#[derive(Clone, Copy, Debug)]
struct Followed {
    /// The time at a moment.
    time: Timestamp,
    at: Instant,
    /// The last reading.
    last: Reading,
    /// What this machine said at first, and the API server does since, against the time.
    doubt: Option<Doubt>,
    /// By how much readings differ from what was followed so far, and since when they do.
    jump: Option<(SignedDuration, Instant)>,
}

impl Followed {
    fn begin(last: Reading) -> Self {
        let Reading { server, local, at } = last;
        let off = local.duration_since(server);
        let doubt = (off.abs() > DISAGREEMENT).then(|| Doubt::about(off, at));
        Self { time: server, at, last, doubt, jump: None }
    }

    fn take_in(self, last: Reading) -> Self {
        let (time, at) = (last.server, last.at);
        let off = time.duration_since(self.time_at(at));
        let same = Self { last, ..self };
        if off.abs() <= NOISE {
            return Self { jump: None, ..same };
        }
        if off.abs() <= DRIFT {
            return Self { time, at, jump: None, ..same };
        }
        let jump = self.jump.filter(|(before, _)| (off - *before).abs() <= DRIFT).unwrap_or((off, at));
        if at.duration_since(jump.1) >= STEADY {
            return Self { time, at, jump: None, doubt: None, ..same };
        }
        let contradiction = Doubt::about(off, at);
        let doubt = self.doubt_at(at).map_or(contradiction, |doubt| doubt.or(contradiction));
        Self { jump: Some(jump), doubt: Some(doubt), ..same }
    }

    fn time_at(self, at: Instant) -> Timestamp {
        passed(self.time, at.saturating_duration_since(self.at))
    }

    fn doubt_at(self, at: Instant) -> Option<Doubt> {
        self.doubt.filter(|doubt| at < doubt.until)
    }

    fn now(self, at: Instant) -> Now {
        let certain = Now::certain(self.time_at(at));
        let Now { time, .. } = certain;
        let doubted = self.doubt_at(at).map_or(certain, |Doubt { earlier, later, .. }| Now {
            earliest: time.checked_sub(earlier).unwrap_or(time),
            latest: time.checked_add(later).unwrap_or(time),
            ..certain
        });
        let since = at.saturating_duration_since(self.last.at);
        let [server, local] = [self.last.server, self.last.local].map(|clock| passed(clock, since));
        let differs = |one: Timestamp, other: Timestamp| one.duration_since(other).abs() > DISAGREEMENT;
        Now {
            latest: if differs(local, time) { doubted.latest.max(local) } else { doubted.latest },
            likely: if self.jump.is_some() && !differs(server, local) { server } else { time },
            ..doubted
        }
    }
}

fn passed(time: Timestamp, since: Duration) -> Timestamp {
    time.checked_add(since).unwrap_or(time)
}

fn parse(date: &str) -> Option<Timestamp> {
    rfc2822::parse(date).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests;
