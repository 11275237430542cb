//! What Deployments and `StatefulSet`s have in common.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Pod, PodTemplateSpec},
};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};

use crate::target::{Owner, references};

/// A Deployment or a `StatefulSet`.
#[derive(Clone, Debug)]
pub(in crate::target) enum Controller {
    Deployment(Box<Deployment>),
    StatefulSet(Box<StatefulSet>),
}

impl Controller {
    pub(super) fn template(&self) -> Option<&PodTemplateSpec> {
        match self {
            Self::Deployment(deployment) => deployment.spec.as_ref().map(|spec| &spec.template),
            Self::StatefulSet(set) => set.spec.as_ref().map(|spec| &spec.template),
        }
    }

    /// What selects the workload's pods; nothing where it would select everything.
    pub(in crate::target) fn selector(&self) -> Option<Selector> {
        let selector = match self {
            Self::Deployment(deployment) => &deployment.spec.as_ref()?.selector,
            Self::StatefulSet(set) => &set.spec.as_ref()?.selector,
        };
        let selector = Selector::try_from(selector.clone()).ok()?;
        (!selector.selects_all()).then_some(selector)
    }

    /// Whether the pod is one of the workload's.
    pub(in crate::target) fn selects(&self, pod: &Pod) -> bool {
        self.selector().is_some_and(|selector| selector.matches(pod.labels()))
    }

    /// The owner's revisions that the template refers to in any way.
    pub(in crate::target) fn revisions(&self, owner: &Owner) -> BTreeSet<u64> {
        references::revisions(self.template().and_then(|template| template.spec.as_ref()), owner)
    }

    /// The object, such as `Deployment/wandb`.
    pub(in crate::target) fn title(&self) -> String {
        let (kind, metadata) = match self {
            Self::Deployment(deployment) => ("Deployment", &deployment.metadata),
            Self::StatefulSet(set) => ("StatefulSet", &set.metadata),
        };
        format!("{kind}/{}", metadata.name.as_deref().unwrap_or_default())
    }
}
