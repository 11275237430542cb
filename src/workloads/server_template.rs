//! Reads the pod template of a target's server, so that a pod like the server's can be made.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Secret};
use kube::{Api, Client};

use super::{Owner, Target, TargetSnapshot, list::workloads, read, workload::WorkloadController};
use crate::{api::Reason, error::StepError, problem::Problem};

/// The pod template of a server.
#[derive(Clone, Debug)]
pub struct ServerTemplate {
    /// The template.
    pub template: PodTemplateSpec,
    /// The container that runs the server; `None` means the first one.
    pub container: Option<String>,
    /// The keys of the Secrets that the server has as a whole (`envFrom`), by their names. Their values are not kept.
    pub secret_keys: BTreeMap<String, BTreeSet<String>>,
}

impl ServerTemplate {
    /// The container that runs the server.
    fn server(&self) -> Option<&Container> {
        let containers = &self.template.spec.as_ref()?.containers;
        match &self.container {
            Some(name) => containers.iter().find(|container| container.name == *name),
            None => containers.first(),
        }
    }
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
    let found = match first {
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
    };
    let Some(template) = found else { return Ok(None) };
    let secret_keys = secret_keys(client, namespace, &template).await?;
    Ok(Some(ServerTemplate { secret_keys, ..template }))
}

fn of(controller: &WorkloadController, container: Option<String>) -> Option<ServerTemplate> {
    let template = controller.template()?.clone();
    Some(ServerTemplate { template, container, secret_keys: BTreeMap::new() })
}

/// Reads which keys the Secrets have, of which the server has every key as a variable.
async fn secret_keys(
    client: &Client,
    namespace: &str,
    server: &ServerTemplate,
) -> Result<BTreeMap<String, BTreeSet<String>>, StepError> {
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let sources = server.server().into_iter().flat_map(|container| container.env_from.iter().flatten());
    let mut keys = BTreeMap::new();
    for source in sources.filter_map(|source| source.secret_ref.as_ref()) {
        match secrets.get_opt(&source.name).await {
            Ok(found) => {
                let data = found.and_then(|found| found.data).unwrap_or_default();
                keys.insert(source.name.clone(), data.into_keys().collect());
            }
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                let message = format!(
                    "The operator is not allowed to read the Secret \"{}\", from which the server may have its proxies. Give its service account the verb get on it.",
                    source.name
                );
                return Err(Problem::new(Reason::Forbidden, message).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(keys)
}
