//! Tests with readings that contradict each other.

use kube::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// The time after one reading, if the API server answers with this `Date` header after this delay; and the moment
/// of its answer.
async fn answered(date: &str, after: Duration) -> (Now, Instant) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!("HTTP/1.1 403 Forbidden\r\n{date}Content-Length: 0\r\n\r\n");
    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 1024]).await.unwrap();
        tokio::time::sleep(after).await;
        let answered = Instant::now();
        connection.write_all(answer.as_bytes()).await.unwrap();
        (connection, answered)
    };
    let client = Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    let clock = Clock::default();
    let (now, (_, answered)) = tokio::join!(clock.read(&client), server);
    let now = now.unwrap();
    assert!(now.earliest <= now.time && now.time <= now.latest && clock.seconds() <= now.latest);
    (now, answered)
}

#[tokio::test]
async fn tells_the_time_of_the_api_server_however_far_away_it_is() {
    for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Tue, 06 Nov 2057 08:49:37 GMT"] {
        let expected = parse(date).unwrap();
        let told = answered(&format!("Date: {date}\r\n"), Duration::ZERO).await.0.time;
        assert!(told >= expected && told.duration_since(expected).as_secs() < 60, "{told}");
    }
    let (told, _) = answered("", Duration::ZERO).await;
    assert!(told.time.duration_since(Timestamp::now()).abs().as_secs() < 60);
}

const DAY: i64 = 24 * 60 * 60;

/// Takes readings, each as (seconds since the first, how far the server's clock is ahead of the truth, how far this
/// machine's clock is ahead). Returns a function that says how far a resulting time is ahead.
fn ahead(readings: &[(u64, i64, i64)]) -> impl Fn(Say) -> i64 {
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
    move |say| say(now).duration_since(truth).as_secs()
}

type Say = fn(Now) -> Timestamp;

/// How far `time` and `earliest` are ahead.
fn least(readings: &[(u64, i64, i64)]) -> (i64, i64) {
    let ahead = ahead(readings);
    (ahead(|now| now.time), ahead(|now| now.earliest))
}

#[test]
fn a_clock_that_is_wrong_for_a_while_is_not_followed() {
    for (readings, expected) in [
        // The clock of this machine does not matter while the API server's clock is consistent.
        (vec![(0, 0, 0), (10, 0, DAY)], (0, 0)),
        (vec![(0, 0, DAY)], (0, 0)),
        (vec![(0, 0, -DAY)], (0, -DAY)),
        // The clock is a day ahead for 25 seconds.
        (vec![(0, 0, 0), (10, DAY, DAY), (35, DAY, DAY)], (0, 0)),
        (vec![(0, 0, 0), (10, DAY, 0), (35, DAY, 0), (36, 0, 0)], (0, 0)),
        (vec![(0, 0, 0), (10, -DAY, 0), (35, -DAY, 0)], (0, -DAY)),
        // A lasting change is believed in the end, but one that comes and goes is not.
        (vec![(0, 0, 0), (10, DAY, 0), (10 + 15 * 60, DAY, 0)], (DAY, DAY)),
        (vec![(0, 0, 0), (10, DAY, 0), (500, 0, 0), (910, DAY, 0), (1000, DAY, 0)], (0, 0)),
        (vec![(0, 0, 0), (10, DAY, 0), (910, 2 * DAY, 0)], (0, 0)),
        // These are small corrections, or different API servers of one cluster.
        (vec![(0, 0, 0), (10, 20, 0)], (20, 20)),
        (vec![(0, 0, 0), (10, 2, 0), (20, 1, 0)], (0, 0)),
        // After the first reading it is unknown which of the two clocks is right.
        (vec![(0, DAY, 0)], (DAY, 0)),
        (vec![(0, DAY, 0), (14 * 60, DAY, 0)], (DAY, 0)),
        (vec![(0, DAY, 0), (15 * 60, DAY, 0)], (DAY, DAY)),
        (vec![(0, 240, 0)], (240, 240)),
        // The clock that is ahead is corrected, before and after it was believed.
        (vec![(0, DAY, 0), (600, 0, 0), (901, 0, 0)], (DAY, 0)),
        (vec![(0, DAY, 0), (600, 0, 0), (1499, 0, 0)], (DAY, 0)),
        (vec![(0, DAY, 0), (600, 0, 0), (1500, 0, 0)], (0, 0)),
        (vec![(0, DAY, DAY), (10, 0, DAY)], (DAY, 0)),
        // Two API servers answer alternately.
        (vec![(0, DAY, 0), (600, 0, 0), (890, DAY, 0), (1400, DAY, 0)], (DAY, 0)),
        (vec![(0, DAY, DAY), (600, 0, DAY), (890, DAY, DAY), (1400, DAY, DAY)], (DAY, 0)),
        (vec![(0, DAY, DAY), (600, 0, DAY), (890, DAY, DAY), (1500, DAY, DAY)], (DAY, DAY)),
    ] {
        assert_eq!(least(&readings), expected, "{readings:?}");
    }
}

#[test]
fn what_must_last_is_counted_from_the_latest_that_it_may_be() {
    for (readings, expected) in [
        (vec![(0, 0, 0), (10, 1, 240)], 0),
        // The API server's clock is behind, and is then corrected.
        (vec![(0, -DAY, 0)], 0),
        (vec![(0, -DAY, 0), (5000, -DAY, 0)], 0),
        (vec![(0, -DAY, -DAY), (10, 0, -DAY)], 0),
        (vec![(0, -DAY, -DAY), (10, 0, -DAY), (20, -DAY, -DAY)], 0),
        (vec![(0, -DAY, -DAY), (10, 0, 0), (910, 0, 0)], 0),
        // Only a later time counts.
        (vec![(0, 0, -DAY), (10, -DAY, -DAY)], 0),
    ] {
        assert_eq!(ahead(&readings)(|now| now.latest), expected, "{readings:?}");
    }
}

#[test]
fn what_can_be_done_again_goes_by_what_two_clocks_agree_on() {
    const PAUSE: i64 = 2 * 60 * 60;
    for (readings, expected) in [
        // The machine was suspended, and this process with it.
        (vec![(0, 0, 0), (10, PAUSE, PAUSE)], PAUSE),
        (vec![(0, 0, 0), (10, -PAUSE, -PAUSE)], -PAUSE),
        // One of the two clocks is wrong.
        (vec![(0, 0, 0), (10, DAY, 0)], 0),
        (vec![(0, 0, 0), (10, 0, DAY)], 0),
        (vec![(0, 0, DAY)], 0),
        (vec![(0, 0, 0), (10, PAUSE, PAUSE), (20, 0, 0)], 0),
    ] {
        assert_eq!(ahead(&readings)(|now| now.likely), expected, "{readings:?}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_long_makes_it_no_later() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (now, answered) = answered(&format!("Date: {date}\r\n"), Duration::from_millis(200)).await;
    assert!(now.earliest.duration_since(parse(date).unwrap()).unsigned_abs() <= answered.elapsed());
}
