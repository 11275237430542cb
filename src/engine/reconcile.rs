//! One run for one resource: the pipeline on one screen.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, runtime::controller::Action};

use super::{
    Candidate, Content, Context, Existing, Kind, Planned, Prepared, Publication, Remembered, RenderContext,
    Schedule, decide, fetch,
    plan::checked_inputs,
    prepare, probe, references,
    secret::{self, Written, secret_name},
    status::{Facts, Outcome, derive},
};
use crate::error::Error;

/// Brings one resource to where its spec wants it, as far as that can be proven to work.
pub async fn reconcile<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    // What is on its way out is the garbage collector's: a Secret that it took must not come back.
    if object.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    if object.common().suspend {
        return settle(object, context, Outcome::Suspended, None).await;
    }
    let namespace = object.namespace().unwrap_or_default();
    let objects = fetch(&context.client, &namespace, &references(object)).await?;
    let secrets = Api::<Secret>::namespaced(context.client.clone(), &namespace);
    let (present, existing) = secret::read(&secrets, object).await?;

    let planned = match prepare(object, &objects, &context.network.system_trust) {
        Prepared::NotAccepted(problem) => {
            let publication = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            return settle(object, context, Outcome::NotAccepted(problem), Some(publication)).await;
        }
        Prepared::Unresolved(problem) => {
            let publication = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            return settle(object, context, Outcome::Unresolved(problem), Some(publication)).await;
        }
        Prepared::Planned(planned) => planned,
    };
    let checked_inputs = checked_inputs(object, &objects);
    let remembered = examine(object, context, &planned, &checked_inputs).await?;
    let verdict = remembered.verdict(object.common().failure_threshold);

    let candidate = candidate(&planned, &remembered, &existing);
    let publication = publish(object, context, present.as_ref(), existing, candidate).await?;

    let outcome = Outcome::Checked { verdict, findings: &remembered.findings, checked_inputs };
    settle(object, context, outcome, Some(publication)).await
}

/// What the checks find: remembered where that answers the question, from the network otherwise.
async fn examine<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    checked_inputs: &str,
) -> Result<Remembered, Error> {
    let now = Instant::now();
    let question = &planned.question;
    let known = context
        .memory
        .recall(object)
        .or_else(|| Remembered::recover(object.status()?, question.clone(), checked_inputs, now));
    let remembered = match known {
        Some(known) if known.answers(question, now) => known,
        known => {
            let common = object.common();
            let findings = tokio::select! {
                findings = probe(planned, &context.network, common.check_timeout.get()) => findings,
                () = context.stopping.cancelled() => return Err(Error::Stopping),
            };
            context.metrics.checked(object, &findings);
            let schedule = Schedule {
                interval: common.check_interval.get(),
                threshold: common.failure_threshold,
                jitter: jitter(),
            };
            Remembered::learn(known.as_ref(), question.clone(), findings, schedule, Instant::now())
        }
    };
    context.memory.remember(object, remembered.clone());
    Ok(remembered)
}

/// A random number between 0 and 1.
fn jitter() -> f64 {
    let random = RandomState::new().hash_one(()) >> 32;
    u32::try_from(random).map_or(0.0, f64::from) / f64::from(u32::MAX)
}

/// The current values, and whether they are known to work.
fn candidate<K: Kind>(planned: &Planned<K>, remembered: &Remembered, existing: &Existing) -> Candidate {
    let current = match existing {
        Existing::Ours(values) => Some(values),
        Existing::Missing | Existing::Untouchable(_) => None,
    };
    let values = K::render(&planned.plan, &RenderContext { verified: remembered.proven, current });
    if remembered.proven { Candidate::Proven(values) } else { Candidate::Unproven(values) }
}

/// Makes the Secret hold what it should, and says what it holds.
async fn publish<K: Kind>(
    object: &K,
    context: &Context<K>,
    present: Option<&Secret>,
    existing: Existing,
    candidate: Candidate,
) -> Result<Publication, Error> {
    if let Candidate::Proven(values) = &candidate {
        context.memory.verified(object, values);
    }
    let last_verified = context.memory.last_verified(object);
    let policy = object.common().publish_policy;
    let (wanted, publication) = decide(policy, existing, candidate, last_verified.as_ref());
    let Content::Exactly(values) = wanted else {
        return Ok(publication);
    };
    match secret::ensure(&context.client, object, present, &values).await? {
        Ok(Written::Changed) => {
            tracing::info!(secret = secret_name(object), "wrote the Secret");
            Ok(publication)
        }
        Ok(Written::Unchanged) => Ok(publication),
        Err(problem) => Ok(Publication::Refused(problem)),
    }
}

/// Without this, an event that was missed would be missed for ever.
const RESYNC: Duration = Duration::from_hours(1);

/// Reports what the run came to, where that is news, and says when to run again.
async fn settle<K: Kind>(
    object: &K,
    context: &Context<K>,
    outcome: Outcome<'_>,
    publication: Option<Publication>,
) -> Result<Action, Error> {
    let again = match &outcome {
        Outcome::Suspended | Outcome::NotAccepted(_) => RESYNC,
        // Rights and quotas can change without an event.
        Outcome::Unresolved(_) => object.common().check_interval.get(),
        Outcome::Checked { .. } => context.memory.wait(object, Instant::now()).unwrap_or(RESYNC),
    };
    let facts = Facts {
        generation: object.meta().generation,
        outcome,
        publication,
        secret_name: secret_name(object),
        threshold: object.common().failure_threshold,
    };
    let status = derive(object.status(), &facts, Timestamp::now());
    context.metrics.settled(object, &status);
    if object.status() != Some(&status) {
        context.report(object, object.status(), &status).await?;
    }
    Ok(Action::requeue(again))
}
