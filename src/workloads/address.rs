//! The address that `spec.target` gives: which Kubernetes objects, and which of their containers, get the values.

use std::{collections::BTreeSet, fmt};

use kube::core::ObjectMeta;

use super::rendered_of;
use crate::api::{self, common::WorkloadTarget};

/// The objects that `spec.target` names. They are in the namespace of the resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A Deployment.
    Deployment(WorkloadAddress),
    /// A StatefulSet.
    StatefulSet(WorkloadAddress),
    /// The W&B operator's own resource.
    WeightsAndBiases {
        /// The name of that resource.
        name: String,
    },
    /// Several containers, of one or of several workloads, that always have the same values. Each part is one
    /// container.
    Several(Vec<Self>),
}

/// The container; `None` if the spec names none, which is valid where the pod has only one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadAddress {
    /// The name of the workload.
    pub name: String,
    /// The name of the container; `None` if the spec names none, which is valid if the pod has only one.
    pub container: Option<String>,
}

impl Target {
    /// The kinds of every object that can be a target.
    pub const KINDS: [&'static str; 3] = ["Deployment", "StatefulSet", "WeightsAndBiases"];

    /// The kind of the object. For several objects, the kind of the first one.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deployment(_) => "Deployment",
            Self::StatefulSet(_) => "StatefulSet",
            Self::WeightsAndBiases { .. } => "WeightsAndBiases",
            Self::Several(parts) => parts.first().map_or("", Self::kind),
        }
    }

    /// The kinds of objects whose changes concern this target: its own kind, and the kind of the workloads that the
    /// W&B operator makes of it. It is empty for `Several`; the caller asks for each part.
    pub fn watched_kinds(&self) -> &'static [&'static str] {
        match self {
            Self::Deployment(_) => &["Deployment"],
            Self::StatefulSet(_) => &["StatefulSet"],
            Self::WeightsAndBiases { .. } => &["WeightsAndBiases", "Deployment"],
            Self::Several(_) => &[],
        }
    }

    /// The kind and name of the target from which the W&B operator made this object, or `None` for any other
    /// object.
    pub fn source_of<'a>(kind: &str, object: &'a ObjectMeta) -> Option<(&'static str, &'a str)> {
        let name = rendered_of(object).filter(|_| kind == "Deployment")?;
        Some(("WeightsAndBiases", name))
    }

    /// The name of the object. For several objects, the name of the first one.
    pub fn name(&self) -> &str {
        match self {
            Self::Deployment(address) | Self::StatefulSet(address) => &address.name,
            Self::WeightsAndBiases { name } => name,
            Self::Several(parts) => parts.first().map_or("", Self::name),
        }
    }

    /// The container that the spec names for this target.
    fn container(&self) -> Option<&String> {
        match self {
            Self::Deployment(address) | Self::StatefulSet(address) => address.container.as_ref(),
            Self::WeightsAndBiases { .. } | Self::Several(_) => None,
        }
    }

    /// The single containers or objects that this target consists of.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Several(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    /// Every object of this target, once, in the order of the spec.
    pub fn objects(&self) -> Vec<&Self> {
        let mut objects: Vec<&Self> = Vec::new();
        for part in self.parts() {
            if !objects.iter().any(|object| object.is_same_object(part)) {
                objects.push(part);
            }
        }
        objects
    }

    /// The containers of `object` that this target names. `None` in the list means the only container of the pod.
    pub(super) fn containers_of(&self, object: &Self) -> Vec<Option<String>> {
        let parts = self.parts().iter().filter(|part| part.is_same_object(object));
        parts.map(|part| part.container().cloned()).collect()
    }

    /// Makes one target of these parts; `None` if there are no parts.
    fn of_parts(mut parts: Vec<Self>) -> Option<Self> {
        if parts.len() > 1 { Some(Self::Several(parts)) } else { parts.pop() }
    }

    /// The target that the spec describes, or `None` if `spec.target` has no member.
    pub fn of(spec: &api::TargetSpec) -> Option<Self> {
        let address = |workload: &WorkloadTarget| WorkloadAddress {
            name: workload.name.clone(),
            container: workload.container.clone(),
        };
        let deployment = spec.deployment.as_ref().map(|workload| Self::Deployment(address(workload)));
        let stateful_set = spec.stateful_set.as_ref().map(|workload| Self::StatefulSet(address(workload)));
        let resource = spec.weights_and_biases.as_ref();
        let first = deployment
            .or(stateful_set)
            .or_else(|| resource.map(|resource| Self::WeightsAndBiases { name: resource.name.clone() }))?;
        let mut more: BTreeSet<Self> = spec
            .additional_containers
            .iter()
            .filter_map(|each| {
                let deployment = each.deployment.as_ref().map(|workload| Self::Deployment(address(workload)));
                let set = each.stateful_set.as_ref().map(|workload| Self::StatefulSet(address(workload)));
                deployment.or(set)
            })
            .collect();
        // The order of `additionalContainers` has no meaning, so equal sets make equal targets.
        more.remove(&first);
        Self::of_parts([first].into_iter().chain(more).collect())
    }

    /// Reads a target from the text that [`Display`](fmt::Display) wrote. The text does not name containers, so the
    /// result has none.
    pub fn parse(text: &str) -> Option<Self> {
        let parts = text.replace(LAST, SEPARATOR);
        let parts: Option<Vec<Self>> = parts.split(SEPARATOR).map(Self::parse_one).collect();
        Self::of_parts(parts?)
    }

    fn parse_one(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let address = WorkloadAddress { name: name.to_owned(), container: None };
        match kind {
            "Deployment" => Some(Self::Deployment(address)),
            "StatefulSet" => Some(Self::StatefulSet(address)),
            "WeightsAndBiases" => Some(Self::WeightsAndBiases { name: name.to_owned() }),
            _ => None,
        }
    }

    /// Whether both name the same object, whatever their containers are.
    fn is_same_object(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.name() == other.name()
    }

    /// Whether this target includes the object of this kind and name.
    pub fn includes(&self, kind: &str, name: &str) -> bool {
        self.parts().iter().any(|part| part.kind() == kind && part.name() == name)
    }

    /// Whether both targets have an object in common.
    pub fn shares_object(&self, other: &Self) -> bool {
        self.parts().iter().any(|part| other.includes(part.kind(), part.name()))
    }

    /// Whether every object of this target is also an object of `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.parts().iter().all(|part| other.includes(part.kind(), part.name()))
    }

    /// The objects that both targets have in common, or `None` if there are none.
    pub fn common_with(&self, other: &Self) -> Option<Self> {
        let parts = self.parts().iter().filter(|part| other.includes(part.kind(), part.name()));
        Self::of_parts(parts.cloned().collect())
    }
}

