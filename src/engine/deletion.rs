//! The last run for one resource: what it made on the other side goes before it does.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    CheckContext, Contender, Context, EventDraft, Existing, Kind,
    delivery::{Withdrawal, WithdrawalPace, is_absent, withdraw},
    finalizer::Finalizer,
    precedence,
    publish::secret,
    reconcile::stopped,
    watching::undecodable::Guarded,
};
use crate::{
    api::{DeletionPolicy, Reason, names::EventReason},
    api_server::Now,
    error::Error,
    problem::Problem,
    workloads::Target,
};

/// What the API server sets for a deletion that leaves dependents (`--cascade=orphan`).
const ORPHAN_FINALIZER: &str = "orphan";

/// How often a server that does not let go is asked again.
const RETRY: Duration = Duration::from_secs(15);

/// How often is looked whether a successor has taken over.
const SUCCESSOR_RETRY: Duration = Duration::from_secs(1);

/// How often is looked whether pods still refer to what is to go.
const PODS_RETRY: Duration = Duration::from_secs(2);

/// How long a server may take to revoke keys when the resource's namespace is being deleted.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(2);

/// How often is looked whether a namespace that is being deleted is still there.
const NAMESPACE_RETRY: Duration = Duration::from_secs(10);

/// What takes longer is told: a successor that only has its checks to make is there before.
const HANDOVER: Duration = Duration::from_secs(15);

/// Takes away what a deleted resource made elsewhere, and lets the resource go: after a while also where
/// that fails, since a server that is gone must not hold a deletion for ever.
pub async fn release<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    let Some(deleted) = object.meta().deletion_timestamp.as_ref() else { return Ok(Action::await_change()) };
    let is_orphaning = object.finalizers().iter().any(|finalizer| finalizer == ORPHAN_FINALIZER);
    for finalizer in Finalizer::ALL.into_iter().filter(|finalizer| finalizer.holds(object)) {
        // What stays must keep working.
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
        context.let_go(object, &[finalizer]).await?;
    }
    Ok(Action::await_change())
}

/// Lets a resource go whose namespace is being deleted. The target goes, too, and the keys are revoked as far as the
/// server answers at once: soon the operator has no right to let go any more.
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
        if let Err(problem) = cleanup(resource, context, &existing, limit).await? {
            context.publish_event(object, &orphaned(&problem));
        }
    }
    context.let_go(object, &Finalizer::ALL).await?;
    Ok(Action::requeue(NAMESPACE_RETRY))
}

/// How long the deletion has been wanted, by the clock that wrote when that began, and as this process has seen pass.
async fn waited<K: Kind>(
    object: &impl Resource<DynamicType = ()>,
    context: &Context<K>,
    deleted: &Time,
) -> Result<Duration, Error> {
    let told = context.cluster.now().await?.earliest.duration_since(deleted.0);
    Ok(longer(told, context.memory.leaving_for(object, None, Instant::now())))
}

/// A clock that was ahead when the deletion began makes nobody wait until it is that time.
fn longer(told: SignedDuration, seen: Duration) -> Duration {
    Duration::try_from(told).map_or(seen, |told| told.max(seen))
}

/// Who is to have what a resource leaves at its target.
enum Heir {
    /// Nobody, or who has it already.
    Nobody,
    /// Nobody who is known, and not every kind is listed.
    Unknown,
    /// The resource of this title, which is to take the entries over in one step, so that no pod starts without any.
    Waits(String),
}

async fn heir<K: Kind>(object: &K, context: &Context<K>) -> Result<Heir, Error> {
    let claimant = Contender::of(object);
    let Some((claimant, target)) = claimant.and_then(|claimant| Some((claimant.clone(), claimant.target?)))
    else {
        return Ok(Heir::Nobody);
    };
    let namespace = object.namespace().unwrap_or_default();
    // Who waits in vain finds below what is not listed.
    let _ = tokio::time::timeout(SUCCESSOR_RETRY, context.registry.listed(&namespace)).await;
    let is_unlisted = context.registry.unlisted(&namespace).is_some();
    let others = context.registry.rivals(&namespace, &claimant);
    Ok(match precedence::heir(&claimant, &target, &others) {
        Some(heir) if !is_absent(object, context, Some(&target)).await? => {
            Heir::Waits(heir.owner.title.clone())
        }
        None if is_unlisted => Heir::Unknown,
        Some(_) | None => Heir::Nobody,
    })
}

