//! The last step of a run: writes the status, and says when to run again.

use std::time::{Duration, Instant};

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    arrival::look_after,
    derive::{derive, noted},
    inputs::{Destination, Outcome, StatusInputs},
    run_events::RunEvents,
};
use crate::engine::{
    CheckHistory, CheckedInputs, Context, Kind, Publication,
    checks::terms::schedule,
    delivery::{Delivered, Progress, looks, requeue_after},
    publish::{secret::secret_name, write::PublishOutcome},
    rejection,
    run_record::{RunRecord, without_news_of_time},
    server_pod,
};
use crate::{api::Reason, error::Error, jitter};

/// What a run came to, for the status and for the time of the next run.
pub(in crate::engine) struct RunResult<'a, D> {
    /// How far the run came.
    pub(in crate::engine) outcome: Outcome<'a>,
    /// The kind's own part of the status; nothing if the run has nothing new for it.
    pub(in crate::engine) details: Option<D>,
    /// What the run did, and when.
    pub(in crate::engine) record: RunRecord,
    /// What became of the Secret; nothing if the run did not look at it.
    pub(in crate::engine) published: Option<PublishOutcome>,
    /// What became of the values at the target, if the spec has one.
    pub(in crate::engine) delivered: Option<Delivered>,
}

/// The longest time between two runs, so that a watch event that was missed has no effect for longer.
const RESYNC: Duration = Duration::from_hours(1);

/// Writes the status of a run if it has changed, and returns when to run again.
pub(in crate::engine) async fn update_status<K: Kind>(
    object: &K,
    context: &Context<K>,
    RunResult { outcome, details, record, published, delivered }: RunResult<'_, K::Details>,
    events: &mut RunEvents<'_, K>,
) -> Result<Action, Error> {
    let again = match &outcome {
        Outcome::Suspended | Outcome::NotAccepted(_) => RESYNC,
        // Rights and quotas can change without a watch event.
        Outcome::Unresolved(_) => object.common().check_interval.get(),
        Outcome::Checked { .. } => {
            let history = context.memory.history(object);
            let wait = history.and_then(|history| history.wait(schedule(object), Instant::now()));
            wait.unwrap_or(RESYNC)
        }
    };
    let written_at = published.as_ref().and_then(|published| published.written_at);
    let publication = published.map(|published| published.publication);
    let again = again.min(requeue_after(object, context, delivered.as_ref()));
    let again = again.min(server_pod::requeue_after(object, context, delivered.as_ref()));
    let again = if was_rejected(publication.as_ref(), delivered.as_ref()) {
        again.min(rejection::wait(context.memory.rejected(object), jitter::random()))
    } else {
        context.memory.accepted(object);
        again
    };
    let environment = delivered.as_ref().and_then(|delivered| delivered.environment.as_ref());
    let proxies = context.network.proxies();
    let looks = environment.map(|environment| looks(object, environment, proxies)).unwrap_or_default();
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
    let details = details.unwrap_or_else(|| before.clone());
    let now = context.cluster.seconds();
    let status = derive(previous.as_deref(), &facts, now);
    let again = look_after(&status.conditions, now).map_or(again, |look| again.min(look));
    let status = if details == before { without_news_of_time(previous.as_deref(), status) } else { status };
    context.metrics.settled(object, &status, K::metric_timestamps(&details));
    if !context.memory.is_reported(object, &status, &details) {
        events.add_logged(context.replace_status(object, (&status, &details)).await?);
    }
    for event in K::events(&before, &details) {
        events.add(event);
    }
    Ok(Action::requeue(again))
}

/// Whether the API server refused a write in this run. Rights, quotas and policies change without a watch event, so
/// the write is tried again.
fn was_rejected(publication: Option<&Publication>, delivered: Option<&Delivered>) -> bool {
    let published = match publication {
        Some(Publication::Refused(problem)) => Some(problem),
        _ => None,
    };
    let delivered = match delivered.map(|delivered| &delivered.state) {
        Some(Progress::Failed(problem)) => Some(problem),
        _ => None,
    };
    let reasons = [Reason::WriteRejected, Reason::Forbidden, Reason::TargetRefused];
    published.into_iter().chain(delivered).any(|problem| reasons.contains(&problem.reason))
}

/// Writes the findings into the status early, and leaves everything else in it to the end of the run.
pub(in crate::engine) async fn note_down<K: Kind>(
    object: &K,
    context: &Context<K>,
    history: &CheckHistory<K::Evidence>,
    checked_inputs: &CheckedInputs,
) -> Result<(), Error> {
    let common = object.common();
    let facts = StatusInputs {
        generation: object.meta().generation,
        outcome: Outcome::Checked {
            verdict: history.verdict(common.failure_threshold),
            findings: &history.findings,
            checked_inputs: checked_inputs.clone(),
        },
        // Values that passed before stay published, so the condition keeps saying so.
        publication: history.verified_once.then_some(Publication::Current),
        delivered: None,
        destination: Destination::Secret,
        looks: &[],
        secret_name: secret_name(object),
        threshold: common.failure_threshold,
        record: RunRecord { last_check: history.last_check, ..RunRecord::default() },
        resource: in_kubectl(object),
    };
    let previous = context.memory.previous_status(object).unwrap_or_default();
    let status = noted(&previous, &facts, context.cluster.seconds());
    let details = context.memory.previous_details(object);
    let notices = context.replace_status(object, (&status, &details)).await?;
    context.publish_events(object, notices);
    Ok(())
}

/// The resource as arguments of kubectl.
fn in_kubectl<K: Kind>(object: &K) -> String {
    format!("{} {} -n {}", K::SHORT_NAME, object.name_any(), object.namespace().unwrap_or_default())
}
