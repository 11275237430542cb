//! What the rest of a run asks of the checks from a pod: what the status says of them, when to look again, and whether
//! anything of them must go.

use std::time::Duration;

use kube::ResourceExt;

use super::{PodMemory, PodPresence, candidate::name_of, cluster};
use crate::{
    api::{CheckFrom, ConditionType, Status, status::ServerPodStatus},
    engine::{
        CheckHistory, Context, Kind, Planned,
        delivery::{Delivered, Progress},
        run_record::ServerPodNews,
    },
    error::{Error, in_words},
};

/// The interval at which a pod that makes the checks is looked at.
const POLL: Duration = Duration::from_secs(1);

/// The wait before a step that needs nothing but what was just written.
const AT_ONCE: Duration = Duration::from_millis(250);

/// The revision of the target that a status says is rolled out.
pub(super) fn rolled_out(status: &Status) -> Option<u64> {
    let is_over = status
        .conditions
        .iter()
        .any(|each| each.type_ == ConditionType::RolledOut.as_str() && each.status == "True");
    status.revision.filter(|_| is_over)
}

/// Whether the target runs with a revision that no pod has looked at since, and nothing is wrong that is being looked at
/// anyway.
pub(super) fn is_due_after_rollout<K: Kind>(
    object: &K,
    context: &Context<K>,
    known: Option<&CheckHistory<K::Evidence>>,
) -> bool {
    let Some(previous) = context.memory.previous_status(object) else { return false };
    known.is_some_and(CheckHistory::is_sound)
        && rolled_out(&previous).is_some_and(|number| proven(object, context) != Some(number))
}

/// The revision after whose rollout the last verdict came.
fn proven<K: Kind>(object: &K, context: &Context<K>) -> Option<u64> {
    let of_status = || context.memory.previous_status(object)?.server_pod.as_ref()?.revision;
    context.memory.server_pod(object).revision.or_else(of_status)
}

/// What the status is to say; `left` is what became of a pod that is not wanted any more.
pub(in crate::engine) fn news<K: Kind>(
    object: &K,
    context: &Context<K>,
    left: ServerPodNews,
) -> ServerPodNews {
    if context.server_pods.is_none() || object.common().check_from == CheckFrom::Operator {
        return left;
    }
    ServerPodNews::Known(ServerPodStatus { name: name_of(object).into(), revision: proven(object, context) })
}

/// The longest time until the pod is looked at again.
pub(in crate::engine) fn requeue_after<K: Kind>(
    object: &K,
    context: &Context<K>,
    delivered: Option<&Delivered>,
) -> Duration {
    if object.common().check_from == CheckFrom::Operator || object.common().suspend {
        return Duration::MAX;
    }
    match context.memory.server_pod(object).presence {
        PodPresence::Preparing => AT_ONCE,
        PodPresence::Ending | PodPresence::Underway => POLL,
        PodPresence::Unknown | PodPresence::Absent | PodPresence::Over => {
            let number = delivered
                .filter(|delivered| matches!(delivered.state, Progress::RolledOut(_)))
                .and_then(|delivered| delivered.revision);
            let is_news = number.is_some() && number != proven(object, context);
            let is_sound = context.memory.history(object).is_some_and(|known| known.is_sound());
            if context.server_pods.is_some() && is_news && is_sound { AT_ONCE } else { Duration::MAX }
        }
    }
}

/// Deletes the pod and its Secret once the status has their verdict.
pub(in crate::engine) async fn tidy<K: Kind>(object: &K, context: &Context<K>) -> Result<(), Error> {
    let memory = context.memory.server_pod(object);
    if memory.presence == PodPresence::Over && is_removed(object, context).await? {
        context.memory.keep_server_pod(object, PodMemory { presence: PodPresence::Absent, ..memory });
    }
    Ok(())
}

/// Deletes both without awaiting a verdict, while the resource is not to be checked. The status keeps naming them.
pub(in crate::engine) async fn pause<K: Kind>(object: &K, context: &Context<K>) -> Result<(), Error> {
    let memory = context.memory.server_pod(object);
    if memory.presence == PodPresence::Absent || !is_named(object, context) {
        return Ok(());
    }
    if memory.presence == PodPresence::Underway {
        release(object, context).await;
    }
    if is_removed(object, context).await? {
        context.memory.keep_server_pod(object, PodMemory { presence: PodPresence::Absent, ..memory });
    }
    Ok(())
}

/// Deletes both, since the operator makes the checks itself, and has the status name them no longer. Whoever asked for
/// that by another spec wants the credentials to be sent by the operator.
pub(in crate::engine) async fn leave<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
) -> Result<ServerPodNews, Error> {
    if !is_named(object, context) || !is_removed(object, context).await? {
        return Ok(ServerPodNews::Unchanged);
    }
    if let Some(login) = K::login(&planned.plan) {
        context.network.seen_from(&object.namespace().unwrap_or_default()).release_elsewhere(&login);
    }
    context.memory.keep_server_pod(object, PodMemory { presence: PodPresence::Absent, revision: None });
    Ok(ServerPodNews::Over)
}

/// Lets others send the credentials that the pod has. If they cannot be read, others wait for as long as the pod could
/// have taken.
async fn release<K: Kind>(object: &K, context: &Context<K>) {
    let network = context.network.seen_from(&object.namespace().unwrap_or_default());
    let Ok(Some(values)) = cluster::values(object, context).await else { return };
    let plan = object.plan_of(&values, &network.system_trust);
    if let Some(login) = plan.as_ref().and_then(K::login) {
        network.release_elsewhere(&login);
    }
}

fn is_named<K: Kind>(object: &K, context: &Context<K>) -> bool {
    context.memory.previous_status(object).is_some_and(|status| status.server_pod.is_some())
}

/// Whether both are gone. Without the right to delete them they stay until the resource goes; the pod ends by itself.
async fn is_removed<K: Kind>(object: &K, context: &Context<K>) -> Result<bool, Error> {
    match cluster::remove(object, context).await {
        Ok(()) => Ok(true),
        Err(Error::Api(error @ kube::Error::Api(_))) => {
            tracing::warn!(
                kind = %K::kind(&()),
                name = name_of(object),
                error = in_words(&error),
                "the pod of a check, or its Secret, was not deleted"
            );
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
