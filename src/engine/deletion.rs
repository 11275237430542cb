//! The last run for a deleted resource: cleans up its target and its remote credentials, then removes the
//! finalizers.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    CheckContext, Contender, Context, EventDraft, Existing, Kind, Repetition,
    checks::examine::stopped,
    delivery::{Withdrawal, WithdrawalPace, is_absent, withdraw},
    finalizer::Finalizer,
    precedence,
    publish::secret,
    watching::undecodable::Guarded,
};
use crate::{
    api::{DeletionPolicy, Reason, names::EventReason},
    api_server::Now,
    error::{Error, StepError},
    problem::Problem,
    workloads::Target,
};

/// The finalizer that the API server adds for a deletion that leaves dependents (`--cascade=orphan`).
const ORPHAN_FINALIZER: &str = "orphan";

/// The interval at which a server that does not revoke the credentials is asked again.
const RETRY: Duration = Duration::from_secs(15);

/// The interval at which is checked whether a successor has taken the entries over.
const SUCCESSOR_RETRY: Duration = Duration::from_secs(1);

/// The interval at which pods are checked for references to revisions that must be deleted.
const PODS_RETRY: Duration = Duration::from_secs(2);

/// How long a server may take to revoke keys when the resource's namespace is being deleted.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(2);

/// The interval at which a resource in a namespace that is being deleted is checked again.
const NAMESPACE_RETRY: Duration = Duration::from_secs(10);

/// Waiting longer than this is reported by an event. A successor that only has to make its checks is usually
/// faster.
const HANDOVER: Duration = Duration::from_secs(15);

/// Cleans up what a deleted resource made elsewhere, and removes its finalizers. If that fails, the finalizers
/// are removed after a while all the same, because a server that does not exist any more must not block a
/// deletion for ever.
pub async fn release<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    let Some(deleted) = object.meta().deletion_timestamp.as_ref() else { return Ok(Action::await_change()) };
    let is_orphaning = object.finalizers().iter().any(|finalizer| finalizer == ORPHAN_FINALIZER);
    for finalizer in Finalizer::ALL.into_iter().filter(|finalizer| finalizer.holds(object)) {
        // Entries and credentials that are retained must keep working, so they are not cleaned up.
        let stays = is_orphaning
            || finalizer == Finalizer::Target && object.common().deletion_policy == DeletionPolicy::Retain;
        let pending = match finalizer {
            _ if stays => None,
            Finalizer::Target => leave_target(object, context).await?,
            Finalizer::RemoteCredentials => {
                let waited = waited(object, context, deleted).await?;
                revoke(object, context, context.waits.deletion.saturating_sub(waited)).await?
            }
        };
        if let Some(retry) = pending {
            return Ok(Action::requeue(retry));
        }
        context.remove_finalizers(object, &[finalizer]).await?;
    }
    Ok(Action::await_change())
}

/// Removes the finalizers of a resource whose namespace is being deleted. The target is deleted with the
/// namespace, and the keys are revoked only if the server answers at once, because soon the operator has no right
/// to remove the finalizers.
pub(super) async fn end_with_namespace<K: Kind>(
    object: &Guarded<K>,
    context: &Context<K>,
) -> Result<Action, Error> {
    if !Finalizer::is_on(object) {
        return Ok(Action::requeue(NAMESPACE_RETRY));
    }
    let stays = object.finalizers().iter().any(|finalizer| finalizer == ORPHAN_FINALIZER);
    if let (Ok(resource), true, false) = (&object.0, Finalizer::RemoteCredentials.holds(object), stays) {
        let (_, existing) =
            secret::read(&context.client, resource).await.unwrap_or((None, Existing::Missing));
        let limit = resource.common().check_timeout.get().min(NAMESPACE_LIMIT);
        match cleanup(resource, context, &existing, limit).await {
            Ok(()) => {}
            Err(StepError::Problem(problem)) => context.publish_event(object, &orphaned(&problem)),
            Err(StepError::Error(error)) => return Err(error),
        }
    }
    context.remove_finalizers(object, &Finalizer::ALL).await?;
    Ok(Action::requeue(NAMESPACE_RETRY))
}

/// How long ago the deletion was requested: by the API server's clock, which wrote that time, or by the time that
/// this process has measured, whichever is longer.
async fn waited<K: Kind>(
    object: &impl Resource<DynamicType = ()>,
    context: &Context<K>,
    deleted: &Time,
) -> Result<Duration, Error> {
    let by_server = context.cluster.now().await?.earliest.duration_since(deleted.0);
    Ok(longer(by_server, context.memory.leaving_for(object, None, Instant::now())))
}

/// If the clock was ahead when the deletion was requested, the measured time decides, so that nobody waits until
/// that time comes.
fn longer(by_server: SignedDuration, measured: Duration) -> Duration {
    Duration::try_from(by_server).map_or(measured, |by_server| by_server.max(measured))
}

