//! One run for one resource: the steps of the pipeline in their order.

use std::{collections::BTreeMap, time::Instant};

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Candidate, CheckedInputs, Context, Fetched, Kind, Prepared,
    checks::{
        examine::examine,
        terms::{Age, UNCHECKED, checks},
    },
    deletion::release,
    delivery::{Checks, Progress, claim},
    fetch,
    plan::prepare_known,
    precedence::Claim,
    publish::{
        secret,
        write::{candidate, publish, retain_secret},
    },
    references,
    run_record::{RunRecord, observed},
    status::{
        inputs::Outcome,
        update::{unchanged, update_status},
    },
};
use crate::{
    api::{RECHECK_ANNOTATION, Reason},
    error::Error,
};

/// Brings one resource to the state that its spec describes, as far as the checks prove that it works.
pub async fn reconcile<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    // The dependents of a resource that is being deleted belong to the garbage collector: a Secret that it
    // deleted must not be created again.
    if object.meta().deletion_timestamp.is_some() {
        return release(object, context).await;
    }
    let namespace = object.namespace().unwrap_or_default();
    context.memory.begin_status(object);
    let namesakes = context.namesakes(object).await;
    let turn = context.api_permits.take(&namespace).await;
    if object.common().suspend {
        let (present, existing) = secret::read(&context.client, object).await?;
        context.observe(object, &BTreeMap::new(), (present.as_ref(), &existing));
        context.add_finalizers_again(object, existing.values()).await?;
        retain_secret(object, context, present.as_ref(), &existing).await?;
        let outcome = unchanged(object, context, Outcome::Suspended);
        return update_status(object, context, outcome, RunRecord::default(), None).await;
    }
    let references = references(object);
    let (objects, (present, existing)) = tokio::try_join!(
        fetch(&context.client, &namespace, &references),
        secret::read(&context.client, object)
    )?;
    let is_refused = objects.values().any(|fetched| matches!(fetched, Fetched::Forbidden));
    if is_refused && context.cluster.load().is_recovering(Instant::now()) {
        return Err(Error::Recovering);
    }
    context.observe(object, &objects, (present.as_ref(), &existing));
    context.add_finalizers_again(object, existing.values()).await?;
    let record = RunRecord {
        recheck: object.annotations().get(RECHECK_ANNOTATION).cloned(),
        references: Some(observed(&objects)),
        ..RunRecord::default()
    };
    let last_verified = context.memory.last_verified(object);
    let held: Vec<_> = existing.values().into_iter().chain(&last_verified).collect();
    let spec = context.memory.spec(object);
    let system_trust = &context.network.system_trust;
    let planned = match prepare_known(object, &spec, &namesakes, &objects, system_trust, &held) {
        Prepared::NotAccepted(problem) => {
            let mut published = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            // A mistake in the spec must not stop the rollback of a rollout that is under way.
            if problem.reason == Reason::InvalidSpec {
                published.delivered = published.deliver_published(object, context, UNCHECKED).await?;
            }
            let outcome = unchanged(object, context, Outcome::NotAccepted(problem));
            return update_status(object, context, outcome, record, Some(published)).await;
        }
        Prepared::Unresolved(problem) => {
            let mut published = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            published.delivered = published.deliver_published(object, context, UNCHECKED).await?;
            let outcome = unchanged(object, context, Outcome::Unresolved(problem));
            return update_status(object, context, outcome, record, Some(published)).await;
        }
        Prepared::Planned(planned) => planned,
    };
    let checked_inputs = CheckedInputs::known(object, &spec, &objects);
    // The permit is released before the checks: a server that hangs must delay its own resource only.
    drop(turn);
    let values = (existing.values(), last_verified.as_ref());
    let mut remembered =
        examine(object, context, &planned, &checked_inputs, values, Age::AsScheduled).await?;
    let mut turn = context.api_permits.take(&namespace).await;
    let held = last_verified.as_ref().or(existing.values());
    // Values that stay published must not expire while a person looks for the fault in the current ones.
    if let (false, Some(held)) = (remembered.proven, held)
        && let Some(renewed) = K::renew(&planned.plan, &remembered.evidence, held)
    {
        context.memory.verified(object, &renewed);
    }
    let claim = claim(object, context, checks(object, &remembered).1).await;
    let candidate = match claim {
        // A resource that lost its claim is still checked, so that it is ready when the claim is free.
        Claim::Lost(_) => Candidate::None,
        Claim::Held | Claim::Watched(_) | Claim::Waiting(_) => candidate::<K>(&planned, &remembered, held),
    };
    let mut published = publish(object, context, present.as_ref(), existing, candidate).await?;
    published.delivered = published.deliver_published(object, context, checks(object, &remembered)).await?;
    if published.awaits_checks() && checks(object, &remembered).0 == Checks::Stale {
        // Entries of somebody else are replaced only after checks that passed just now, so the checks run again.
        let values = (published.values.as_ref(), last_verified.as_ref());
        drop(turn);
        remembered = examine(object, context, &planned, &checked_inputs, values, Age::Fresh).await?;
        turn = context.api_permits.take(&namespace).await;
        published.delivered =
            published.deliver_published(object, context, checks(object, &remembered)).await?;
    }
    if let (Claim::Lost(problem), Some(delivered)) = (claim, &mut published.delivered)
        && matches!(delivered.state, Progress::Failed(_) | Progress::NotPublished)
    {
        // The resource does not deliver because another one has the claim; whether delivery would have failed
        // does not matter.
        delivered.state = Progress::Superseded(problem);
    }
    let verdict = remembered.verdict(object.common().failure_threshold);
    let previous = context.memory.previous_details(object);
    let values = published.values.as_ref();
    let details = K::status_details(&planned.plan, &remembered.evidence, values, previous);
    let outcome = Outcome::Checked { verdict, findings: &remembered.findings, checked_inputs };
    let record = RunRecord { last_check: remembered.last_check, ..record };
    let settled = update_status(object, context, (outcome, details), record, Some(published)).await;
    drop(turn);
    settled
}
