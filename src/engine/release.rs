//! The last run for one resource: what it made on the other side goes before it does.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::controller::Action,
};

use super::{
    Claimant, Context, Kind, Notice, Scene, claims,
    clock::ApiClock,
    delivery::{Withdrawal, is_absent, withdraw},
    secret::{self, field_manager},
};
use crate::{
    api::{DeletionPolicy, Reason, names::EventReason},
    error::Error,
    problem::Problem,
    target::Target,
};

/// What keeps a resource from going before its traces are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finalizer {
    /// Entries in a target, and the revisions that they refer to.
    Target,
    /// What [`Kind::dismantle`] takes away.
    RemoteCredentials,
}

impl Finalizer {
    const ALL: [Self; 2] = [Self::Target, Self::RemoteCredentials];

    fn name(self) -> &'static str {
        match self {
            Self::Target => "auth.wandb.com/target",
            Self::RemoteCredentials => "auth.wandb.com/remote-credentials",
        }
    }

    /// Whether it holds the resource.
    pub(super) fn holds(self, object: &impl Resource) -> bool {
        object.finalizers().iter().any(|finalizer| finalizer == self.name())
    }
}

/// What the API server sets for a deletion that leaves dependents (`--cascade=orphan`).
const ORPHAN_FINALIZER: &str = "orphan";

/// How often a server that does not let go is asked again.
const RETRY: Duration = Duration::from_secs(15);

/// How often is looked whether a successor has taken over.
const SUCCESSOR_RETRY: Duration = Duration::from_secs(1);

/// How often is looked whether pods still refer to what is to go.
const PODS_RETRY: Duration = Duration::from_secs(2);

/// How long the entries stay for a successor that is to replace them: it takes them over in one step, so
/// that no pod starts without any.
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
        let waited = waited(context, deleted).await?;
        let left = context.waits.deletion.saturating_sub(waited);
        let pending = match finalizer {
            _ if stays => None,
            Finalizer::Target => leave_target(object, context, waited, left).await?,
            Finalizer::RemoteCredentials => revoke(object, context, left).await?,
        };
        if let Some(retry) = pending {
            return Ok(Action::requeue(retry));
        }
        context.let_go(object, finalizer).await?;
    }
    Ok(Action::await_change())
}

/// How long the deletion has been wanted, by the clock that wrote when that began.
async fn waited<K: Kind>(context: &Context<K>, deleted: &Time) -> Result<Duration, Error> {
    let now = ApiClock::read(&context.client).await?.now();
    Ok(Duration::try_from(now.duration_since(deleted.0)).unwrap_or_default())
}

/// Whether no successor is about to take the resource's entries over.
async fn is_replaced<K: Kind>(object: &K, context: &Context<K>) -> Result<bool, Error> {
    // A kind that cannot be listed must not hold the deletion.
    let others = tokio::time::timeout(SUCCESSOR_RETRY, context.others(object)).await.unwrap_or_default();
    match Claimant::of(object).filter(|claimant| claims::successor(claimant, &others).is_some()) {
        Some(claimant) => is_absent(object, context, claimant.target.as_ref()).await,
        None => Ok(true),
    }
}

/// Takes the resource out of its target; tells when to look again, if it must be waited for.
async fn leave_target<K: Kind>(
    object: &K,
    context: &Context<K>,
    waited: Duration,
    left: Duration,
) -> Result<Option<Duration>, Error> {
    if waited < HANDOVER.min(context.waits.deletion) && !is_replaced(object, context).await? {
        return Ok(Some(SUCCESSOR_RETRY));
    }
    let obstacle = match withdraw(object, context, None).await? {
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
            context.tell(object, &waits("Withdraw", &problem, context.waits.deletion));
        }
        return Ok(Some(retry.min(left)));
    }
    // Pods that still refer to a revision must be able to start again, so it stays.
    context.tell(object, &left_in_target(object, &problem));
    Ok(None)
}

/// Takes away what the resource made at the other side; tells when to ask again, if it must be waited for.
async fn revoke<K: Kind>(
    object: &K,
    context: &Context<K>,
    left: Duration,
) -> Result<Option<Duration>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let turn = context.turns.take(&namespace).await;
    let (_, existing) = secret::read(&context.client, object).await?;
    let last_verified = context.memory.last_verified(object);
    let network = context.network.seen_from(&namespace);
    let scene = Scene {
        network: &network,
        client: Some(&context.client),
        namespace: &namespace,
        published: existing.values(),
        last_verified: last_verified.as_ref(),
        last_findings: &[],
        proven: false,
        last_upkeep: None,
        unwritable: None,
        now: Timestamp::now(),
    };
    let limit = object.common().check_timeout.get();
    // A server that hangs keeps its own resource waiting and nobody else.
    drop(turn);
    let dismantled = tokio::time::timeout(limit, object.dismantle(&scene)).await;
    match dismantled.unwrap_or_else(|_| Err(too_slow(limit))) {
        Ok(()) => Ok(None),
        // Without a key, waiting is of no use.
        Err(problem) if !left.is_zero() && problem.reason != Reason::KeyNotFound => {
            if context.memory.is_news(object, &problem.message) {
                context.tell(object, &waits("Revoke", &problem, context.waits.deletion));
            }
            Ok(Some(RETRY.min(left)))
        }
        Err(problem) => {
            context.tell(object, &orphaned(&problem));
            Ok(None)
        }
    }
}