/// The resource that takes over the entries of a deleted one.
enum Heir {
    /// There is none, or it has the entries already.
    Nobody,
    /// None is known, but some kinds are not listed yet.
    Unknown,
    /// The resource of this title. It must take the entries over in one step, so that no pod starts without any.
    Waits(String),
}

async fn heir<K: Kind>(object: &K, context: &Context<K>) -> Result<Heir, Error> {
    let contender = Contender::of(object);
    let Some((contender, target)) =
        contender.and_then(|contender| Some((contender.clone(), contender.target?)))
    else {
        return Ok(Heir::Nobody);
    };
    let namespace = object.namespace().unwrap_or_default();
    // A timeout can be ignored here: what is not listed yet is handled below.
    let _ = tokio::time::timeout(SUCCESSOR_RETRY, context.registry.listed(&namespace)).await;
    let is_unlisted = context.registry.unlisted(&namespace).is_some();
    let others = context.registry.rivals(&namespace, &contender);
    Ok(match precedence::heir(&contender, &target, &others) {
        Some(heir) if !is_absent(object, context, Some(&target)).await? => {
            Heir::Waits(heir.owner.title.clone())
        }
        None if is_unlisted => Heir::Unknown,
        Some(_) | None => Heir::Nobody,
    })
}

/// How soon to check again while the entries of a deleted resource stay in place for a successor; `None` once
/// they must be removed. Time in which no process was running does not count as waiting, because nobody could
/// take the entries over.
async fn handed_over<K: Kind>(object: &K, context: &Context<K>) -> Result<Option<Duration>, Error> {
    let (patience, waited) =
        (context.waits.deletion, context.memory.leaving_for(object, None, Instant::now()));
    Ok(match heir(object, context).await? {
        Heir::Unknown if waited < HANDOVER.min(patience) => Some(SUCCESSOR_RETRY),
        Heir::Waits(heir) if waited < patience => {
            let problem = stays_for(object, &heir);
            if waited > HANDOVER && context.memory.is_news(object, &problem.message) {
                context.publish_event(object, &waits("Withdraw", &problem, patience));
            }
            Some(SUCCESSOR_RETRY.min(patience.saturating_sub(waited)))
        }
        // Neither a kind that cannot be listed nor a successor that never works may block the deletion.
        Heir::Nobody | Heir::Unknown | Heir::Waits(_) => None,
    })
}

/// Removes the resource from its target. Returns when to check again, if the deletion must wait.
async fn leave_target<K: Kind>(object: &K, context: &Context<K>) -> Result<Option<Duration>, Error> {
    if let Some(retry) = handed_over(object, context).await? {
        return Ok(Some(retry));
    }
    let waited = context.memory.withdrawing_for(object, Instant::now());
    let left = context.waits.deletion.saturating_sub(waited);
    let obstacle = match withdraw(object, context, None, WithdrawalPace::AtOnce).await {
        Ok(Withdrawal::Complete) => return Ok(None),
        Ok(Withdrawal::PodsRemain) => None,
        Err(StepError::Problem(problem)) => Some(problem),
        Err(StepError::Error(error)) => return Err(error),
    };
    let retry = if obstacle.is_some() { RETRY } else { PODS_RETRY };
    let problem = obstacle.unwrap_or_else(|| {
        Problem::new(
            Reason::Progressing,
            format!("Pods still refer to the Secrets {}-<number>.", secret::secret_name(object)),
        )
    });
    if !left.is_zero() {
        // Pods that are being replaced are normal, so they are reported only after a while.
        if waited > HANDOVER && context.memory.is_news(object, &problem.message) {
            context.publish_event(object, &waits("Withdraw", &problem, context.waits.deletion));
        }
        return Ok(Some(retry.min(left)));
    }
    // The revision stays, because pods that still refer to it must be able to start again.
    context.publish_event(object, &left_in_target(object, &problem));
    Ok(None)
}

/// Revokes what the resource made at a server. Returns when to ask again, if the deletion must wait.
async fn revoke<K: Kind>(
    object: &K,
    context: &Context<K>,
    left: Duration,
) -> Result<Option<Duration>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let permit = context.api_permits.take_again(&namespace).await;
    let (_, existing) = secret::read(&context.client, object).await?;
    // The permit is released before the request: a server that hangs must delay its own resource only.
    drop(permit);
    match cleanup(object, context, &existing, object.common().check_timeout.get()).await {
        Ok(()) => Ok(None),
        Err(StepError::Error(error)) => Err(error),
        // Without the key, waiting does not help.
        Err(StepError::Problem(problem)) if !left.is_zero() && problem.reason != Reason::KeyNotFound => {
            if context.memory.is_news(object, &problem.message) {
                context.publish_event(object, &waits("Revoke", &problem, context.waits.deletion));
            }
            Ok(Some(RETRY.min(left)))
        }
        Err(StepError::Problem(problem)) => {
            context.publish_event(object, &orphaned(&problem));
            Ok(None)
        }
    }
}

