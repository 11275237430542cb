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
}

impl Now {
    /// The time of this machine, where there is no other.
    pub fn local() -> Self {
        let time = Timestamp::now();
        Self { time, earliest: time }
    }
}

/// The API server's clock, as this process follows it.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Option<Followed>>);

impl Clock {
    /// The time, with a reading that is not old. Later readings may fail: time goes on without them.
    pub(super) async fn read(&self, client: &Client) -> Result<Now, kube::Error> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.filter(|known| known.read_at.elapsed() < REFRESH) {
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
        let at = Instant::now();
        let answer = client.send(request).await?;
        let date = answer.headers().get(DATE).and_then(|date| parse(date.to_str().ok()?));
        let local = Timestamp::now();
        // Something between both took it out.
        Ok(Self { server: date.unwrap_or(local), local, at })
    }
}

/// A clock that is followed from its first reading on.
#[derive(Clone, Copy, Debug)]
struct Followed {
    /// The time at a moment.
    time: Timestamp,
    at: Instant,
    /// The last reading.
    read_at: Instant,
    /// How much earlier it may be, until when that counts.
    doubt: Option<(SignedDuration, Instant)>,
    /// By how much readings differ from what was followed so far, and since when they do.
    jump: Option<(SignedDuration, Instant)>,
}

impl Followed {
    fn begin(Reading { server, local, at }: Reading) -> Self {
        let ahead = server.duration_since(local);
        let doubt = (ahead > DISAGREEMENT).then_some((ahead, at + STEADY));
        Self { time: server, at, read_at: at, doubt, jump: None }
    }

    fn take_in(self, reading: Reading) -> Self {
        let off = reading.server.duration_since(self.time_at(reading.at));
        let (time, at) = (reading.server, reading.at);
        let same = Self { read_at: at, ..self };
        if off.abs() <= NOISE {
            return Self { jump: None, ..same };
        }
        if off.abs() <= DRIFT {
            return Self { time, at, jump: None, ..same };
        }
        match self.jump.filter(|(before, _)| (off - *before).abs() <= DRIFT) {
            Some((_, since)) if at.duration_since(since) >= STEADY => Self { time, at, jump: None, ..same },
            Some(jump) => Self { jump: Some(jump), ..same },
            None => Self { jump: Some((off, at)), ..same },
        }
    }

    fn time_at(self, at: Instant) -> Timestamp {
        self.time.checked_add(at.saturating_duration_since(self.at)).unwrap_or(self.time)
    }

    fn now(self, at: Instant) -> Now {
        let time = self.time_at(at);
        let doubt = self.doubt.filter(|(_, until)| at < *until);
        let earliest = doubt.and_then(|(by, _)| time.checked_sub(by).ok());
        Now { time, earliest: earliest.unwrap_or(time) }
    }
}

fn parse(date: &str) -> Option<Timestamp> {
    rfc2822::parse(date).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use kube::Config;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// What is told by a clock of which the API server says this.
    async fn told(date: &str) -> Timestamp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!("HTTP/1.1 403 Forbidden\r\n{date}Content-Length: 0\r\n\r\n");
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 1024]).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection
        };
        let client = Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let clock = Clock::default();
        let (now, _) = tokio::join!(clock.read(&client), server);
        let now = now.unwrap();
        assert!(now.earliest <= now.time);
        clock.seconds()
    }

    #[tokio::test]
    async fn tells_the_time_of_the_api_server_however_far_away_it_is() {
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Tue, 06 Nov 2057 08:49:37 GMT"] {
            let expected = parse(date).unwrap();
            let told = told(&format!("Date: {date}\r\n")).await;
            assert!(told >= expected && told.duration_since(expected).as_secs() < 60, "{told}");
        }
        assert!(told("").await.duration_since(Timestamp::now()).abs().as_secs() < 60);
    }

    const DAY: i64 = 24 * 60 * 60;

    /// Readings as (seconds since the first, what the server is ahead of the truth, what this machine is); then, by
    /// how much the time that follows from them is ahead, and by how much the earliest.
    fn ahead(readings: &[(u64, i64, i64)]) -> (i64, i64) {
        let (begin, truth) = (Instant::now(), Timestamp::from_second(1_800_000_000).unwrap());
        let mut followed: Option<Followed> = None;
        let mut last = 0;
        for (after, server, local) in readings {
            let at = begin + Duration::from_secs(*after);
            let now = truth + SignedDuration::from_secs(i64::try_from(*after).unwrap());
            let off = |by: &i64| now + SignedDuration::from_secs(*by);
            let reading = Reading { server: off(server), local: off(local), at };
            followed = Some(followed.map_or_else(|| Followed::begin(reading), |it| it.take_in(reading)));
            last = *after;
        }
        let now = followed.unwrap().now(begin + Duration::from_secs(last));
        let truth = truth + SignedDuration::from_secs(i64::try_from(last).unwrap());
        (now.time.duration_since(truth).as_secs(), now.earliest.duration_since(truth).as_secs())
    }

    #[test]
    fn a_clock_that_is_wrong_for_a_while_is_not_followed() {
        for (readings, expected) in [
            // This machine's clock says nothing as long as the API server's does.
            (vec![(0, 0, 0), (10, 0, DAY)], (0, 0)),
            (vec![(0, 0, DAY)], (0, 0)),
            (vec![(0, 0, -DAY)], (0, -DAY)),
            // A day ahead for 25 seconds.
            (vec![(0, 0, 0), (10, DAY, DAY), (35, DAY, DAY)], (0, 0)),
            (vec![(0, 0, 0), (10, DAY, 0), (35, DAY, 0), (36, 0, 0)], (0, 0)),
            (vec![(0, 0, 0), (10, -DAY, 0), (35, -DAY, 0)], (0, 0)),
            // One that goes on is believed in the end, and one that comes and goes is not.
            (vec![(0, 0, 0), (10, DAY, 0), (10 + 15 * 60, DAY, 0)], (DAY, DAY)),
            (vec![(0, 0, 0), (10, DAY, 0), (500, 0, 0), (910, DAY, 0), (1000, DAY, 0)], (0, 0)),
            (vec![(0, 0, 0), (10, DAY, 0), (910, 2 * DAY, 0)], (0, 0)),
            // Corrections, and several API servers of one cluster.
            (vec![(0, 0, 0), (10, 20, 0)], (20, 20)),
            (vec![(0, 0, 0), (10, 2, 0), (20, 1, 0)], (0, 0)),
            // After a start nobody knows which of two clocks is right.
            (vec![(0, DAY, 0)], (DAY, 0)),
            (vec![(0, DAY, 0), (14 * 60, DAY, 0)], (DAY, 0)),
            (vec![(0, DAY, 0), (15 * 60, DAY, 0)], (DAY, DAY)),
            (vec![(0, 240, 0)], (240, 240)),
        ] {
            assert_eq!(ahead(&readings), expected, "{readings:?}");
        }
    }
}
