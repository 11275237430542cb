//! Finds settings of a workload that a person should know about before a rollout.

use k8s_openapi::{
    api::apps::v1::{DeploymentSpec, StatefulSetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::WorkloadController;

/// Describes the setting because of which every rollout of the workload interrupts the service, if there is one.
pub(super) fn interruption(controller: &WorkloadController) -> Option<String> {
    let target = controller.title();
    let (replicas, unavailable) = match controller {
        WorkloadController::Deployment(deployment) => {
            let spec = deployment.spec.as_ref()?;
            let strategy = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
            if spec.replicas != Some(0) && strategy == Some("Recreate") {
                return Some(format!(
                    "{target} has the strategy Recreate, which ends all pods before it starts new ones, so each rollout interrupts the service."
                ));
            }
            (spec.replicas.unwrap_or(1), unavailable_of_deployment(spec))
        }
        WorkloadController::StatefulSet(set) => {
            let spec = set.spec.as_ref()?;
            let replicas = spec.replicas.unwrap_or(1);
            if replicas == 1 {
                return Some(format!(
                    "{target} has one pod, which ends before its successor starts, so each rollout interrupts the service."
                ));
            }
            (replicas, unavailable_of_stateful_set(spec))
        }
    };
    let pods = match replicas {
        1 => "one pod".to_owned(),
        _ => format!("{replicas} pods"),
    };
    (replicas > 0 && unavailable >= i64::from(replicas)).then(|| {
        format!(
            "{target} has {pods}, and its maxUnavailable allows a rollout to end that many before a new one is ready, so each rollout interrupts the service."
        )
    })
}

/// How many pods a rolling update of the Deployment may take away at once.
fn unavailable_of_deployment(spec: &DeploymentSpec) -> i64 {
    let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let replicas = spec.replicas.unwrap_or(1);
    let amount = |value: Option<&IntOrString>, rounding| match value {
        Some(value) => amount_of(value, replicas, rounding),
        None => amount_of(&IntOrString::String(DEFAULT_SHARE.to_owned()), replicas, rounding),
    };
    let unavailable = amount(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Rounding::Down);
    let surge = amount(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Rounding::Up);
    // If neither limit would let a rollout begin, Kubernetes treats maxUnavailable as one.
    if surge == 0 { unavailable.max(1) } else { unavailable }
}

/// How many pods a rolling update of the StatefulSet may take away at once, where Kubernetes supports setting that.
fn unavailable_of_stateful_set(spec: &StatefulSetSpec) -> i64 {
    let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let set = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    set.map_or(1, |set| amount_of(set, spec.replicas.unwrap_or(1), Rounding::Up))
}

/// The default of both limits of a Deployment.
const DEFAULT_SHARE: &str = "25%";

/// How to round a share that is no whole number of pods.
#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

/// The number of pods for a limit that is given as a number or as a share such as `25%`.
fn amount_of(value: &IntOrString, replicas: i32, rounding: Rounding) -> i64 {
    match value {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(text) => {
            let share =
                text.strip_suffix('%').and_then(|share| share.parse::<u32>().ok()).unwrap_or_default();
            let hundredths = i64::from(share) * i64::from(replicas);
            match rounding {
                Rounding::Up => (hundredths + 99) / 100,
                Rounding::Down => hundredths / 100,
            }
        }
    }
}
