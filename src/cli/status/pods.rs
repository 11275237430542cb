//! The servers that values go to, and which revision their pods run. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Pod, PodSpec},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::ResourceExt;
use serde::Serialize;

use super::observed::{ObservedCluster, ObservedResource, Surroundings};
use crate::{
    api::GROUP,
    workloads::{Target, revisions_in},
};

/// A workload that is somebody's target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerReport {
    pub(super) namespace: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// Whether it is there; absent where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exists: Option<bool>,
    /// How many pods it is to have; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wanted_pods: Option<i32>,
    /// How many of its pods are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ready_pods: Option<i32>,
}

impl ServerReport {
    /// As messages name it, such as `Deployment/wandb`.
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// Every object that is a target, once, in the order of namespaces and names.
pub(super) fn servers(observed: &ObservedCluster) -> Vec<ServerReport> {
    let mut objects = BTreeSet::new();
    for resource in &observed.resources {
        let parts = resource.target().map(Target::objects).unwrap_or_default();
        objects.extend(parts.into_iter().map(|part| (resource.namespace.clone(), part.kind(), part.name())));
    }
    let servers = objects.into_iter().map(|(namespace, kind, name)| {
        let around = observed.around(&namespace);
        server(around, namespace, kind, name)
    });
    servers.collect()
}

/// The object of a target, as far as it was read.
pub(super) fn server(around: &Surroundings, namespace: String, kind: &str, name: &str) -> ServerReport {
    let (exists, wanted_pods, ready_pods) = match kind {
        "Deployment" => {
            let (exists, found) = look_up(around.deployments.as_deref(), name);
            let ready = found.and_then(|each| each.status.as_ref()?.ready_replicas);
            (
                exists,
                found.and_then(|each| each.spec.as_ref()?.replicas),
                found.map(|_| ready.unwrap_or_default()),
            )
        }
        "StatefulSet" => {
            let (exists, found) = look_up(around.stateful_sets.as_deref(), name);
            let ready = found.and_then(|each| each.status.as_ref()?.ready_replicas);
            (
                exists,
                found.and_then(|each| each.spec.as_ref()?.replicas),
                found.map(|_| ready.unwrap_or_default()),
            )
        }
        _ => (look_up(around.weights_and_biases.as_deref(), name).0, None, None),
    };
    let (kind, name) = (kind.to_owned(), name.to_owned());
    ServerReport { namespace, kind, name, exists, wanted_pods, ready_pods }
}

/// Whether the object is there, as far as objects of its kind were read, and the object.
fn look_up<'a, K: ResourceExt>(objects: Option<&'a [K]>, name: &str) -> (Option<bool>, Option<&'a K>) {
    let found = objects.and_then(|objects| objects.iter().find(|each| each.name_any() == name));
    (objects.map(|_| found.is_some()), found)
}

/// A pod that runs with a revision of a resource, or belongs to its target and runs with none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PodReport {
    pub(super) name: String,
    /// The revision; absent where the pod has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    pub(super) ready: bool,
}

/// How many pods run with a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PodsOfRevision {
    /// The revision; absent for the pods that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    pub(super) pods: usize,
    pub(super) ready: usize,
}

impl PodsOfRevision {
    /// The newest revision first, and the pods without one last.
    pub(super) fn count(pods: &[PodReport]) -> Vec<Self> {
        let mut counts = BTreeMap::new();
        for pod in pods {
            let (all, ready): &mut (usize, usize) = counts.entry(pod.revision).or_default();
            *all += 1;
            *ready += usize::from(pod.ready);
        }
        let counts = counts.into_iter().rev();
        counts.map(|(revision, (pods, ready))| Self { revision, pods, ready }).collect()
    }
}

