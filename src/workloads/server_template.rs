//! Reads the pod template of a target's server, so that a pod like the server's can be made.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Client;

use super::{Owner, Target, TargetSnapshot, list::workloads, read, workload::WorkloadController};
use crate::error::StepError;

/// The pod template of a server.
#[derive(Clone, Debug)]
pub struct ServerTemplate {
    /// The template.
    pub template: PodTemplateSpec,
    /// The container that runs the server; `None` means the first one.
    pub container: Option<String>,
}

/// Reads the pod template of the target, or `None` if there is no workload of it. Of several workloads, the first one
/// of the spec counts; of those of the W&B operator, one that answers logins with entries of the owner.
pub async fn server_template(
    client: &Client,
    namespace: &str,
    target: &Target,
    owner: &Owner,
) -> Result<Option<ServerTemplate>, StepError> {
    let Some(seen) = read(client, namespace, target).await? else { return Ok(None) };
    let parts = seen.parts();
    let Some((first, _)) = parts.first() else { return Ok(None) };
    Ok(match first {
        TargetSnapshot::Workload(workload) => {
            let container = workload.container_names().first().map(|name| (*name).to_owned());
            of(workload.controller(), container)
        }
        TargetSnapshot::WeightsAndBiases(server) => {
            let all = workloads(client, namespace).await?;
            let found = server.serving_logins(&all, owner);
            found.and_then(|(controller, container)| of(&controller, container))
        }
        // `parts` has already split the target.
        TargetSnapshot::Several(_) => None,
    })
}

fn of(controller: &WorkloadController, container: Option<String>) -> Option<ServerTemplate> {
    Some(ServerTemplate { template: controller.template()?.clone(), container })
}
