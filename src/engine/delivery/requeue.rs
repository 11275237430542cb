//! Decides when a target is read again, and removes entries from targets that the spec does not name any more.

use std::time::Duration;

use jiff::Timestamp;

use super::{Delivered, Progress, Withdrawal, WithdrawalPace, withdraw};
use crate::{
    api::{ConditionType, Reason, Status, names::EventReason},
    engine::{Context, EventDraft, Kind, cache::MISSING_AGAIN, finalizer::Finalizer},
    error::{Error, StepError},
    problem::Problem,
};

/// The interval while a rollout is running. Crash loops and expired deadlines of pods appear in no event of their
/// workload.
const ROLLOUT: Duration = Duration::from_secs(3);

/// A rollout that takes longer than this waits for a person, so the target is read at the longer interval.
const LONG: Duration = Duration::from_mins(15);
const LONG_ROLLOUT: Duration = Duration::from_secs(30);

/// The interval at which pods are checked for references to revisions that were removed from a target.
const WITHDRAWAL: Duration = Duration::from_secs(10);

/// The longest time until the target is read again.
pub(in crate::engine) fn requeue_after<K: Kind>(
    object: &K,
    context: &Context<K>,
    delivered: Option<&Delivered>,
) -> Duration {
    match delivered {
        Some(delivered) if delivered.state.is_underway() => {
            rollout(context.memory.previous_status(object).as_deref(), context.cluster.seconds())
        }
        // Entries that somebody else keeps removing are restored at this interval.
        Some(Delivered { state: Progress::Failed(problem), .. })
            if problem.reason == Reason::FieldConflict =>
        {
            MISSING_AGAIN
        }
        // A resource without a target that waits for pods to end has no condition that says so.
        None if Finalizer::Target.holds(object) && object.common().target.is_none() => WITHDRAWAL,
        _ => Duration::MAX,
    }
}

fn rollout(previous: Option<&Status>, now: Timestamp) -> Duration {
    let conditions = previous.into_iter().flat_map(|status| &status.conditions);
    let mut unfinished = conditions.filter(|condition| {
        condition.type_ == ConditionType::RolledOut.as_str() && condition.status == "False"
    });
    let since = unfinished.next().map(|condition| condition.last_transition_time.0);
    let waited = since.and_then(|since| Duration::try_from(now.duration_since(since)).ok());
    if waited.is_some_and(|waited| waited > LONG) { LONG_ROLLOUT } else { ROLLOUT }
}

/// Removes the resource's entries from every target, since its spec names none.
pub(in crate::engine) async fn withdraw_all<K: Kind>(object: &K, context: &Context<K>) -> Result<(), Error> {
    let has_delivered = object.status().is_some_and(|status| status.revision.is_some());
    if !has_delivered && !Finalizer::Target.holds(object) {
        return Ok(());
    }
    match withdraw(object, context, None, WithdrawalPace::AfterHeirs).await {
        Ok(Withdrawal::Complete) => context.remove_finalizers(object, &[Finalizer::Target]).await,
        Ok(Withdrawal::PodsRemain) => Ok(()),
        Err(StepError::Error(error)) => Err(error),
        Err(StepError::Problem(problem)) => {
            if context.memory.is_news(object, &problem.message) {
                context.publish_event(object, &stays(&problem));
            }
            Ok(())
        }
    }
}

fn stays(problem: &Problem) -> EventDraft {
    EventDraft::warning(
        EventReason::DeliveryFailed,
        "Withdraw",
        format!("The entries cannot be taken out of the target that the spec had: {}", problem.message),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{api::Condition, text::Text};

    #[test]
    fn what_takes_long_is_looked_at_less_often() {
        let status = |since: i64| Status {
            conditions: vec![Condition {
                type_: ConditionType::RolledOut.as_str().into(),
                status: "False".into(),
                reason: "Progressing".into(),
                message: Text::default(),
                last_transition_time: Time(Timestamp::from_second(since).unwrap()),
                observed_generation: None,
            }],
            ..Status::default()
        };
        let now = Timestamp::from_second(10_000).unwrap();
        assert_eq!(rollout(None, now), ROLLOUT);
        assert_eq!(rollout(Some(&status(9_990)), now), ROLLOUT);
        assert_eq!(rollout(Some(&status(1)), now), LONG_ROLLOUT);
    }
}
