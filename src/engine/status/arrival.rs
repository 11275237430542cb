//! What a spec names and nobody has made yet may still arrive. Tools apply what belongs together one after another, in an
//! order of their own: Helm a `ServiceAccount` before the `JwtIssuer` that it names.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::draft::{ConditionDraft, ConditionState};
use crate::api::{Reason, Status};

/// For so long no person has to act. It is longer than a tool takes to apply what belongs together.
const ARRIVAL: SignedDuration = SignedDuration::from_secs(15);

/// How long what the condition misses may still arrive. Nothing if it misses nothing, or has been missing for longer.
pub(super) fn may_arrive_for(
    draft: &ConditionDraft,
    previous: Option<&Status>,
    now: Timestamp,
) -> Option<Duration> {
    if draft.state != ConditionState::False {
        return None;
    }
    left(draft.reason, &since(draft, previous, now), now)
}

/// When to look whether what a status misses has arrived, as from then on a person has to act.
pub(super) fn look_after(conditions: &[Condition], now: Timestamp) -> Option<Duration> {
    conditions
        .iter()
        .filter(|condition| condition.status == ConditionState::False.as_str())
        .filter_map(|condition| left(condition.reason.parse().ok()?, &condition.last_transition_time, now))
        .min()
}

fn left(reason: Reason, since: &Time, now: Timestamp) -> Option<Duration> {
    // A clock that was ahead makes nobody wait for longer.
    let left = ARRIVAL.saturating_sub(now.duration_since(since.0)).min(ARRIVAL);
    Duration::try_from(left).ok().filter(|left| reason.is_absence() && !left.is_zero())
}

/// Since when the condition has had this status.
pub(super) fn since(draft: &ConditionDraft, previous: Option<&Status>, now: Timestamp) -> Time {
    let (type_, status) = (draft.type_.as_str(), draft.state.as_str());
    previous
        .into_iter()
        .flat_map(|previous| &previous.conditions)
        .find(|condition| condition.type_ == type_ && condition.status == status)
        .map_or(Time(now), |condition| condition.last_transition_time.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ConditionType;

    fn draft(reason: Reason) -> ConditionDraft {
        ConditionDraft::new(ConditionType::ResolvedRefs, ConditionState::False, reason, "")
    }

    fn status(state: &str, reason: Reason, since: i64) -> Status {
        let condition = Condition {
            type_: ConditionType::ResolvedRefs.as_str().to_owned(),
            status: state.to_owned(),
            reason: reason.to_string(),
            message: String::new(),
            last_transition_time: Time(Timestamp::from_second(since).unwrap()),
            observed_generation: None,
        };
        Status { conditions: vec![condition], ..Status::default() }
    }

    #[test]
    fn what_is_missing_may_arrive_for_a_while_and_what_is_wrong_never_does() {
        let now = Timestamp::from_second(1000).unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (reason, previous, expected) in [
            (Reason::ResourceNotFound, None, seconds(15)),
            (Reason::SecretNotFound, None, seconds(15)),
            (Reason::TargetNotFound, None, seconds(15)),
            (Reason::InvalidSpec, None, None),
            (Reason::Forbidden, None, None),
            // It was there until now.
            (Reason::SecretNotFound, Some(status("True", Reason::Resolved, 10)), seconds(15)),
            (Reason::SecretNotFound, Some(status("False", Reason::SecretNotFound, 996)), seconds(11)),
            (Reason::SecretNotFound, Some(status("False", Reason::SecretNotFound, 985)), None),
            // Something else was missing before.
            (Reason::SecretNotFound, Some(status("False", Reason::ConfigMapNotFound, 10)), None),
            (Reason::SecretNotFound, Some(status("False", Reason::SecretNotFound, 5000)), seconds(15)),
        ] {
            assert_eq!(may_arrive_for(&draft(reason), previous.as_ref(), now), expected, "{reason}");
        }
    }

    #[test]
    fn the_next_look_comes_when_a_person_has_to_act() {
        let now = Timestamp::from_second(1000).unwrap();
        for (status, expected) in [
            (status("False", Reason::SecretNotFound, 996), Some(Duration::from_secs(11))),
            (status("False", Reason::SecretNotFound, 900), None),
            (status("Unknown", Reason::NotChecked, 999), None),
            (status("False", Reason::Forbidden, 999), None),
        ] {
            assert_eq!(look_after(&status.conditions, now), expected);
        }
    }
}