/// How long this process has waited with the entries of a deleted resource in place; nothing once they are to go. A
/// time when no process was there to take them over does not count.
async fn handed_over<K: Kind>(object: &K, context: &Context<K>) -> Result<Option<Duration>, Error> {
    let (patience, waited) =
        (context.waits.deletion, context.memory.leaving_for(object, None, Instant::now()));
    Ok(match heir(object, context).await? {
        Heir::Unknown if waited < HANDOVER.min(patience) => Some(SUCCESSOR_RETRY),
        Heir::Waits(heir) if waited < patience => {
            let told = stays_for(object, &heir);
            if waited > HANDOVER && context.memory.is_news(object, &told.message) {
                context.publish_event(object, &waits("Withdraw", &told, patience));
            }
            Some(SUCCESSOR_RETRY.min(patience.saturating_sub(waited)))
        }
        // A kind that cannot be listed must not hold the deletion, nor a successor that never works.
        Heir::Nobody | Heir::Unknown | Heir::Waits(_) => None,
    })
}

/// Takes the resource out of its target; tells when to look again, if it must be waited for.
async fn leave_target<K: Kind>(object: &K, context: &Context<K>) -> Result<Option<Duration>, Error> {
    if let Some(retry) = handed_over(object, context).await? {
        return Ok(Some(retry));
    }
    let waited = context.memory.withdrawing_for(object, Instant::now());
    let left = context.waits.deletion.saturating_sub(waited);
    let obstacle = match withdraw(object, context, None, WithdrawalPace::AtOnce).await? {
        Ok(Withdrawal::Complete) => return Ok(None),
        Ok(Withdrawal::PodsRemain) => None,
        Err(problem) => Some(problem),
    };
    let retry = if obstacle.is_some() { RETRY } else { PODS_RETRY };
    let problem = obstacle.unwrap_or_else(|| {
        Problem::new(
            Reason::Progressing,
            format!("Pods still refer to the Secrets {}-<number>.", secret::secret_name(object)),
        )
    });
    if !left.is_zero() {
        // Pods that are being replaced are no news.
        if waited > HANDOVER && context.memory.is_news(object, &problem.message) {
            context.publish_event(object, &waits("Withdraw", &problem, context.waits.deletion));
        }
        return Ok(Some(retry.min(left)));
    }
    // Pods that still refer to a revision must be able to start again, so it stays.
    context.publish_event(object, &left_in_target(object, &problem));
    Ok(None)
}

/// Takes away what the resource made at the other side; tells when to ask again, if it must be waited for.
async fn revoke<K: Kind>(
    object: &K,
    context: &Context<K>,
    left: Duration,
) -> Result<Option<Duration>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let turn = context.api_permits.take(&namespace).await;
    let (_, existing) = secret::read(&context.client, object).await?;
    // A server that hangs keeps its own resource waiting and nobody else.
    drop(turn);
    match cleanup(object, context, &existing, object.common().check_timeout.get()).await? {
        Ok(()) => Ok(None),
        // Without a key, waiting is of no use.
        Err(problem) if !left.is_zero() && problem.reason != Reason::KeyNotFound => {
            if context.memory.is_news(object, &problem.message) {
                context.publish_event(object, &waits("Revoke", &problem, context.waits.deletion));
            }
            Ok(Some(RETRY.min(left)))
        }
        Err(problem) => {
            context.publish_event(object, &orphaned(&problem));
            Ok(None)
        }
    }
}

/// Has the other side take away what the resource made there, within a time limit and until the process stops.
async fn cleanup<K: Kind>(
    object: &K,
    context: &Context<K>,
    existing: &Existing,
    limit: Duration,
) -> Result<Result<(), Problem>, Error> {
    let last_verified = context.memory.last_verified(object);
    let namespace = object.namespace().unwrap_or_default();
    let network = context.network.seen_from(&namespace);
    let now = context.cluster.now().await.unwrap_or_else(|_| Now::local());
    let scene = CheckContext {
        network: &network,
        cluster: Some(&context.cluster),
        namespace: &namespace,
        published: existing.values(),
        last_verified: last_verified.as_ref(),
        last_findings: &[],
        proven: false,
        last_upkeep: None,
        unwritable: None,
        now,
    };
    let dismantled = tokio::select! {
        dismantled = tokio::time::timeout(limit, object.cleanup(&scene)) => dismantled,
        () = stopped(context) => return Err(Error::Stopping),
    };
    Ok(dismantled.unwrap_or_else(|_| Err(too_slow(limit))))
}

/// The same for a resource that this version cannot read: nothing can be taken away then, only waited
/// for the version that can.
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
        context.let_go(object, &[finalizer]).await?;
    }
    Ok(Action::await_change())
}

/// Why the entries of a deleted resource stay for a while.
fn stays_for<K: Kind>(object: &K, heir: &str) -> Problem {
    let target = object.common().target.as_ref().and_then(Target::of);
    let place = target.map_or_else(|| "the target".to_owned(), |target| target.to_string());
    Problem::new(
        Reason::Progressing,
        format!(
            "The entries stay in {place} until {heir} takes them over, and go without it then. See what keeps that one from being verified and delivered."
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

/// The same for a resource that cannot be read.
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