/// Asks the server to remove what the resource made there, within a time limit and until the process stops.
async fn cleanup<K: Kind>(
    object: &K,
    context: &Context<K>,
    existing: &Existing,
    limit: Duration,
) -> Result<(), StepError> {
    let last_verified = context.memory.last_verified(object);
    let namespace = object.namespace().unwrap_or_default();
    let network = context.network.seen_from(&namespace);
    let now = context.cluster.now().await.unwrap_or_else(|_| Now::local());
    let check_context = CheckContext {
        network: &network,
        cluster: Some(&context.cluster),
        namespace: &namespace,
        published: existing.values(),
        last_verified: last_verified.as_ref(),
        last_findings: &[],
        verified_once: false,
        refused_maintenance: None,
        unwritable: None,
        now,
        repetition: Repetition::ByOperator,
    };
    let cleaned_up = tokio::select! {
        cleaned_up = tokio::time::timeout(limit, object.cleanup(&check_context)) => cleaned_up,
        () = stopped(context) => return Err(Error::Stopping.into()),
    };
    Ok(cleaned_up.unwrap_or_else(|_| Err(too_slow(limit)))?)
}

/// Does the same for a resource that this version cannot decode. Nothing can be cleaned up then: the deletion
/// only waits, for a version of the operator that can decode it.
pub(super) async fn release_unreadable<K: Kind>(
    object: &impl Resource<DynamicType = ()>,
    context: &Context<K>,
) -> Result<Action, Error> {
    let held: Vec<_> = Finalizer::ALL.into_iter().filter(|finalizer| finalizer.holds(object)).collect();
    let Some(deleted) = object.meta().deletion_timestamp.as_ref().filter(|_| !held.is_empty()) else {
        return Ok(Action::await_change());
    };
    let waited = waited(object, context, deleted).await?;
    let left = context.waits.deletion.saturating_sub(waited);
    let problem = Problem::new(Reason::InvalidSpec, "This version of the operator cannot read the resource.");
    if !left.is_zero() {
        context.publish_event(object, &waits("Delete", &problem, left));
        return Ok(Action::requeue(left));
    }
    for finalizer in held {
        let notice = match finalizer {
            Finalizer::Target => left_behind(&problem),
            Finalizer::RemoteCredentials => orphaned(&problem),
        };
        context.publish_event(object, &notice);
        context.remove_finalizers(object, &[finalizer]).await?;
    }
    Ok(Action::await_change())
}

/// The problem that says why the entries of a deleted resource stay for a while.
fn stays_for<K: Kind>(object: &K, heir: &str) -> Problem {
    let target = object.common().target.as_ref().and_then(Target::of);
    let place = target.map_or_else(|| "the target".to_owned(), |target| target.to_string());
    Problem::new(
        Reason::Progressing,
        format!(
            "The entries stay in {place} until {heir} takes them over. If it does not do so in time, they are removed. Look at its conditions: it must be verified and delivered first."
        ),
    )
}

fn too_slow(limit: Duration) -> Problem {
    Problem::new(Reason::TimedOut, format!("The server did not answer within {limit:?}."))
}

fn waits(action: &str, problem: &Problem, patience: Duration) -> EventDraft {
    EventDraft::warning(
        EventReason::DeletionWaits,
        action,
        format!("The deletion waits up to {patience:?}: {}", problem.message),
    )
}

fn left_in_target<K: Kind>(object: &K, problem: &Problem) -> EventDraft {
    let target = object.common().target.as_ref().and_then(Target::of);
    let place = target.map_or_else(|| "the target".to_owned(), |target| target.to_string());
    EventDraft::warning(
        EventReason::LeftInTarget,
        "Withdraw",
        format!(
            "The entries in {place} and the Secrets {}-<number> stay; remove them by hand once no pod needs them. {}",
            secret::secret_name(object),
            problem.message
        ),
    )
}

/// The same event for a resource that cannot be decoded.
fn left_behind(problem: &Problem) -> EventDraft {
    EventDraft::warning(
        EventReason::LeftInTarget,
        "Withdraw",
        format!("What is left in the target, and the Secrets that it refers to, stay: {}", problem.message),
    )
}

fn orphaned(problem: &Problem) -> EventDraft {
    EventDraft::warning(
        EventReason::CredentialsOrphaned,
        "Orphan",
        format!("What was made at the server is left there; remove it by hand: {}", problem.message),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_waits_no_longer_than_it_was_seen_to() {
        for (told, seen, expected) in [(70, 40, 70), (30, 40, 40), (-24 * 60 * 60, 40, 40)] {
            let waited = longer(SignedDuration::from_secs(told), Duration::from_secs(seen));
            assert_eq!(waited, Duration::from_secs(expected), "{told} {seen}");
        }
    }
}