/// The same for a resource that this version cannot read: nothing can be taken away then, only waited
/// for the version that can.
pub(super) async fn release_undecodable<K: Kind>(
    object: &impl Resource<DynamicType = ()>,
    context: &Context<K>,
) -> Result<Action, Error> {
    let held: Vec<_> = Finalizer::ALL.into_iter().filter(|finalizer| finalizer.holds(object)).collect();
    let Some(deleted) = object.meta().deletion_timestamp.as_ref().filter(|_| !held.is_empty()) else {
        return Ok(Action::await_change());
    };
    let waited = waited(context, deleted).await?;
    let left = context.waits.deletion.saturating_sub(waited);
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    let problem = Problem::new(Reason::InvalidSpec, "this version of the operator cannot read the resource.");
    for finalizer in held {
        let notice = match finalizer {
            Finalizer::Target => left_behind(&problem),
            Finalizer::RemoteCredentials => orphaned(&problem),
        };
        context.tell(object, &notice);
        context.let_go(object, finalizer).await?;
    }
    Ok(Action::await_change())
}

fn too_slow(limit: Duration) -> Problem {
    Problem::new(Reason::TimedOut, format!("The server did not answer within {limit:?} (checkTimeout)."))
}

fn waits(action: &str, problem: &Problem, patience: Duration) -> Notice {
    Notice::warning(
        EventReason::DeletionWaits,
        action,
        format!("The deletion waits up to {patience:?}: {}", problem.message),
    )
}

fn left_in_target<K: Kind>(object: &K, problem: &Problem) -> Notice {
    let target = object.common().target.as_ref().and_then(Target::of);
    let place = target.map_or_else(|| "the target".to_owned(), |target| target.to_string());
    Notice::warning(
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
fn left_behind(problem: &Problem) -> Notice {
    Notice::warning(
        EventReason::LeftInTarget,
        "Withdraw",
        format!("What is left in the target, and the Secrets that it refers to, stay: {}", problem.message),
    )
}

fn orphaned(problem: &Problem) -> Notice {
    Notice::warning(
        EventReason::CredentialsOrphaned,
        "Orphan",
        format!("What was made at the server is left there; remove it by hand: {}", problem.message),
    )
}

/// Whether the very resource is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    There,
    Gone,
}

impl<K: Kind> Context<K> {
    /// Makes the resource's deletion wait for [`release`].
    pub(super) async fn hold(&self, object: &K, finalizer: Finalizer) -> Result<(), Error> {
        if finalizer.holds(object) {
            return Ok(());
        }
        let set = self.set_finalizers(object, |mut finalizers| {
            if !finalizers.iter().any(|present| present == finalizer.name()) {
                finalizers.push(finalizer.name().to_owned());
            }
            finalizers
        });
        // What is made for a resource that is gone would stay for ever.
        if set.await? == Presence::Gone { Err(Error::Gone) } else { Ok(()) }
    }

    /// Lets the resource's deletion go on without this.
    pub(super) async fn let_go(
        &self,
        object: &impl Resource<DynamicType = ()>,
        finalizer: Finalizer,
    ) -> Result<(), Error> {
        self.set_finalizers(object, |mut finalizers| {
            finalizers.retain(|present| present != finalizer.name());
            finalizers
        })
        .await?;
        Ok(())
    }

    /// Changes the finalizers at the version that was read, so that nobody else's is lost.
    async fn set_finalizers(
        &self,
        object: &impl Resource<DynamicType = ()>,
        change: impl FnOnce(Vec<String>) -> Vec<String>,
    ) -> Result<Presence, Error> {
        let api = Api::<K>::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let Some(current) = api.get_metadata_opt(&object.name_any()).await? else {
            return Ok(Presence::Gone);
        };
        if current.uid() != object.uid() {
            return Ok(Presence::Gone);
        }
        let before = current.metadata.finalizers.clone().unwrap_or_default();
        let after = change(before.clone());
        if after == before {
            return Ok(Presence::There);
        }
        let patch = serde_json::json!({
            "metadata": {
                "resourceVersion": current.metadata.resource_version,
                "finalizers": after,
            },
        });
        let parameters = PatchParams { field_manager: Some(field_manager::<K>()), ..PatchParams::default() };
        let patched: Result<PartialObjectMeta<K>, _> =
            api.patch_metadata(&object.name_any(), &parameters, &Patch::Merge(patch)).await;
        match patched {
            Ok(_) => Ok(Presence::There),
            // Something in between may answer so, too.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {
                let present = api.get_metadata_opt(&object.name_any()).await?;
                if present.is_some_and(|present| present.uid() == object.uid()) {
                    return Err(kube::Error::Api(answer).into());
                }
                Ok(Presence::Gone)
            }
            Err(error) => Err(error.into()),
        }
    }
}
