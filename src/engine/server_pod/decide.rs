//! What a step makes of what it sees of a pod: pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{PodPresence, candidate, step::VerdictNeed};

/// How long after its end a verdict without a failure counts. A failure counts however old it is.
const VERDICT_LASTS: SignedDuration = SignedDuration::from_mins(5);

/// What becomes of the checks while a pod is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndingPod {
    /// No verdict is wanted.
    Unwanted,
    /// It was to answer, and may still do so.
    Awaited,
    /// It is in the way of the next one.
    InTheWay,
    /// It was to answer, and has not gone for too long.
    Lost,
    /// It is in the way of the next one, and has not gone for too long.
    Stuck,
}

impl EndingPod {
    pub(super) fn of(
        need: VerdictNeed,
        presence: PodPresence,
        ending_for: SignedDuration,
        longest: Duration,
    ) -> Self {
        let is_late = ending_for > SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
        match (need, presence, is_late) {
            (VerdictNeed::Known, _, _) => Self::Unwanted,
            (VerdictNeed::Due, PodPresence::Underway, true) => Self::Lost,
            (VerdictNeed::Due, PodPresence::Underway, false) => Self::Awaited,
            (VerdictNeed::Due, _, true) => Self::Stuck,
            (VerdictNeed::Due, _, false) => Self::InTheWay,
        }
    }
}

/// Whether a verdict without a failure is too old to count. The clock of a node may be wrong, so it decides only about a
/// pod of which this process knows nothing else.
pub(super) fn is_outdated(pod: &Pod, presence: PodPresence, now: Timestamp, longest: Duration) -> bool {
    match presence {
        PodPresence::Unknown => candidate::ended_ago(pod, now).is_some_and(|ago| ago > VERDICT_LASTS),
        // Its verdict is known, and it could not be deleted.
        PodPresence::Over => {
            let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
            candidate::age(pod, now) > longest.saturating_add(VERDICT_LASTS)
        }
        PodPresence::Absent | PodPresence::Preparing | PodPresence::Ending | PodPresence::Underway => false,
    }
}

/// Whether a pod that is not there was to answer. It may have sent a password, and where somebody deletes each of them,
/// the resource must not wait without a word, whatever its kind.
pub(super) fn is_lost(need: VerdictNeed, presence: PodPresence) -> bool {
    need == VerdictNeed::Due && presence == PodPresence::Underway
}

/// Whether nothing need be looked at: what is known suffices, and what a pod has said is counted already. Such a pod
/// goes once the status is written.
pub(super) fn is_settled(need: VerdictNeed, presence: PodPresence) -> bool {
    need == VerdictNeed::Known && matches!(presence, PodPresence::Absent | PodPresence::Over)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LONGEST: Duration = Duration::from_mins(1);

    const ALL: [PodPresence; 6] = [
        PodPresence::Unknown,
        PodPresence::Absent,
        PodPresence::Preparing,
        PodPresence::Ending,
        PodPresence::Underway,
        PodPresence::Over,
    ];

    #[test]
    fn a_pod_that_does_not_go_is_not_awaited_for_ever() {
        for presence in ALL {
            let of =
                |need, seconds| EndingPod::of(need, presence, SignedDuration::from_secs(seconds), LONGEST);
            let (soon, late) = match presence {
                PodPresence::Underway => (EndingPod::Awaited, EndingPod::Lost),
                _ => (EndingPod::InTheWay, EndingPod::Stuck),
            };
            // The time of a deletion may be ahead, by the time that the pod is given to end.
            for seconds in [-1, 0, 60] {
                assert_eq!(of(VerdictNeed::Due, seconds), soon, "{presence:?} {seconds}");
            }
            assert_eq!(of(VerdictNeed::Due, 61), late, "{presence:?}");
            assert_eq!(of(VerdictNeed::Known, 61), EndingPod::Unwanted, "{presence:?}");
        }
    }

    #[test]
    fn the_clock_of_a_node_makes_no_pod_anew_for_ever() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"creationTimestamp": "2026-01-01T12:00:00Z"},
            "spec": {"containers": []},
            "status": {"containerStatuses": [{
                "name": "check", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-01-01T11:00:00Z"}},
            }]},
        }))
        .unwrap();
        let outdated = |time: &str| {
            let now = time.parse().unwrap();
            ALL.into_iter().filter(|presence| is_outdated(&pod, *presence, now, LONGEST)).collect::<Vec<_>>()
        };
        assert_eq!(outdated("2026-01-01T12:00:30Z"), [PodPresence::Unknown]);
        assert_eq!(outdated("2026-01-01T12:06:30Z"), [PodPresence::Unknown, PodPresence::Over]);
    }

    #[test]
    fn a_pod_that_somebody_deletes_counts() {
        let lost = |need| ALL.into_iter().filter(|each| is_lost(need, *each)).collect::<Vec<_>>();
        assert_eq!(lost(VerdictNeed::Due), [PodPresence::Underway]);
        assert!(lost(VerdictNeed::Known).is_empty());
    }

    #[test]
    fn a_verdict_is_counted_once() {
        let settled = |need| ALL.into_iter().filter(|each| is_settled(need, *each)).collect::<Vec<_>>();
        assert_eq!(settled(VerdictNeed::Known), [PodPresence::Absent, PodPresence::Over]);
        assert!(settled(VerdictNeed::Due).is_empty());
    }
}
