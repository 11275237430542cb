//! The last step of a run: writes the status and the events, and says when to run again.

use std::time::{Duration, Instant};

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    derive::{derive, noted},
    inputs::{Destination, Outcome, StatusInputs},
};
use crate::engine::{
    CheckHistory, CheckedInputs, Context, Kind, Publication,
    checks::terms::schedule,
    delivery::{looks, requeue_after},
    publish::{secret::secret_name, write::PublishOutcome},
    rejection,
    run_record::{RunRecord, without_news_of_time},
    scheduling::backoff::random_share,
};
use crate::error::Error;

/// An outcome without new status details.
pub(in crate::engine) fn unchanged<'a, K: Kind>(
    object: &K,
    context: &Context<K>,
    outcome: Outcome<'a>,
) -> (Outcome<'a>, K::Details) {
    (outcome, context.memory.previous_details(object))
}

/// The longest time between two runs, so that a watch event that was missed has no effect for longer.
const RESYNC: Duration = Duration::from_hours(1);

/// Writes the status and the events of a run if they have changed, and returns when to run again.
pub(in crate::engine) async fn update_status<K: Kind>(
    object: &K,
    context: &Context<K>,
    (outcome, details): (Outcome<'_>, K::Details),
    record: RunRecord,
    published: Option<PublishOutcome>,
) -> Result<Action, Error> {
    let rejected = published.as_ref().and_then(PublishOutcome::rejection).is_some();
    let again = match &outcome {
        Outcome::Suspended | Outcome::NotAccepted(_) => RESYNC,
        // Rights and quotas can change without a watch event.
        Outcome::Unresolved(_) => object.common().check_interval.get(),
        Outcome::Checked { .. } => {
            let remembered = context.memory.history(object);
            let wait = remembered.and_then(|remembered| remembered.wait(schedule(object), Instant::now()));
            wait.unwrap_or(RESYNC)
        }
    };
    let written_at = published.as_ref().and_then(|published| published.written_at);
    let (publication, notice, delivered) = published.map_or((None, None, None), |published| {
        (Some(published.publication), published.notice, published.delivered)
    });
    let again = again.min(requeue_after(object, context, delivered.as_ref()));
    let again = if rejected {
        again.min(rejection::wait(context.memory.rejected(object), random_share()))
    } else {
        context.memory.accepted(object);
        again
    };
    let environment = delivered.as_ref().and_then(|delivered| delivered.environment.as_ref());
    let looks = environment.map(|environment| looks(object, environment)).unwrap_or_default();
    let destination =
        if object.common().target.is_some() { Destination::Target } else { Destination::Secret };
    let facts = StatusInputs {
        generation: object.meta().generation,
        outcome,
        publication,
        delivered: delivered.as_ref(),
        destination,
        looks: &looks,
        secret_name: secret_name(object),
        threshold: object.common().failure_threshold,
        record: RunRecord { written_at, ..record },
        resource: in_kubectl(object),
    };
    let previous = context.memory.previous_status(object);
    let before = context.memory.previous_details(object);
    let status = derive(previous.as_deref(), &facts, context.cluster.seconds());
    let status = if details == before { without_news_of_time(previous.as_deref(), status) } else { status };
    context.metrics.settled(object, &status, K::metric_timestamps(&details));
    let mut events = Vec::new();
    if !context.memory.is_reported(object, &status, &details) {
        events = context.report_alone(object, (&status, &details)).await?;
    }
    for event in notice.into_iter().chain(K::events(&before, &details)) {
        Context::<K>::log_event(object, &event);
        events.push(event);
    }
    context.publish_events(object, events);
    Ok(Action::requeue(again))
}

/// Writes the findings into the status early, and leaves everything else in it to the end of the run.
pub(in crate::engine) async fn note_down<K: Kind>(
    object: &K,
    context: &Context<K>,
    remembered: &CheckHistory<K::Evidence>,
    checked_inputs: &CheckedInputs,
) -> Result<(), Error> {
    let common = object.common();
    let facts = StatusInputs {
        generation: object.meta().generation,
        outcome: Outcome::Checked {
            verdict: remembered.verdict(common.failure_threshold),
            findings: &remembered.findings,
            checked_inputs: checked_inputs.clone(),
        },
        // Values that passed before stay published, so the condition keeps saying so.
        publication: remembered.proven.then_some(Publication::Current),
        delivered: None,
        destination: Destination::Secret,
        looks: &[],
        secret_name: secret_name(object),
        threshold: common.failure_threshold,
        record: RunRecord { last_check: remembered.last_check, ..RunRecord::default() },
        resource: in_kubectl(object),
    };
    let previous = context.memory.previous_status(object).unwrap_or_default();
    let status = noted(&previous, &facts, context.cluster.seconds());
    let details = context.memory.previous_details(object);
    let notices = context.report_alone(object, (&status, &details)).await?;
    context.publish_events(object, notices);
    Ok(())
}

/// The resource as arguments of kubectl.
fn in_kubectl<K: Kind>(object: &K) -> String {
    format!("{} {} -n {}", K::SHORT_NAME, object.name_any(), object.namespace().unwrap_or_default())
}
