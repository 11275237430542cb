//! Entries of the lists in a pod template, by their identity.

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};

use crate::workloads::Owner;

/// An entry of a list in a pod template, by what identifies it there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A container.
    Container(ContainerPlace),
    /// An environment variable of a container.
    Variable(ContainerPlace, String),
    /// A volume mount of a container, by its path.
    Mount(ContainerPlace, String),
    /// A volume of the pod.
    Volume(String),
}

/// Which container of the pod template is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerPlace {
    pub(super) list: List,
    pub(super) container: String,
}

/// A list of containers in a pod spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Containers,
    InitContainers,
}

impl List {
    pub(super) const ALL: [Self; 2] = [Self::Containers, Self::InitContainers];

    /// The name of the list in a pod spec.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }

    fn of(self, pod: &PodSpec) -> &[k8s_openapi::api::core::v1::Container] {
        match self {
            Self::Containers => &pod.containers,
            Self::InitContainers => pod.init_containers.as_deref().unwrap_or_default(),
        }
    }
}

/// The entries that refer to revisions of the owner, each with the number of its revision. These entries are the
/// owner's.
pub(super) fn references(template: Option<&PodTemplateSpec>, owner: &Owner) -> Vec<(Item, u64)> {
    let Some(pod) = template.and_then(|template| template.spec.as_ref()) else {
        return Vec::new();
    };
    let containers = List::ALL.into_iter().flat_map(|list| list.of(pod).iter().map(move |each| (list, each)));
    let variables = containers.flat_map(|(list, container)| {
        container.env.iter().flatten().filter_map(move |entry| {
            let reference = entry.value_from.as_ref()?.secret_key_ref.as_ref()?;
            let place = ContainerPlace { list, container: container.name.clone() };
            Some((Item::Variable(place, entry.name.clone()), owner.number_of(&reference.name)?))
        })
    });
    let volumes = pod.volumes.iter().flatten().filter_map(|volume| {
        let secret = volume.secret.as_ref()?.secret_name.as_ref()?;
        Some((Item::Volume(volume.name.clone()), owner.number_of(secret)?))
    });
    variables.chain(volumes).collect()
}
