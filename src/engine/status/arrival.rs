//! What a spec names and nobody has made yet may still arrive. Tools apply what belongs together one after another, in an
//! order of their own: Helm a `ServiceAccount` before the `JwtIssuer` that it names.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    draft::{ConditionDraft, ConditionState},
    reading::find,
};
use crate::api::{Condition, ConditionType, Reason, Status};

/// For so long no person has to act. It is longer than a tool takes to apply what belongs together.
const ARRIVAL: SignedDuration = SignedDuration::from_secs(15);

/// Whether what the condition misses may still arrive. A person who was told to act once is told so until the spec changes.
pub(super) fn may_arrive(
    cause: &ConditionDraft,
    previous: Option<&Status>,
    generation: Option<i64>,
    now: Timestamp,
) -> bool {
    let conditions = previous.map(|previous| previous.conditions.as_slice()).unwrap_or_default();
    let told = find(conditions, ConditionType::Stalled);
    let is_told = told.is_some_and(|told| {
        told.observed_generation == generation
            && told.reason.parse().is_ok_and(|reason: Reason| reason.is_absence())
    });
    let since = find(conditions, ConditionType::Reconciling);
    let since = since.map_or(now, |reconciling| reconciling.last_transition_time.0);
    cause.state == ConditionState::False
        && cause.reason.is_absence()
        && !is_told
        && !left(since, now).is_zero()
}

/// When to look whether what a status misses has arrived, as from then on a person has to act.
pub(super) fn look_after(conditions: &[Condition], now: Timestamp) -> Option<Duration> {
    let ready = find(conditions, ConditionType::Ready)?;
    let reconciling = find(conditions, ConditionType::Reconciling)?;
    let is_absence = ready.reason.parse().is_ok_and(|reason: Reason| reason.is_absence());
    let left = left(reconciling.last_transition_time.0, now);
    is_absence.then(|| left.max(Duration::from_secs(1)))
}

/// How long something may still arrive that has been missing since then. A time that is far ahead is a clock's mistake.
fn left(since: Timestamp, now: Timestamp) -> Duration {
    let missing = now.duration_since(since);
    if missing < -ARRIVAL {
        return Duration::ZERO;
    }
    Duration::try_from(ARRIVAL.saturating_sub(missing).min(ARRIVAL)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn condition(type_: ConditionType, reason: Reason, since: i64) -> Condition {
        Condition {
            type_: type_.as_str().into(),
            status: "True".into(),
            reason: reason.as_str().into(),
            message: "".into(),
            last_transition_time: Time(Timestamp::from_second(since).unwrap()),
            observed_generation: Some(1),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1000).unwrap()
    }

    #[test]
    fn what_is_missing_may_arrive_for_a_while_and_what_is_wrong_never_does() {
        let reconciling = |since| condition(ConditionType::Reconciling, Reason::ProgressingWithRetry, since);
        let stalled = |reason| condition(ConditionType::Stalled, reason, 10);
        for (reason, previous, generation, expected) in [
            (Reason::ResourceNotFound, None, 1, true),
            (Reason::SecretNotFound, None, 1, true),
            (Reason::TargetNotFound, None, 1, true),
            (Reason::InvalidSpec, None, 1, false),
            (Reason::Forbidden, None, 1, false),
            (Reason::SecretNotFound, Some(reconciling(986)), 1, true),
            (Reason::SecretNotFound, Some(reconciling(985)), 1, false),
            // Clocks differ a little, and one was wrong.
            (Reason::SecretNotFound, Some(reconciling(1002)), 1, true),
            (Reason::SecretNotFound, Some(reconciling(5000)), 1, false),
            // Something else was wrong, and then it is missing.
            (Reason::SecretNotFound, Some(stalled(Reason::InvalidSpec)), 1, true),
            (Reason::SecretNotFound, Some(stalled(Reason::ConfigMapNotFound)), 1, false),
            // A new spec may name what is about to be made.
            (Reason::SecretNotFound, Some(stalled(Reason::SecretNotFound)), 2, true),
        ] {
            let draft = ConditionDraft::new(ConditionType::ResolvedRefs, ConditionState::False, reason, "");
            let case = format!("{reason} {previous:?}");
            let previous =
                Status { conditions: previous.into_iter().collect::<Vec<_>>(), ..Status::default() };
            assert_eq!(may_arrive(&draft, Some(&previous), Some(generation), now()), expected, "{case}");
        }
    }

    #[test]
    fn the_next_look_comes_when_a_person_has_to_act() {
        let ready = |reason| condition(ConditionType::Ready, reason, 10);
        let reconciling = |since| condition(ConditionType::Reconciling, Reason::ProgressingWithRetry, since);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (conditions, expected) in [
            (vec![ready(Reason::SecretNotFound), reconciling(996)], seconds(11)),
            (vec![ready(Reason::SecretNotFound), reconciling(900)], seconds(1)),
            (vec![ready(Reason::TimedOut), reconciling(996)], None),
            (vec![ready(Reason::SecretNotFound)], None),
        ] {
            assert_eq!(look_after(&conditions, now()), expected);
        }
    }
}
