//! `spec.target`, as the one workload that it names.

use std::fmt;

use kube::core::ObjectMeta;

use super::rendered_of;
use crate::api::{self, common::WorkloadTarget};

/// The one workload that a spec names, in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A Deployment.
    Deployment(WorkloadAddress),
    /// A StatefulSet.
    StatefulSet(WorkloadAddress),
    /// The W&B operator's own resource.
    WeightsAndBiases {
        /// Its name.
        name: String,
    },
}

/// A container of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadAddress {
    /// The workload's name.
    pub name: String,
    /// The container's name; nothing where the pod has only one.
    pub container: Option<String>,
}

impl Target {
    /// The kinds of every object that can be a target.
    pub const KINDS: [&'static str; 3] = ["Deployment", "StatefulSet", "WeightsAndBiases"];

    /// The kind of the object.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deployment(_) => "Deployment",
            Self::StatefulSet(_) => "StatefulSet",
            Self::WeightsAndBiases { .. } => "WeightsAndBiases",
        }
    }

    /// The kinds of the objects whose changes concern the target: its own, and what is made of it.
    pub fn watched_kinds(&self) -> &'static [&'static str] {
        match self {
            Self::Deployment(_) => &["Deployment"],
            Self::StatefulSet(_) => &["StatefulSet"],
            Self::WeightsAndBiases { .. } => &["WeightsAndBiases", "Deployment"],
        }
    }

    /// The kind and the name of the target that an object of this kind was made of by somebody else.
    pub fn source_of<'a>(kind: &str, object: &'a ObjectMeta) -> Option<(&'static str, &'a str)> {
        let name = rendered_of(object).filter(|_| kind == "Deployment")?;
        Some(("WeightsAndBiases", name))
    }

    /// The name of the object.
    pub fn name(&self) -> &str {
        match self {
            Self::Deployment(address) | Self::StatefulSet(address) => &address.name,
            Self::WeightsAndBiases { name } => name,
        }
    }

    /// The spec's target; nothing where it has no member.
    pub fn of(spec: &api::Target) -> Option<Self> {
        let address = |workload: &WorkloadTarget| WorkloadAddress {
            name: workload.name.clone(),
            container: workload.container.clone(),
        };
        let deployment = spec.deployment.as_ref().map(|workload| Self::Deployment(address(workload)));
        let stateful_set = spec.stateful_set.as_ref().map(|workload| Self::StatefulSet(address(workload)));
        let resource = spec.weights_and_biases.as_ref();
        deployment
            .or(stateful_set)
            .or_else(|| resource.map(|resource| Self::WeightsAndBiases { name: resource.name.clone() }))
    }

    /// The target that [`Display`](fmt::Display) wrote; any container of it.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let address = WorkloadAddress { name: name.to_owned(), container: None };
        match kind {
            "Deployment" => Some(Self::Deployment(address)),
            "StatefulSet" => Some(Self::StatefulSet(address)),
            "WeightsAndBiases" => Some(Self::WeightsAndBiases { name: name.to_owned() }),
            _ => None,
        }
    }

    /// Whether both are the same object, whichever container they mean.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.name() == other.name()
    }
}

/// The object, such as `Deployment/wandb`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.name())
    }
}
