//! What Deployments and `StatefulSet`s have in common, behind one type.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Container, Pod, PodTemplateSpec},
};
use kube::{
    ResourceExt,
    core::{ObjectMeta, Selector, SelectorExt},
};

use crate::workloads::{Owner, references};

/// A Deployment or a `StatefulSet`.
#[derive(Clone, Debug)]
pub(in crate::workloads) enum WorkloadController {
    Deployment(Box<Deployment>),
    StatefulSet(Box<StatefulSet>),
}

impl WorkloadController {
    /// The pod template.
    pub(in crate::workloads) fn template(&self) -> Option<&PodTemplateSpec> {
        match self {
            Self::Deployment(deployment) => deployment.spec.as_ref().map(|spec| &spec.template),
            Self::StatefulSet(set) => set.spec.as_ref().map(|spec| &spec.template),
        }
    }

    /// The selector of the workload's pods, or `None` if it would select every pod.
    pub(in crate::workloads) fn selector(&self) -> Option<Selector> {
        let selector = match self {
            Self::Deployment(deployment) => &deployment.spec.as_ref()?.selector,
            Self::StatefulSet(set) => &set.spec.as_ref()?.selector,
        };
        let selector = Selector::try_from(selector.clone()).ok()?;
        (!selector.selects_all()).then_some(selector)
    }

    /// Whether the pod belongs to the workload, judged by its labels.
    pub(in crate::workloads) fn selects(&self, pod: &Pod) -> bool {
        self.selector().is_some_and(|selector| selector.matches(pod.labels()))
    }

    /// The owner's revisions to which the template refers in any way.
    pub(in crate::workloads) fn revisions(&self, owner: &Owner) -> BTreeSet<u64> {
        references::revisions(self.template().and_then(|template| template.spec.as_ref()), owner)
    }

    /// The object's metadata.
    pub(in crate::workloads) fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Deployment(deployment) => &deployment.metadata,
            Self::StatefulSet(set) => &set.metadata,
        }
    }

    /// The containers of the template, without init containers.
    pub(in crate::workloads) fn containers(&self) -> impl Iterator<Item = &Container> {
        let pod = self.template().and_then(|template| template.spec.as_ref());
        pod.into_iter().flat_map(|pod| &pod.containers)
    }

    /// How many pods the workload should have.
    pub(in crate::workloads) fn desired_replicas(&self) -> i32 {
        let replicas = match self {
            Self::Deployment(deployment) => deployment.spec.as_ref().and_then(|spec| spec.replicas),
            Self::StatefulSet(set) => set.spec.as_ref().and_then(|spec| spec.replicas),
        };
        replicas.unwrap_or(1)
    }

    /// The object as messages name it, such as `Deployment/wandb`.
    pub(in crate::workloads) fn title(&self) -> String {
        let kind = match self {
            Self::Deployment(_) => "Deployment",
            Self::StatefulSet(_) => "StatefulSet",
        };
        format!("{kind}/{}", self.metadata().name.as_deref().unwrap_or_default())
    }
}
