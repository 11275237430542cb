//! Reads the pod template of a target's server, so that a pod like the server's can be made.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, KeyToPath, PodTemplateSpec, Secret};
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
    /// What each source of the server's `envFrom` has, in that order.
    pub sources: Vec<SourceContents>,
}

/// The keys of a Secret or ConfigMap that a server has as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceContents {
    /// A Secret's, whose values are not kept.
    Secret(Vec<String>),
    /// A ConfigMap's, with their values.
    ConfigMap(BTreeMap<String, String>),
}

impl ServerTemplate {
    /// The container that runs the server.
    pub fn server(&self) -> Option<&Container> {
        let containers = &self.template.spec.as_ref()?.containers;
        match &self.container {
            Some(name) => containers.iter().find(|container| container.name == *name),
            None => containers.first(),
        }
    }
}

/// Reads the pod template of the target, or `None` if there is no workload of it. Of several workloads, the first one
/// of the spec counts; of those of the W&B operator, one that answers logins with entries of the owner. `given` are the
/// authorities that the owner has given to the server: a `WeightsAndBiases` resource puts them among others, and the
/// template is returned without them.
pub async fn server_template(
    client: &Client,
    namespace: &str,
    target: &Target,
    owner: &Owner,
    given: Option<&str>,
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
            let found = found.and_then(|(controller, container)| of(&controller, container));
            match (found, given) {
                (Some(found), Some(given)) => Some(without(client, namespace, found, given).await?),
                (found, _) => found,
            }
        }
        // `parts` has already split the target.
        TargetSnapshot::Several(_) => None,
    };
    let Some(template) = found else { return Ok(None) };
    let sources = template.server().and_then(|server| server.env_from.clone()).unwrap_or_default();
    let sources = read_sources(client, namespace, &sources).await?;
    Ok(Some(ServerTemplate { sources, ..template }))
}

fn of(controller: &WorkloadController, container: Option<String>) -> Option<ServerTemplate> {
    let template = controller.template()?.clone();
    Some(ServerTemplate { template, container, sources: Vec::new() })
}

/// Reads what the sources have. One that does not exist has nothing.
async fn read_sources(
    client: &Client,
    namespace: &str,
    sources: &[EnvFromSource],
) -> Result<Vec<SourceContents>, StepError> {
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let mut found = Vec::new();
    for source in sources {
        found.push(if let Some(secret) = &source.secret_ref {
            let secret = readable(secrets.get_opt(&secret.name).await, "Secret", &secret.name)?;
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            SourceContents::Secret(data.into_keys().collect())
        } else {
            let name = source.config_map_ref.as_ref().map(|map| map.name.as_str()).unwrap_or_default();
            let map = readable(maps.get_opt(name).await, "ConfigMap", name)?;
            SourceContents::ConfigMap(map.and_then(|map| map.data).unwrap_or_default())
        });
    }
    Ok(found)
}

/// What was read; that it may not be is a problem.
fn readable<T>(answer: kube::Result<Option<T>>, kind: &str, name: &str) -> Result<Option<T>, StepError> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_forbidden() => Err(Problem::new(
            Reason::Forbidden,
            format!(
                "The operator is not allowed to read the {kind} \"{name}\", from which the server may have its proxies. Give its service account the verb get on it."
            ),
        )
        .into()),
        answer => Ok(answer?),
    }
}

/// The template without the files of its ConfigMaps that are these authorities.
async fn without(
    client: &Client,
    namespace: &str,
    mut server: ServerTemplate,
    authorities: &str,
) -> Result<ServerTemplate, StepError> {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let Some(spec) = server.template.spec.as_mut() else { return Ok(server) };
    let mut kept = Vec::new();
    for mut volume in spec.volumes.take().unwrap_or_default() {
        if let Some(source) = &mut volume.config_map
            && let Some(map) = readable(maps.get_opt(&source.name).await, "ConfigMap", &source.name)?
            && let Some(files) = files_without(source.items.as_deref(), &map, authorities)
        {
            // No files at all would mean every key.
            if files.is_empty() {
                continue;
            }
            source.items = Some(files);
        }
        kept.push(volume);
    }
    spec.volumes = Some(kept);
    Ok(server)
}

/// The files of a ConfigMap without these authorities; `None` if they are not in it.
fn files_without(items: Option<&[KeyToPath]>, map: &ConfigMap, authorities: &str) -> Option<Vec<KeyToPath>> {
    let data = map.data.as_ref()?;
    let every =
        || data.keys().map(|key| KeyToPath { key: key.clone(), path: key.clone(), mode: None }).collect();
    let files: Vec<_> = items.map_or_else(every, <[_]>::to_vec);
    let is_meant =
        |file: &KeyToPath| data.get(&file.key).is_some_and(|text| text.trim() == authorities.trim());
    let left: Vec<_> = files.iter().filter(|file| !is_meant(file)).cloned().collect();
    (left.len() < files.len()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_config_map_the_files_stay_that_are_not_the_owners() {
        let file =
            |key: &str, path: &str| KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None };
        let data = [("customCA0.crt", "theirs"), ("customCA1.crt", "ours\n")];
        let data = data.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let map = ConfigMap { data: Some(data), ..ConfigMap::default() };
        assert_eq!(files_without(None, &map, "ours"), Some(vec![file("customCA0.crt", "customCA0.crt")]));
        assert_eq!(files_without(None, &map, "others"), None);
        let items = [file("customCA1.crt", "a.crt")];
        assert_eq!(files_without(Some(&items), &map, "ours"), Some(Vec::new()));
        assert_eq!(files_without(Some(&[file("customCA0.crt", "a.crt")]), &map, "ours"), None);
    }
}
