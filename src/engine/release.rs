//! The last run for one resource: what it made on the other side goes before it does.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::controller::Action,
};

use super::{
    Claimant, Context, Kind, Notice, Scene, Tone, claims,
    delivery::{Withdrawal, withdraw},
    secret::{self, field_manager},
};
use crate::{
    api::{DeletionPolicy, Reason, names::EventReason},
    error::Error,
    problem::Problem,
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
        let waited = Duration::try_from(Timestamp::now().duration_since(deleted.0)).unwrap_or_default();
        let left = context.deletion_patience.saturating_sub(waited);
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

/// Takes the resource out of its target; tells when to look again, if it must be waited for.
async fn leave_target<K: Kind>(
    object: &K,
    context: &Context<K>,
    waited: Duration,
    left: Duration,
) -> Result<Option<Duration>, Error> {
    let others = context.others(object).await;
    let successor = Claimant::of(object).filter(|claimant| claims::successor(claimant, &others).is_some());
    let is_replaced = match (&successor, waited < HANDOVER.min(context.deletion_patience)) {
        (Some(claimant), true) => {
            super::delivery::is_absent(object, context, claimant.target.as_ref()).await?
        }
        _ => true,
    };
    if !is_replaced {
        return Ok(Some(Duration::from_secs(1)));
    }
    let obstacle = match withdraw(object, context, None).await? {
        Ok(Withdrawal::Complete) => return Ok(None),
        Ok(Withdrawal::PodsRemain) => None,
        Err(problem) => Some(problem),
    };
    if !left.is_zero() {
        if let Some(problem) = &obstacle
            && context.memory.is_news(object, &problem.message)
        {
            context.tell(object, &waits("Withdraw", problem, context.deletion_patience)).await;
        }
        return Ok(Some(PODS_RETRY.min(left)));
    }
    // Pods that still refer to a revision must be able to start again, so it stays.
    let problem = obstacle.unwrap_or_else(|| {
        Problem::new(Reason::Progressing, "Pods still refer to the revisions of the Secret.")
    });
    context.tell(object, &left_in_target(&problem)).await;
    Ok(None)
}

/// Takes away what the resource made at the other side; tells when to ask again, if it must be waited for.
async fn revoke<K: Kind>(
    object: &K,
    context: &Context<K>,
    left: Duration,
) -> Result<Option<Duration>, Error> {
    let turn = context.turns.acquire().await;
    let (_, existing) = secret::read(&context.client, object).await?;
    let last_verified = context.memory.last_verified(object);
    let namespace = object.namespace().unwrap_or_default();
    let scene = Scene {
        network: &context.network,
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
                context.tell(object, &waits("Revoke", &problem, context.deletion_patience)).await;
            }
            Ok(Some(RETRY.min(left)))
        }
        Err(problem) => {
            context.tell(object, &orphaned(&problem)).await;
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
    let waited = Duration::try_from(Timestamp::now().duration_since(deleted.0)).unwrap_or_default();
    let left = context.deletion_patience.saturating_sub(waited);
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    let problem = Problem::new(Reason::InvalidSpec, "this version of the operator cannot read the resource.");
    context.tell(object, &orphaned(&problem)).await;
    for finalizer in held {
        context.let_go(object, finalizer).await?;
    }
    Ok(Action::await_change())
}

fn too_slow(limit: Duration) -> Problem {
    Problem::new(Reason::TimedOut, format!("The server did not answer within {limit:?} (checkTimeout)."))
}

fn waits(action: &str, problem: &Problem, patience: Duration) -> Notice {
    Notice {
        tone: Tone::Warning,
        reason: EventReason::DeletionWaits,
        action: action.to_owned(),
        note: format!("The deletion waits up to {patience:?}: {}", problem.message),
    }
}

fn left_in_target(problem: &Problem) -> Notice {
    Notice {
        tone: Tone::Warning,
        reason: EventReason::LeftInTarget,
        action: "Withdraw".to_owned(),
        note: format!(
            "What is left in the target, and the Secrets that it refers to, stay; remove them by hand: {}",
            problem.message
        ),
    }
}

fn orphaned(problem: &Problem) -> Notice {
    Notice {
        tone: Tone::Warning,
        reason: EventReason::CredentialsOrphaned,
        action: "Orphan".to_owned(),
        note: format!("What was made at the server is left there; remove it by hand: {}", problem.message),
    }
}

impl<K: Kind> Context<K> {
    /// Makes the resource's deletion wait for [`release`].
    pub(super) async fn hold(&self, object: &K, finalizer: Finalizer) -> Result<(), Error> {
        if finalizer.holds(object) {
            return Ok(());
        }
        self.set_finalizers(object, |mut finalizers| {
            if !finalizers.iter().any(|present| present == finalizer.name()) {
                finalizers.push(finalizer.name().to_owned());
            }
            finalizers
        })
        .await
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
        .await
    }

    /// Changes the finalizers at the version that was read, so that nobody else's is lost.
    async fn set_finalizers(
        &self,
        object: &impl Resource<DynamicType = ()>,
        change: impl FnOnce(Vec<String>) -> Vec<String>,
    ) -> Result<(), Error> {
        let api = Api::<K>::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let Some(current) = api.get_metadata_opt(&object.name_any()).await? else { return Ok(()) };
        if current.uid() != object.uid() {
            return Ok(());
        }
        let before = current.metadata.finalizers.clone().unwrap_or_default();
        let after = change(before.clone());
        if after == before {
            return Ok(());
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
            Ok(_) => Ok(()),
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
