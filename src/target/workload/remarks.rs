//! What about a workload deserves a look before a rollout.

use k8s_openapi::{api::apps::v1::DeploymentSpec, apimachinery::pkg::util::intstr::IntOrString};

use super::Controller;

/// What of the workload's settings makes each rollout interrupt the service.
pub(super) fn interruption(controller: &Controller) -> Option<String> {
    let target = controller.title();
    match controller {
        Controller::Deployment(deployment) => {
            let spec = deployment.spec.as_ref()?;
            let strategy = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
            if spec.replicas != Some(0) && strategy == Some("Recreate") {
                return Some(format!(
                    "{target} has the strategy Recreate, which ends all pods before it starts new ones, so each rollout interrupts the service."
                ));
            }
            takes_the_only_pod(spec).then(|| {
                format!(
                    "{target} has one pod, and its maxUnavailable lets a rollout end that before a new one is ready, so each rollout interrupts the service."
                )
            })
        }
        Controller::StatefulSet(set) => {
            let replicas = set.spec.as_ref()?.replicas.unwrap_or(1);
            (replicas == 1).then(|| {
                format!(
                    "{target} has one pod, which ends before its successor starts, so each rollout interrupts the service."
                )
            })
        }
    }
}

/// Whether a rolling update may end the only pod before another one is ready.
fn takes_the_only_pod(spec: &DeploymentSpec) -> bool {
    if spec.replicas.unwrap_or(1) != 1 {
        return false;
    }
    let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let is_none = |value: Option<&IntOrString>| match value {
        Some(IntOrString::Int(number)) => *number == 0,
        Some(IntOrString::String(text)) => text.trim_end_matches('%') == "0",
        None => false,
    };
    let takes_one = match rolling.and_then(|rolling| rolling.max_unavailable.as_ref()) {
        Some(IntOrString::Int(number)) => *number >= 1,
        // A share of one pod is rounded down.
        Some(IntOrString::String(text)) => {
            text.trim_end_matches('%').parse::<u32>().is_ok_and(|share| share >= 100)
        }
        None => false,
    };
    // Where neither would let a rollout begin, Kubernetes takes maxUnavailable as one.
    takes_one || is_none(rolling.and_then(|rolling| rolling.max_surge.as_ref()))
}
