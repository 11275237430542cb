//! The step of the checks in a run, where a pod like the server's makes them.

use kube::ResourceExt;

use super::{
    PodMemory, PodPresence, ServerPods,
    candidate::PodCheck,
    decide::is_settled,
    outcome,
    step::{PodLook, PodStep, VerdictNeed},
};
use crate::{
    api::Reason,
    engine::{
        CheckHistory, CheckedInputs, Context, Findings, Kind, Planned, Renewal, Values,
        checks::{examine::conclude, terms::terms},
    },
    error::Error,
    problem::Problem,
};

/// The findings for the current inputs: remembered ones, those of a pod that has answered, or none yet. `known` is what
/// is remembered, and whether that is recent enough; `published` is what the Secret of the resource has.
pub(in crate::engine) async fn examine_from_pod<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    checked_inputs: &CheckedInputs,
    known: (Option<CheckHistory<K::Evidence>>, HistoryState),
    published: Option<&Values>,
) -> Result<CheckHistory<K::Evidence>, Error> {
    let (known, recency) = known;
    let memory = context.memory.server_pod(object);
    let need = match recency {
        HistoryState::Recent if !super::news::is_due_after_rollout(object, context, known.as_ref()) => {
            VerdictNeed::Known
        }
        _ => VerdictNeed::Due,
    };
    if let Some(known) = known.as_ref().filter(|_| is_settled(need, memory.presence)) {
        context.memory.remember(object, known.clone());
        return Ok(known.clone());
    }
    let namespace = object.namespace().unwrap_or_default();
    let terms = terms(object, known.as_ref(), &planned.check_key, checked_inputs);
    let network = context.network.seen_from(&namespace).on_terms(terms);
    let presence = |presence| PodMemory { presence, ..memory.clone() };
    let pods = context.server_pods.as_deref();
    let look = match pods.and_then(|pods| Some((pods, PodCheck::new(object, planned, checked_inputs, pods)?)))
    {
        Some((pods, check)) => {
            let _permit = context.api_permits.take_again(&namespace).await;
            context.cluster.now().await?;
            let presence = memory.presence;
            let network = &network;
            let step = PodStep { object, context, planned, network, pods, check, published, need, presence };
            step.take().await?
        }
        None if need == VerdictNeed::Known => PodLook::Idle,
        None => PodLook::Over { findings: disabled(planned, pods), revision: None },
    };
    let (findings, revision) = match look {
        PodLook::Over { findings, revision } => (findings, revision),
        PodLook::Underway(words) => {
            context.memory.keep_server_pod(object, presence(PodPresence::Underway));
            return Ok(meanwhile(known, planned, &words));
        }
        PodLook::Preparing(words) => {
            context.memory.keep_server_pod(object, presence(PodPresence::Preparing));
            return Ok(meanwhile(known, planned, &words));
        }
        PodLook::Ending(words) => {
            context.memory.keep_server_pod(object, presence(PodPresence::Ending));
            return Ok(meanwhile(known, planned, &words));
        }
        PodLook::Idle => {
            context.memory.keep_server_pod(object, presence(PodPresence::Absent));
            let Some(known) = known else { return Err(Error::Gone) };
            context.memory.remember(object, known.clone());
            return Ok(known);
        }
    };
    let over = if pods.is_some() { PodPresence::Over } else { PodPresence::Absent };
    // A rollout of which a pod could say nothing is looked at again.
    let revision = revision.filter(|_| has_answered(&findings)).or(memory.revision);
    context.memory.keep_server_pod(object, PodMemory { presence: over, revision });
    context.metrics.checked(object, &findings);
    let outcome = outcome::outcome(findings, network.usage());
    drop(network);
    conclude(object, context, (known.as_ref(), &planned.check_key), outcome, Renewal::Never, checked_inputs)
        .await
}

/// Whether what is remembered is recent enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum HistoryState {
    /// It is.
    Recent,
    /// It is not, or is about other inputs.
    Outdated,
}

/// What is known until the pod has answered: what it was before, if that is about the same inputs.
fn meanwhile<K: Kind>(
    known: Option<CheckHistory<K::Evidence>>,
    planned: &Planned<K>,
    words: &str,
) -> CheckHistory<K::Evidence> {
    let same =
        known.filter(|known| !known.is_outdated(&planned.check_key) && !known.findings.list.is_empty());
    same.unwrap_or_else(|| {
        let (findings, pending) = outcome::under_way(planned, words);
        CheckHistory::pending(planned.check_key.clone(), findings, pending)
    })
    .under_way()
}

fn has_answered(findings: &Findings) -> bool {
    let absent = [Reason::ServerPodNotStarted, Reason::ServerPodNoVerdict];
    !findings.failure().is_some_and(|failure| absent.contains(&failure.reason))
}

/// That the operator makes no such pods, or none for this resource.
fn disabled<K: Kind>(planned: &Planned<K>, pods: Option<&ServerPods>) -> Findings {
    let problem = match pods {
        None => Problem::new(
            Reason::ServerPodsDisabled,
            "spec.checkFrom is ServerPod, and this operator was installed without the right to create pods, so nothing was checked. What was verified before stays published. Set serverPodChecks.enabled to true in the values of the chart, or spec.checkFrom to Operator.",
        ),
        Some(_) => Problem::new(
            Reason::ServerPodNotStarted,
            "The values are made by the checks themselves, so no pod can make these. Set spec.checkFrom to Operator.",
        ),
    };
    outcome::without_verdict(planned, problem)
}
