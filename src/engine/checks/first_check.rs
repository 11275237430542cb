//! Decides when a process makes the checks that an earlier process has made already. The functions are pure.
//!
//! The status says only roughly when the earlier process made them, because checks that find nothing new are not
//! written down each time. So each resource has its own point in every interval of the clock, which is the same in
//! every process. Whichever process runs at that point makes the checks, however often processes are restarted, and
//! the checks of many resources are spread over the whole interval. Where the status shows that no process ran at that
//! point, the checks are made soon.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::{engine::run_record::CHECK_TIME_LAG, jitter};

/// The moment at which a process learnt from the status of a resource that its checks had passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    share: f64,
    wall: Timestamp,
    since: Instant,
    /// When the checks were made last, as the status tells.
    last_check: Option<Timestamp>,
}

/// By which share of the interval checks of unchanged inputs may be later than the interval, and a little more.
const LATE_SHARE: u32 = 10;

/// Over which share of the interval overdue checks are spread.
const OVERDUE_SHARE: u32 = 10;

impl Spread {
    /// The moment for the resource of this uid, which is now.
    pub fn new(uid: &str, wall: Timestamp, now: Instant) -> Self {
        Self { share: jitter::of(uid), wall, since: now, last_check: None }
    }

    /// The same for checks that a status says were made then.
    #[must_use]
    pub fn after(self, last_check: Option<Timestamp>) -> Self {
        Self { last_check, ..self }
    }

    /// How long to wait for the resource's next point, if checks are made once in each interval.
    pub fn wait(self, interval: Duration, now: Instant) -> Duration {
        let own = self.until_own_point(interval);
        let overdue = self.until_overdue(interval).map(|until| {
            // Those of all resources are overdue after the same absence.
            until + self.point(interval / OVERDUE_SHARE)
        });
        let wait = overdue.map_or(own, |overdue| own.min(overdue));
        wait.saturating_sub(now.saturating_duration_since(self.since))
    }

    /// The resource's own point of a span of time.
    fn point(self, span: Duration) -> Duration {
        span.mul_f64(self.share)
    }

    fn until_own_point(self, interval: Duration) -> Duration {
        let length = interval.as_millis().max(1);
        let wall = u128::try_from(self.wall.as_millisecond()).unwrap_or_default();
        let until = (length + self.point(interval).as_millis() - wall % length) % length;
        Duration::from_millis(u64::try_from(until).unwrap_or_default())
    }

    /// How long until the checks are later than those of any process that ran would be; nothing where that is not
    /// known.
    fn until_overdue(self, interval: Duration) -> Option<Duration> {
        // A time that is ahead of now tells nothing.
        let age = Duration::try_from(self.wall.duration_since(self.last_check?)).ok()?;
        let lag = Duration::try_from(CHECK_TIME_LAG).ok()?;
        // Each check of a longer interval is written down.
        let lag = if interval < lag { lag } else { Duration::ZERO };
        let latest = interval.saturating_add(interval / LATE_SHARE).saturating_add(lag);
        Some(latest.saturating_sub(age))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_hours(1);

    #[test]
    fn many_are_spread_over_the_whole_interval() {
        let now = Instant::now();
        let wait =
            |number| Spread::new(&format!("uid-{number}"), Timestamp::UNIX_EPOCH, now).wait(INTERVAL, now);
        let waits: Vec<_> = (0..1000).map(wait).collect();
        for tenth in 0..10 {
            let (from, to) = (INTERVAL / 10 * tenth, INTERVAL / 10 * (tenth + 1));
            let count = waits.iter().filter(|wait| (from..to).contains(*wait)).count();
            assert!((60..140).contains(&count), "{count} of 1000 in a tenth of the interval");
        }
    }

    #[test]
    fn a_shorter_interval_counts_at_once() {
        let now = Instant::now();
        let spread = Spread::new("uid", Timestamp::UNIX_EPOCH, now);
        assert!(spread.wait(Duration::from_secs(10), now) < Duration::from_secs(10));
    }

    #[test]
    fn what_is_overdue_is_checked_soon() {
        let now = Instant::now();
        let wall = Timestamp::from_second(1_800_000_000).unwrap();
        let minutes = Duration::from_mins;
        for (interval, age, at_most) in [
            // The operator was away for a night.
            (minutes(5), Duration::from_hours(8), minutes(5) / OVERDUE_SHARE),
            (Duration::from_hours(24), Duration::from_hours(30), Duration::from_hours(24) / OVERDUE_SHARE),
            // It was away for the better part of an interval, and the checks are due at the end of that.
            (Duration::from_hours(24), Duration::from_hours(20), Duration::from_mins(528)),
        ] {
            for number in 0..100 {
                let spread = Spread::new(&format!("uid-{number}"), wall, now).after(Some(wall - age));
                assert!(
                    spread.wait(interval, now) <= at_most,
                    "{interval:?} {age:?}: {:?}",
                    spread.wait(interval, now)
                );
            }
        }
        let after = |last_check| Spread::new("uid", wall, now).after(last_check).wait(minutes(5), now);
        let own = after(None);
        // It may be an hour since a status was written, and a clock may have been ahead.
        for last_check in [wall - minutes(59), wall, wall + minutes(600)] {
            assert_eq!(after(Some(last_check)), own, "{last_check}");
        }
    }

    proptest! {
        /// The point is the same in every process, so that it is reached even if each process lives for a short
        /// time only.
        #[test]
        fn a_restart_moves_nothing(uid in "[0-9a-f]{8}", start in 0i64..100_000_000_000, later in 0u64..3_600_000) {
            let now = Instant::now();
            let wall = Timestamp::from_millisecond(start).unwrap();
            let wait = Spread::new(&uid, wall, now).wait(INTERVAL, now);
            prop_assert!(wait < INTERVAL);
            let later = Duration::from_millis(later);
            let restarted = Spread::new(&uid, wall + later, now + later);
            let next = if later <= wait { wait } else { wait + INTERVAL };
            let expected = next.saturating_sub(later);
            prop_assert_eq!(restarted.wait(INTERVAL, now + later), expected);
            // In the process that computed it, the checks are due from that point on.
            prop_assert_eq!(Spread::new(&uid, wall, now).wait(INTERVAL, now + later), wait.saturating_sub(later));
        }
    }
}
