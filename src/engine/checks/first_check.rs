//! Decides when a process makes the checks that an earlier process has made already. The functions are pure.
//!
//! The status does not say when the earlier process made them, because a time there would change with every run.
//! Instead each resource has its own point in every interval of the clock, which is the same in every process.
//! Whichever process runs at that point makes the checks, however often processes are restarted, and the checks
//! of many resources are spread over the whole interval.

use std::{
    hash::{DefaultHasher, Hasher},
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The moment at which a process learnt from the status of a resource that its checks had passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    share: u64,
    wall: Timestamp,
    since: Instant,
}

impl Spread {
    /// The moment for the resource of this uid, which is now.
    pub fn new(uid: &str, wall: Timestamp, now: Instant) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(uid.as_bytes());
        Self { share: hasher.finish(), wall, since: now }
    }

    /// How long to wait for the resource's next point, if checks are made once in each interval.
    pub fn wait(self, interval: Duration, now: Instant) -> Duration {
        let interval = interval.as_millis().max(1);
        let wall = u128::try_from(self.wall.as_millisecond()).unwrap_or_default();
        let point = u128::from(self.share) % interval;
        let until = (interval + point - wall % interval) % interval;
        let until = Duration::from_millis(u64::try_from(until).unwrap_or_default());
        until.saturating_sub(now.saturating_duration_since(self.since))
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
