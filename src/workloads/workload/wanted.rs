//! The entries that a delivery needs in a pod template, and whether the template has them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, EnvVar, Volume, VolumeMount};
use serde_json::{Value, json};

use super::{
    Workload,
    item::{ContainerPlace, Item, List, references},
    ownership,
};
use crate::{
    values::CA_FILE,
    workloads::{Delivery, Dialect, Owner},
};

/// The directory in which the image looks for certificate authorities at its start.
pub const AUTHORITIES: &str = "/usr/local/share/ca-certificates";

/// Where W&B's legacy chart mounts the authorities of the directory, for connections to it alone.
pub const DIRECTORY_AUTHORITIES: &str = "/var/run/secrets/wandb.ai/ldap";

/// The entries that a delivery consists of.
pub(super) struct WantedEntries<'a> {
    pub(super) owner: &'a Owner,
    /// The containers that get the entries.
    places: Vec<ContainerPlace>,
    revision: String,
    pub(super) variables: Vec<&'static str>,
    /// The variable names that each container has now, in their order.
    orders: BTreeMap<ContainerPlace, Vec<String>>,
    /// The path at which the certificate authorities are mounted, if there are any.
    pub(super) authorities: Option<String>,
}

impl<'a> WantedEntries<'a> {
    pub(super) fn new<'b>(
        containers: impl IntoIterator<Item = &'b str>,
        owner: &'a Owner,
        delivery: &Delivery<'_>,
    ) -> Self {
        let names = delivery.settings().flat_map(|env| Dialect::Both.names(env));
        Self {
            owner,
            places: containers.into_iter().map(place_of).collect(),
            revision: owner.revision(delivery.number),
            variables: names.filter(|name| delivery.values.get(name).is_some()).collect(),
            orders: BTreeMap::new(),
            authorities: delivery.authorities().map(|_| format!("{AUTHORITIES}/{}.crt", owner.volume)),
        }
    }

    /// The entries for these containers. Variables keep the order that the containers have now, because another
    /// order would be another pod template and replace the pods.
    pub(super) fn of(containers: &[&Container], owner: &'a Owner, delivery: &Delivery<'_>) -> Self {
        let names = containers.iter().map(|container| container.name.as_str());
        let mut orders = BTreeMap::new();
        for container in containers {
            let entries = container.env.iter().flatten().map(|entry| entry.name.clone());
            orders.insert(place_of(&container.name), entries.collect());
        }
        Self { orders, ..Self::new(names, owner, delivery) }
    }

    /// The spec of the server-side apply configuration, or `None` if there are no entries.
    pub(super) fn spec(&self) -> Option<Value> {
        if self.items().is_empty() {
            return None;
        }
        let volume = &self.owner.volume;
        let container = |place: &ContainerPlace| {
            let variables = self.arranged(place).into_iter().map(
                |name| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": self.revision, "key": name}}}),
            );
            let variables = variables.collect::<Vec<_>>();
            match &self.authorities {
                None => json!({"name": place.container, "env": variables}),
                Some(path) => {
                    let mount =
                        json!({"name": volume, "mountPath": path, "subPath": CA_FILE, "readOnly": true});
                    json!({"name": place.container, "env": variables, "volumeMounts": [mount]})
                }
            }
        };
        let containers: Vec<_> = self.places.iter().map(container).collect();
        let pod = if self.authorities.is_some() {
            let items = json!([{"key": CA_FILE, "path": CA_FILE}]);
            json!({
                "containers": containers,
                "volumes": [{"name": volume, "secret": {"secretName": self.revision, "items": items}}],
            })
        } else {
            json!({"containers": containers})
        };
        Some(json!({"template": {"spec": pod}}))
    }

    /// The variables in the order that the container has now, followed by those that it lacks.
    fn arranged(&self, place: &ContainerPlace) -> Vec<&'static str> {
        let order = self.orders.get(place).map(Vec::as_slice).unwrap_or_default();
        let position = |name: &str| order.iter().position(|each| each == name).unwrap_or(order.len());
        let mut variables = self.variables.clone();
        variables.sort_by_key(|name| position(name));
        variables
    }

    /// Whether the item lies in a place that this delivery writes to, but is not part of the delivery. It is then
    /// left from an earlier one.
    pub(super) fn is_left_over(&self, item: &Item) -> bool {
        let is_delivered = match item {
            Item::Variable(place, _) | Item::Mount(place, _) | Item::Container(place) => {
                self.places.contains(place)
            }
            Item::Volume(name) => *name == self.owner.volume,
        };
        is_delivered && !self.items().contains(item)
    }

    /// Whether the delivery includes an entry with the identity of this item.
    pub(super) fn replaces(&self, item: &Item) -> bool {
        self.items().contains(item)
    }

    /// Whether the template has all of the entries, and none that is left from an earlier delivery.
    pub(super) fn is_in_place(&self, seen: &Workload, containers: &[&Container]) -> bool {
        let applied = seen.ownership().applied(&self.owner.manager).map(ownership::items).unwrap_or_default();
        let items = self.items();
        let goes = |item: &Item| !items.contains(item) && (self.is_left_over(item) || applied.contains(item));
        containers.iter().all(|container| self.is_in(container))
            && (self.authorities.is_none() || volumes(seen).any(|volume| self.is_as_wanted(volume)))
            && !references(seen.template(), self.owner).iter().any(|(item, _)| goes(item))
    }

    /// Whether the container has the entries.
    fn is_in(&self, container: &Container) -> bool {
        let variables = self.variables.iter().all(|name| {
            let mut entries = container.env.iter().flatten().filter(|entry| entry.name == *name);
            let entry = entries.next().and_then(reference);
            entry == Some((&self.revision, name)) && entries.next().is_none()
        });
        let mount = self.authorities.as_ref().is_none_or(|path| {
            let mut mounts = container.volume_mounts.iter().flatten();
            mounts.any(|mount| mount.mount_path == *path && self.is_mounted_as_wanted(mount))
        });
        variables && mount
    }

    /// Whether the owner's manager has exactly these entries.
    pub(super) fn is_owned(&self, seen: &Workload) -> bool {
        let Some(applied) = seen.ownership().applied(&self.owner.manager) else {
            return self.items().is_empty();
        };
        let items = self.items();
        let mut references = items.iter().filter(|item| matches!(item, Item::Variable(..) | Item::Volume(_)));
        references.all(|item| ownership::has_reference(applied, item)) && ownership::items(applied) == items
    }

    /// The items that the owner's manager must have.
    fn items(&self) -> BTreeSet<Item> {
        if self.variables.is_empty() && self.authorities.is_none() {
            return BTreeSet::new();
        }
        let of_container = |place: &ContainerPlace| {
            let variables =
                self.variables.iter().map(|name| Item::Variable(place.clone(), (*name).to_owned()));
            let mount = self.authorities.iter().map(|path| Item::Mount(place.clone(), path.clone()));
            variables.chain(mount).chain([Item::Container(place.clone())]).collect::<Vec<_>>()
        };
        let volume = self.authorities.iter().map(|_| Item::Volume(self.owner.volume.clone()));
        self.places.iter().flat_map(of_container).chain(volume).collect()
    }

    /// Whether an applied reference would conflict with what the container has under the name: a value, another
    /// source, or a second entry.
    pub(super) fn is_obstructed(&self, container: &Container) -> bool {
        let has_other = |entry: &EnvVar| {
            entry.value.as_ref().is_some_and(|value| !value.is_empty())
                || (entry.value_from.is_some() && reference(entry).is_none())
        };
        self.variables.iter().any(|name| {
            let mut present = container.env.iter().flatten().filter(|entry| entry.name == *name);
            let (first, second) = (present.next(), present.next());
            second.is_some() || first.is_some_and(has_other)
        })
    }

    pub(super) fn is_ours(&self, volume: &Volume) -> bool {
        let secret = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_ref());
        secret.is_some_and(|secret| self.owner.number_of(secret).is_some())
    }

    fn is_as_wanted(&self, volume: &Volume) -> bool {
        volume.name == self.owner.volume
            && volume.secret.as_ref().is_some_and(|secret| {
                let items = secret.items.as_deref().unwrap_or_default();
                secret.secret_name.as_ref() == Some(&self.revision)
                    && matches!(items, [item] if item.key == CA_FILE && item.path == CA_FILE && item.mode.is_none())
            })
    }

    fn is_mounted_as_wanted(&self, mount: &VolumeMount) -> bool {
        mount.name == self.owner.volume
            && mount.sub_path.as_deref() == Some(CA_FILE)
            && mount.read_only == Some(true)
    }
}

pub(super) fn place_of(container: &str) -> ContainerPlace {
    ContainerPlace { list: List::Containers, container: container.to_owned() }
}

pub(super) fn volumes(seen: &Workload) -> impl Iterator<Item = &Volume> {
    seen.template().and_then(|template| template.spec.as_ref()?.volumes.as_ref()).into_iter().flatten()
}

/// The Secret and key to which an entry refers.
pub(super) fn reference(entry: &EnvVar) -> Option<(&String, &str)> {
    let reference = entry.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some((&reference.name, &reference.key))
}