const SEPARATOR: &str = ", ";
const LAST: &str = " and ";

/// Writes the object as `Deployment/wandb`, and several objects as a list in prose.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.objects();
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                f.write_str(if index + 1 == objects.len() { LAST } else { SEPARATOR })?;
            }
            write!(f, "{}/{}", object.kind(), object.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(spec: serde_json::Value) -> Target {
        Target::of(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    #[test]
    fn several_are_listed_once_in_an_order_of_their_own() {
        let container =
            |name: &str, container: &str| json!({"deployment": {"name": name, "container": container}});
        let target = of(json!({
            "deployment": {"name": "app"},
            "additionalContainers": [
                {"statefulSet": {"name": "worker"}},
                container("api", "sidecar"),
                container("api", "api"),
                {"deployment": {"name": "app"}},
            ],
        }));
        assert_eq!(target.to_string(), "Deployment/app, Deployment/api and StatefulSet/worker");
        assert_eq!(target.parts().len(), 4);
        let reordered = of(json!({
            "deployment": {"name": "app"},
            "additionalContainers": [container("api", "api"), container("api", "sidecar"), {"statefulSet": {"name": "worker"}}],
        }));
        assert_eq!(target, reordered);
        let one = of(json!({"deployment": {"name": "app"}, "additionalContainers": []}));
        assert!(!matches!(one, Target::Several(_)));
    }

    #[test]
    fn what_is_written_can_be_read() {
        for text in [
            "Deployment/wandb",
            "StatefulSet/wandb",
            "WeightsAndBiases/wandb",
            "Deployment/app and Deployment/api",
            "Deployment/app, Deployment/api and StatefulSet/app",
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "wandb", "Pod/wandb", "Deployment/a and ", "Deployment/a, Pod/b"] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }

    #[test]
    fn targets_are_compared_by_their_objects() {
        let parse = |text| Target::parse(text).unwrap();
        for (a, b, shared, is_within) in [
            ("Deployment/a", "Deployment/a", Some("Deployment/a"), true),
            ("Deployment/a", "StatefulSet/a", None, false),
            ("Deployment/a", "Deployment/a and Deployment/b", Some("Deployment/a"), true),
            ("Deployment/a and Deployment/b", "Deployment/b", Some("Deployment/b"), false),
            ("Deployment/a and Deployment/b", "Deployment/b and Deployment/c", Some("Deployment/b"), false),
        ] {
            let (a, b) = (parse(a), parse(b));
            assert_eq!(a.common_with(&b).map(|shared| shared.to_string()).as_deref(), shared);
            assert_eq!((a.shares_object(&b), a.is_within(&b)), (shared.is_some(), is_within), "{a}; {b}");
        }
    }
}