/// The pods of a resource's target that have not ended, by name; nothing where pods could not be read, or there is no
/// target.
pub(super) fn pods_of(observed: &ObservedCluster, resource: &ObservedResource) -> Option<Vec<PodReport>> {
    let (target, spec) = (resource.target()?, resource.spec.as_ref().ok()?);
    let around = observed.around(&resource.namespace);
    let workloads = workloads_of(around, target);
    let pods = around.pods.as_ref()?.iter().filter(|pod| is_alive(pod));
    let mut pods: Vec<_> = pods
        .filter_map(|pod| {
            let revision = revisions_in(pod.spec.as_ref(), &spec.owner).into_iter().next_back();
            let belongs = workloads.iter().any(|workload| workload.selects(pod));
            let ready = is_ready(pod);
            (revision.is_some() || belongs).then(|| PodReport { name: pod.name_any(), revision, ready })
        })
        .collect();
    pods.sort_by(|left, right| left.name.cmp(&right.name));
    Some(pods)
}

/// A Deployment or `StatefulSet` of a target.
pub(super) struct TargetWorkload<'a> {
    /// As messages name it, such as `Deployment/wandb`.
    pub(super) title: String,
    /// Of what its pods are made.
    pub(super) template: Option<&'a PodSpec>,
    selector: &'a LabelSelector,
    /// Whether its controller is about to replace pods, as far as the object says.
    pub(super) is_rolling: bool,
}

impl TargetWorkload<'_> {
    /// Whether the pod is one of its own. A selector without labels is of a kind that this program does not judge.
    pub(super) fn selects(&self, pod: &Pod) -> bool {
        let Some(labels) = self.selector.match_labels.as_ref().filter(|labels| !labels.is_empty()) else {
            return false;
        };
        labels.iter().all(|(name, value)| pod.labels().get(name) == Some(value))
    }
}

/// The Deployments and `StatefulSet`s of the target, as far as they were read.
pub(super) fn workloads_of<'a>(around: &'a Surroundings, target: &Target) -> Vec<TargetWorkload<'a>> {
    let deployments = around.deployments.iter().flatten();
    let deployments =
        deployments.filter(|each| target.includes("Deployment", &each.name_any())).filter_map(|each| {
            let spec = each.spec.as_ref()?;
            Some(TargetWorkload {
                title: format!("Deployment/{}", each.name_any()),
                template: spec.template.spec.as_ref(),
                selector: &spec.selector,
                is_rolling: is_deployment_rolling(each),
            })
        });
    let sets = around.stateful_sets.iter().flatten();
    let sets = sets.filter(|each| target.includes("StatefulSet", &each.name_any())).filter_map(|each| {
        let spec = each.spec.as_ref()?;
        Some(TargetWorkload {
            title: format!("StatefulSet/{}", each.name_any()),
            template: spec.template.spec.as_ref(),
            selector: &spec.selector,
            is_rolling: is_set_rolling(each),
        })
    });
    deployments.chain(sets).collect()
}

/// One that is paused, or has given up, replaces nothing.
fn is_deployment_rolling(deployment: &Deployment) -> bool {
    let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else { return true };
    if status.observed_generation < deployment.metadata.generation {
        return true;
    }
    let conditions = status.conditions.iter().flatten();
    let has_given_up =
        conditions.into_iter().any(|each| each.type_ == "Progressing" && each.status == "False");
    let updated = status.updated_replicas.unwrap_or_default();
    let is_over = updated >= spec.replicas.unwrap_or(1) && updated >= status.replicas.unwrap_or_default();
    !(is_over || has_given_up || spec.paused == Some(true))
}

fn is_set_rolling(set: &StatefulSet) -> bool {
    let (Some(spec), Some(status)) = (&set.spec, &set.status) else { return true };
    if status.observed_generation < set.metadata.generation {
        return true;
    }
    let strategy = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    strategy != Some("OnDelete") && status.update_revision != status.current_revision
}

/// Whether the pod is one of a server that has not ended, and is not about to. One that makes the checks has the labels of
/// a server, and belongs to a resource.
pub(super) fn is_alive(pod: &Pod) -> bool {
    let mut owners = pod.owner_references().iter().filter(|owner| owner.controller == Some(true));
    let group = |version: &str| version.split_once('/').is_some_and(|(group, _)| group == GROUP);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !owners.any(|owner| group(&owner.api_version))
        && pod.metadata.deletion_timestamp.is_none()
        && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
