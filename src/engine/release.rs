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
    Context, Kind, Notice, Scene, Tone,
    secret::{self, field_manager},
};
use crate::{
    api::{Reason, names::EventReason},
    error::Error,
    problem::Problem,
};

/// Keeps a resource from going before [`Kind::dismantle`] has run.
pub const FINALIZER: &str = "auth.wandb.com/remote-credentials";

/// What the API server sets for a deletion that leaves dependents (`--cascade=orphan`).
const ORPHAN_FINALIZER: &str = "orphan";

/// How often a server that does not let go is asked again.
const RETRY: Duration = Duration::from_secs(15);

/// Takes away what a deleted resource made on the other side, and lets the resource go: after a while
/// also where that fails, since a server that is gone must not hold a deletion for ever.
pub async fn release<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    let (Some(deleted), true) = (object.meta().deletion_timestamp.as_ref(), is_held(object)) else {
        return Ok(Action::await_change());
    };
    // A Secret that stays must keep working.
    if object.finalizers().iter().any(|finalizer| finalizer == ORPHAN_FINALIZER) {
        context.let_go(object).await?;
        return Ok(Action::await_change());
    }
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
    let obstacle = dismantled.unwrap_or_else(|_| Err(too_slow(limit))).err();
    let waited = Duration::try_from(scene.now.duration_since(deleted.0)).unwrap_or_default();
    match obstacle {
        // Without a key, waiting is of no use.
        Some(problem) if waited < context.deletion_patience && problem.reason != Reason::KeyNotFound => {
            if context.memory.is_news(object, &problem.message) {
                context.tell(object, &waits(&problem, context.deletion_patience)).await;
            }
            return Ok(Action::requeue(RETRY.min(context.deletion_patience.saturating_sub(waited))));
        }
        Some(problem) => context.tell(object, &orphaned(&problem)).await,
        None => {}
    }
    context.let_go(object).await?;
    Ok(Action::await_change())
}

/// The same for a resource that this version cannot read: nothing can be taken away then, only waited
/// for the version that can.
pub(super) async fn release_undecodable<K: Kind>(
    object: &impl Resource<DynamicType = ()>,
    context: &Context<K>,
) -> Result<Action, Error> {
    let Some(deleted) = object.meta().deletion_timestamp.as_ref().filter(|_| is_held(object)) else {
        return Ok(Action::await_change());
    };
    let waited = Duration::try_from(Timestamp::now().duration_since(deleted.0)).unwrap_or_default();
    let left = context.deletion_patience.saturating_sub(waited);
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    let problem = Problem::new(Reason::InvalidSpec, "this version of the operator cannot read the resource.");
    context.tell(object, &orphaned(&problem)).await;
    context.let_go(object).await?;
    Ok(Action::await_change())
}

fn is_held(object: &impl Resource) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

fn too_slow(limit: Duration) -> Problem {
    Problem::new(Reason::TimedOut, format!("The server did not answer within {limit:?} (checkTimeout)."))
}

fn waits(problem: &Problem, patience: Duration) -> Notice {
    Notice {
        tone: Tone::Warning,
        reason: EventReason::DeletionWaits,
        action: "Revoke".to_owned(),
        note: format!("The deletion waits up to {patience:?} for the server: {}", problem.message),
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
    pub(super) async fn hold(&self, object: &K) -> Result<(), Error> {
        if is_held(object) {
            return Ok(());
        }
        self.set_finalizers(object, |mut finalizers| {
            if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
                finalizers.push(FINALIZER.to_owned());
            }
            finalizers
        })
        .await
    }

    async fn let_go(&self, object: &impl Resource<DynamicType = ()>) -> Result<(), Error> {
        self.set_finalizers(object, |mut finalizers| {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
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
