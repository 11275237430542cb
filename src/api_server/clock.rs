//! Follows the clock of the API server. The API server wrote the times in the cluster's objects, so their age can
//! be judged only by its clock: the clock of this machine may be minutes ahead or behind.
//!
//! Any clock may be wrong for a while. Between two readings, time is measured by this process. A reading that
//! contradicts that measurement counts only after it has persisted for long enough.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::{Request, header::DATE};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::{Client, client::Body};

/// The maximum age of a reading.
const REFRESH: Duration = Duration::from_secs(5);

/// Differences up to this size are ignored, since readings are in whole seconds and answers take some time.
const NOISE: SignedDuration = SignedDuration::from_secs(2);

/// By how much the clocks of a cluster's API servers may differ, or one of them may be corrected, without doubt.
const DRIFT: SignedDuration = SignedDuration::from_secs(30);

/// If the clock of this machine differs by more than this, it is unknown which clock is right.
const DISAGREEMENT: SignedDuration = SignedDuration::from_mins(5);

/// How long a clock must persist in contradicting the measured time before it is believed.
const STEADY: Duration = Duration::from_mins(15);

/// The current time, with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The current time.
    pub time: Timestamp,
    /// The earliest possible time if clocks disagree. What cannot be undone is decided by this.
    pub earliest: Timestamp,
    /// The latest possible time if clocks disagree. What must last for a while is counted from this.
    pub latest: Timestamp,
    /// The last reading of the API server if it jumped and this machine agrees with it, otherwise `time`. What can
    /// be repeated is decided by this, such as the renewal of a token after the machine was suspended for hours.
    pub likely: Timestamp,
}

impl Now {
    /// The time of this machine, for use without an API server.
    pub fn local() -> Self {
        Self::certain(Timestamp::now())
    }

    /// A time without uncertainty.
    pub fn certain(time: Timestamp) -> Self {
        Self { time, earliest: time, latest: time, likely: time }
    }
}

/// The API server's clock, as this process follows it.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Option<Followed>>);

impl Clock {
    /// The current time. The clock is read again if the last reading is old. Later readings may fail: the time is
    /// then measured by this process.
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

    /// The time in whole seconds, as the API server stores times. Before any reading, it is the time of this
    /// machine.
    pub(super) fn seconds(&self) -> Timestamp {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = known.map_or_else(Timestamp::now, |known| known.now(Instant::now()).time);
        Timestamp::from_second(time.as_second()).unwrap_or_default()
    }
}

/// The times of both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    server: Timestamp,
    local: Timestamp,
    at: Instant,
}

impl Reading {
    /// Asks the API server for its time, which every answer contains (`Date`, RFC 9110 section 6.6.1).
    async fn take(client: &Client) -> Result<Self, kube::Error> {
        let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
        let answer = client.send(request).await?;
        // The moment is taken after the answer. With the moment of the request, a slow answer would make the time
        // later than it is.
        let at = Instant::now();
        let date = answer.headers().get(DATE).and_then(|date| parse(date.to_str().ok()?));
        let local = Timestamp::now();
        // A proxy may have removed the header; the local time is used then.
        Ok(Self { server: date.unwrap_or(local), local, at })
    }
}

/// By how much the true time may be earlier or later than the followed time.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    earlier: SignedDuration,
    later: SignedDuration,
    /// When the doubt ends.
    until: Instant,
}

impl Doubt {
    /// The doubt because of a clock that differed by `off` at this moment.
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

/// The state of a clock that is followed since its first reading.
#[derive(Clone, Copy, Debug)]
struct Followed {
    /// The time at the moment `at`.
    time: Timestamp,
    at: Instant,
    /// The last reading.
    last: Reading,
    /// The doubt, from a disagreement with this machine's clock at the first reading, and from later readings that
    /// contradict the followed time.
    doubt: Option<Doubt>,
    /// By how much readings contradict the followed time, and since when they do.
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
