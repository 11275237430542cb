//! Remembers which pods and workloads this process has observed to fail, and for how long.
//!
//! No time in the cluster says since when a container fails, and the clocks of its machines differ. So the time is
//! measured from the first observation, by the monotonic clock of this process. After a restart, the measurement
//! begins anew.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How many observations must agree before a failure counts.
const ENOUGH: u32 = 3;

/// A failure that has not been observed for this long is over.
const PASSED: Duration = Duration::from_mins(1);

/// The pod or workload that fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailureSubject {
    /// A container of the pod with this UID fails.
    Pod(String),
    /// No pod can be made for the workload of this title.
    Workload(String),
}

/// The failures that this process has observed so far.
#[derive(Clone, Debug, Default)]
pub struct Sightings(BTreeMap<FailureSubject, Sighting>);

#[derive(Clone, Copy, Debug)]
struct Sighting {
    first: Instant,
    last: Instant,
    times: u32,
}

impl Sightings {
    /// Records that the subject is failing now. Returns the time since the first observation of the failure.
    pub(super) fn add(&mut self, subject: FailureSubject, now: Instant) -> Duration {
        self.0.retain(|_, sighting| now.saturating_duration_since(sighting.last) < PASSED);
        let sighting = self.0.entry(subject).or_insert(Sighting { first: now, last: now, times: 0 });
        sighting.last = now;
        sighting.times = sighting.times.saturating_add(1);
        now.saturating_duration_since(sighting.first)
    }

    /// Forgets a subject that works again.
    pub(super) fn forget(&mut self, subject: &FailureSubject) {
        self.0.remove(subject);
    }

    /// Whether the subject has failed for at least `time`, in enough observations.
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
            // More than `PASSED` lies between two observations, so the later ones are another failure.
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
