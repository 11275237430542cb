//! What was seen to fail, and for how long, by the looks of this process.
//!
//! No time in the cluster tells since when a container fails, and the clocks of its machines differ. So it is
//! measured from the first look on, by the monotonic clock of this process. A restart begins anew.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The looks that must agree before a failure counts.
const ENOUGH: u32 = 3;

/// A failure that was not seen for so long has passed.
const PASSED: Duration = Duration::from_mins(1);

/// What is seen to fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailureSubject {
    /// A container of the pod with this id.
    Pod(String),
    /// The workload of this title, for which no pod can be made.
    Workload(String),
}

/// What earlier looks saw.
#[derive(Clone, Debug, Default)]
pub struct Sightings(BTreeMap<FailureSubject, Sighting>);

#[derive(Clone, Copy, Debug)]
struct Sighting {
    first: Instant,
    last: Instant,
    times: u32,
}

impl Sightings {
    /// Keeps that the subject is seen to fail now; tells for how long it has.
    pub(super) fn add(&mut self, subject: FailureSubject, now: Instant) -> Duration {
        self.0.retain(|_, sighting| now.saturating_duration_since(sighting.last) < PASSED);
        let sighting = self.0.entry(subject).or_insert(Sighting { first: now, last: now, times: 0 });
        sighting.last = now;
        sighting.times = sighting.times.saturating_add(1);
        now.saturating_duration_since(sighting.first)
    }

    /// Forgets a subject that works.
    pub(super) fn forget(&mut self, subject: &FailureSubject) {
        self.0.remove(subject);
    }

    /// Whether the subject has failed for so long, in looks enough.
    pub(super) fn lasts(&self, subject: &FailureSubject, time: Duration) -> bool {
        self.0.get(subject).is_some_and(|sighting| {
            sighting.times >= ENOUGH && sighting.last.saturating_duration_since(sighting.first) >= time
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_looks_must_both_be_enough() {
        let begin = Instant::now();
        let subject = FailureSubject::Pod("1".to_owned());
        for (seconds, lasts) in [
            (&[0, 3, 6][..], false),
            (&[0, 61], false),
            (&[0, 30, 59], false),
            (&[0, 30, 60], true),
            (&[0, 30, 60, 61, 62], true),
            // It was not seen for a minute, so another failure begins.
            (&[0, 30, 90, 93, 96], false),
        ] {
            let mut sightings = Sightings::default();
            for second in seconds {
                sightings.add(subject.clone(), begin + Duration::from_secs(*second));
            }
            assert_eq!(sightings.lasts(&subject, Duration::from_mins(1)), lasts, "{seconds:?}");
            sightings.forget(&subject);
            assert!(!sightings.lasts(&subject, Duration::ZERO));
        }
    }
}
