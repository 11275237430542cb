//! One run for one resource: the steps of the pipeline in their order.

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Candidate, CheckedInputs, Contender, Context, Kind, Prepared,
    checks::{
        examine::examine,
        terms::{Age, UNCHECKED, checks},
    },
    deletion::release,
    delivery::{Checks, Delivered, claim, deliver_published},
    inputs::resolve::{Resolved, resolve},
    plan::prepare_known,
    publish::write::{candidate, publish, renew_held, retain_secret},
    run_record::{RunRecord, ServerPodNews},
    scheduling::api_permits::ApiPermit,
    server_pod,
    status::{
        inputs::Outcome,
        run_events::RunEvents,
        update::{RunResult, update_status},
    },
};
use crate::{
    api::{CheckFrom, RECHECK_ANNOTATION, Reason},
    error::Error,
};

/// Brings one resource to the state that its spec describes, as far as the checks prove that it works.
///
/// Each step is in a box of its own: many runs wait for the API server or for a server at a time, and each would have
/// room for the largest step all the while.
pub async fn reconcile<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    // The dependents of a resource that is being deleted belong to the garbage collector: a Secret that it
    // deleted must not be created again.
    if object.meta().deletion_timestamp.is_some() {
        return Box::pin(release(object, context)).await;
    }
    let namespace = object.namespace().unwrap_or_default();
    let urgency = context.urgency(object);
    context.memory.begin_status(object);
    let namesakes = context.namesakes(object).await;
    let mut events = RunEvents::new(object, context);
    let permit = context.api_permits.take(&namespace, urgency).await;
    // While many runs wait for their turn, none of them has room for the rest yet.
    Box::pin(reconcile_in_turn(object, context, &namesakes, permit, &mut events)).await
}

/// The same once the run may speak with the API server.
async fn reconcile_in_turn<K: Kind>(
    object: &K,
    context: &Context<K>,
    namesakes: &[Contender],
    permit: ApiPermit,
    events: &mut RunEvents<'_, K>,
) -> Result<Action, Error> {
    let namespace = object.namespace().unwrap_or_default();
    // Resolve.
    let resolved = Box::pin(resolve(object, context)).await?;
    if object.common().suspend {
        return Box::pin(suspended(object, context, &resolved, events)).await;
    }

    // Plan.
    let last_verified = context.memory.last_verified(object);
    let known_values: Vec<_> = resolved.published().into_iter().chain(&last_verified).collect();
    let spec = context.memory.spec(object);
    let system_trust = &context.network.system_trust;
    let prepared = prepare_known(object, &spec, namesakes, &resolved.objects, system_trust, &known_values);
    let planned = match prepared {
        Prepared::Planned(planned) => planned,
        Prepared::NotAccepted(problem) => {
            let outcome = Outcome::NotAccepted(problem);
            return Box::pin(unchecked(object, context, resolved, outcome, events)).await;
        }
        Prepared::Unresolved(problem) => {
            let outcome = Outcome::Unresolved(problem);
            return Box::pin(unchecked(object, context, resolved, outcome, events)).await;
        }
    };
    let checked_inputs = CheckedInputs::known(object, &spec, &resolved.objects);
    let record = record(object, &resolved);
    let server_pod = match object.common().check_from {
        CheckFrom::Operator => Box::pin(server_pod::leave(object, context, &planned)).await?,
        CheckFrom::ServerPod => ServerPodNews::Unchanged,
    };

    // Check. The permit is released before: a server that hangs must delay its own resource only.
    drop(permit);
    let values = (resolved.published(), last_verified.as_ref());
    let examined = examine(object, context, &planned, &checked_inputs, values, Age::AsScheduled);
    let mut history = Box::pin(examined).await?;
    let mut permit = context.api_permits.take_again(&namespace).await;

    // Publish.
    let held = last_verified.as_ref().or(resolved.published());
    renew_held(object, context, &planned, &history, held);
    let claim = claim(object, context, checks(object, &history).1).await;
    let candidate = candidate(&planned, &history, &claim, held);
    let published = Box::pin(publish(object, context, resolved, candidate, events)).await?;

    // Deliver.
    let delivery = deliver_published(object, context, &published, checks(object, &history));
    let mut delivered = Box::pin(delivery).await?;
    if delivered.as_ref().is_some_and(Delivered::awaits_checks) && checks(object, &history).0 == Checks::Stale
    {
        // Entries of somebody else are replaced only after checks that passed just now, so the checks run again.
        drop(permit);
        let values = (published.values.as_ref(), last_verified.as_ref());
        history = Box::pin(examine(object, context, &planned, &checked_inputs, values, Age::Fresh)).await?;
        permit = context.api_permits.take_again(&namespace).await;
        let delivery = deliver_published(object, context, &published, checks(object, &history));
        delivered = Box::pin(delivery).await?;
    }
    let delivered = delivered.map(|delivered| delivered.under(claim));

    // Status.
    let previous = context.memory.previous_details(object);
    let values = published.values.as_ref();
    let details = K::status_details(&planned.plan, &history.evidence, values, previous);
    let verdict = history.verdict(object.common().failure_threshold);
    let result = RunResult {
        outcome: Outcome::Checked { verdict, findings: &history.findings, checked_inputs },
        details: Some(details),
        record: RunRecord {
            last_check: history.last_check,
            is_under_way: history.is_under_way,
            server_pod: server_pod::news(object, context, server_pod),
            ..record
        },
        published: Some(published),
        delivered,
    };
    let action = Box::pin(update_status(object, context, result, events)).await?;
    // A pod goes once its verdict is in the status, and not before.
    Box::pin(server_pod::tidy(object, context)).await?;
    drop(permit);
    Ok(action)
}

/// The rest of a run whose resource is suspended: nothing is looked at, and nothing but the owner of the Secret is
/// written.
async fn suspended<K: Kind>(
    object: &K,
    context: &Context<K>,
    resolved: &Resolved,
    events: &mut RunEvents<'_, K>,
) -> Result<Action, Error> {
    server_pod::pause(object, context).await?;
    retain_secret(object, context, resolved).await?;
    let (outcome, record) = (Outcome::Suspended, RunRecord::default());
    let result = RunResult { outcome, details: None, record, published: None, delivered: None };
    update_status(object, context, result, events).await
}

/// The rest of a run whose spec or references are broken: nothing is checked, and what was published stays.
async fn unchecked<K: Kind>(
    object: &K,
    context: &Context<K>,
    resolved: Resolved,
    outcome: Outcome<'_>,
    events: &mut RunEvents<'_, K>,
) -> Result<Action, Error> {
    server_pod::pause(object, context).await?;
    let record = record(object, &resolved);
    let published = publish(object, context, resolved, Candidate::None, events).await?;
    let delivered = match &outcome {
        // Another resource has the identity of this one.
        Outcome::NotAccepted(problem) if problem.reason != Reason::InvalidSpec => None,
        // A mistake in the spec must not stop the rollback of a rollout that is under way.
        _ => deliver_published(object, context, &published, UNCHECKED).await?,
    };
    let result = RunResult { outcome, details: None, record, published: Some(published), delivered };
    update_status(object, context, result, events).await
}

/// What the run has done so far, for the status.
fn record<K: Kind>(object: &K, resolved: &Resolved) -> RunRecord {
    RunRecord {
        recheck: object.annotations().get(RECHECK_ANNOTATION).cloned(),
        references: Some(resolved.observed()),
        ..RunRecord::default()
    }
}
