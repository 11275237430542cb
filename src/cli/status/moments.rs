//! Times in words. Pure.

use jiff::{SignedDuration, Timestamp};

/// How far away a time is, and when: `in 12d (2026-12-09 10:00 UTC)`.
pub(super) fn moment(now: Timestamp, time: Timestamp) -> String {
    let (age, minute) = (age(now, time), minute(time));
    if time > now { format!("in {age} ({minute})") } else { format!("{age} ago ({minute})") }
}

/// A time as messages name it.
pub(super) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The time between two moments in one unit, such as `3h`.
pub(super) fn age(now: Timestamp, time: Timestamp) -> String {
    let seconds = now.duration_since(time).abs().min(SignedDuration::MAX).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_one_unit() {
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        for (seconds, expected) in [
            (0, "0s ago (2026-11-27 10:00 UTC)"),
            (-119, "119s ago (2026-11-27 09:58 UTC)"),
            (-3600, "60m ago (2026-11-27 09:00 UTC)"),
            (7200, "in 2h (2026-11-27 12:00 UTC)"),
            (172_800, "in 2d (2026-11-29 10:00 UTC)"),
        ] {
            assert_eq!(moment(now, now + SignedDuration::from_secs(seconds)), expected);
        }
    }
}
