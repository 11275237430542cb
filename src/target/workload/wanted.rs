//! What a delivery makes of a pod template.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar, Volume, VolumeMount};
use serde_json::{Value, json};

use super::{
    Workload,
    item::{Item, List, Place, references},
    ownership,
};
use crate::{
    engine::CA_FILE,
    target::{Delivery, Dialect, Owner},
};

/// Where the image looks for authorities at its start.
const AUTHORITIES: &str = "/usr/local/share/ca-certificates";

/// The entries that a delivery consists of.
pub(super) struct Wanted<'a> {
    pub(super) owner: &'a Owner,
    pub(super) place: Place,
    revision: String,
    pub(super) variables: Vec<&'static str>,
    /// The path of the file with authorities, where there are any.
    pub(super) authorities: Option<String>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(container: &str, owner: &'a Owner, delivery: &Delivery<'_>) -> Self {
        let names = delivery.settings().flat_map(|env| Dialect::Local.names(env));
        Self {
            owner,
            place: Place { list: List::Containers, container: container.to_owned() },
            revision: owner.revision(delivery.number),
            variables: names.filter(|name| delivery.values.get(name).is_some()).collect(),
            authorities: delivery.authorities().map(|_| format!("{AUTHORITIES}/{}.crt", owner.volume)),
        }
    }

    /// The same in the order that the container has already: another one would be another pod template.
    pub(super) fn in_order_of(mut self, container: &Container) -> Self {
        let position = |name: &str| {
            let entries = container.env.as_deref().unwrap_or_default();
            entries.iter().position(|entry| entry.name == name).unwrap_or(entries.len())
        };
        self.variables.sort_by_key(|name| position(name));
        self
    }

    /// The spec of the server-side apply configuration; nothing where nothing is wanted.
    pub(super) fn spec(&self) -> Option<Value> {
        if self.items().is_empty() {
            return None;
        }
        let variables = self.variables.iter().map(
            |name| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": self.revision, "key": name}}}),
        );
        let (container, variables) = (&self.place.container, variables.collect::<Vec<_>>());
        let pod = match &self.authorities {
            None => json!({"containers": [{"name": container, "env": variables}]}),
            Some(path) => {
                let volume = &self.owner.volume;
                let mount = json!({"name": volume, "mountPath": path, "subPath": CA_FILE, "readOnly": true});
                let items = json!([{"key": CA_FILE, "path": CA_FILE}]);
                json!({
                    "containers": [{"name": container, "env": variables, "volumeMounts": [mount]}],
                    "volumes": [{"name": volume, "secret": {"secretName": self.revision, "items": items}}],
                })
            }
        };
        Some(json!({"template": {"spec": pod}}))
    }

    /// Whether the item is one that this delivery, unlike an earlier one, has nothing for.
    pub(super) fn is_left_over(&self, item: &Item) -> bool {
        let is_delivered = match item {
            Item::Variable(place, _) | Item::Mount(place, _) | Item::Container(place) => *place == self.place,
            Item::Volume(name) => *name == self.owner.volume,
        };
        is_delivered && !self.items().contains(item)
    }

    /// Whether the template has all of this, and nothing left over.
    pub(super) fn is_in_place(&self, seen: &Workload, container: &Container) -> bool {
        let variables = self.variables.iter().all(|name| {
            let mut entries = container.env.iter().flatten().filter(|entry| entry.name == *name);
            let entry = entries.next().and_then(reference);
            entry == Some((&self.revision, name)) && entries.next().is_none()
        });
        let file = self.authorities.as_ref().is_none_or(|path| {
            let mounts = container.volume_mounts.as_deref().unwrap_or_default();
            volumes(seen).any(|volume| self.is_as_wanted(volume))
                && mounts.iter().any(|mount| mount.mount_path == *path && self.is_mounted_as_wanted(mount))
        });
        let applied = seen.ownership().applied(&self.owner.manager).map(ownership::items).unwrap_or_default();
        let items = self.items();
        let goes = |item: &Item| !items.contains(item) && (self.is_left_over(item) || applied.contains(item));
        variables && file && !references(seen.template(), self.owner).iter().any(|(item, _)| goes(item))
    }

    /// Whether the owner's manager has exactly this.
    pub(super) fn is_owned(&self, seen: &Workload) -> bool {
        let Some(applied) = seen.ownership().applied(&self.owner.manager) else {
            return self.items().is_empty();
        };
        let items = self.items();
        let mut references = items.iter().filter(|item| matches!(item, Item::Variable(..) | Item::Volume(_)));
        references.all(|item| ownership::has_reference(applied, item)) && ownership::items(applied) == items
    }

    /// What the owner's manager is to have.
    fn items(&self) -> BTreeSet<Item> {
        let variables = self.variables.iter().map(|name| (*name).to_owned());
        let mut items: BTreeSet<Item> =
            variables.map(|name| Item::Variable(self.place.clone(), name)).collect();
        if let Some(path) = &self.authorities {
            items.insert(Item::Mount(self.place.clone(), path.clone()));
            items.insert(Item::Volume(self.owner.volume.clone()));
        }
        if !items.is_empty() {
            items.insert(Item::Container(self.place.clone()));
        }
        items
    }

    /// Whether a reference that is applied would come to stand beside something else: a value, another source, or a
    /// second entry of the name.
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

pub(super) fn volumes(seen: &Workload) -> impl Iterator<Item = &Volume> {
    seen.template().and_then(|template| template.spec.as_ref()?.volumes.as_ref()).into_iter().flatten()
}

/// The Secret and key that an entry refers to.
pub(super) fn reference(entry: &EnvVar) -> Option<(&String, &str)> {
    let reference = entry.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some((&reference.name, &reference.key))
}
