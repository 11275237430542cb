//! What a delivery makes of a pod template.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::core::v1::{Container, EnvVar, Volume, VolumeMount},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use serde_json::{Value, json};

use super::{
    Workload,
    item::{Item, List, Place},
    ownership,
};
use crate::{
    api::Reason,
    engine::CA_FILE,
    problem::{Problem, enumerate},
    target::{Delivery, Dialect, Owner},
};

/// Where the image looks for authorities at its start.
const AUTHORITIES: &str = "/usr/local/share/ca-certificates";

/// The entries that a delivery consists of.
pub(super) struct Wanted<'a> {
    owner: &'a Owner,
    /// The containers that get them.
    places: Vec<Place>,
    revision: String,
    variables: Vec<&'static str>,
    /// The path of the file with authorities, where there are any.
    authorities: Option<String>,
}

impl<'a> Wanted<'a> {
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
            authorities: delivery.authorities().map(|_| format!("{AUTHORITIES}/{}.crt", owner.volume)),
        }
    }

    /// The spec of the server-side apply configuration; nothing where nothing is wanted.
    pub(super) fn spec(&self) -> Option<Value> {
        if self.items().is_empty() {
            return None;
        }
        let variables = self.variables.iter().map(
            |name| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": self.revision, "key": name}}}),
        );
        let variables = variables.collect::<Vec<_>>();
        let volume = &self.owner.volume;
        let container = |place: &Place| match &self.authorities {
            None => json!({"name": place.container, "env": variables}),
            Some(path) => {
                let mount = json!({"name": volume, "mountPath": path, "subPath": CA_FILE, "readOnly": true});
                json!({"name": place.container, "env": variables, "volumeMounts": [mount]})
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

    /// Refuses what would change an entry of somebody else in this container: values are never named, they may
    /// be secret.
    pub(super) fn refuse_others(
        &self,
        seen: &Workload,
        container: &Container,
        yielding: &[Owner],
    ) -> Result<(), Problem> {
        let place = place_of(&container.name);
        let may_change = |entry: &EnvVar| {
            let secret = reference(entry).map(|(name, _)| name);
            secret.is_some_and(|secret| {
                let mut owners = yielding.iter().chain([self.owner]);
                owners.any(|owner| owner.number_of(secret).is_some())
            })
        };
        let foreign: BTreeSet<&str> = container
            .env
            .iter()
            .flatten()
            .filter(|entry| self.variables.contains(&entry.name.as_str()) && !may_change(entry))
            .map(|entry| entry.name.as_str())
            .collect();
        if !foreign.is_empty() {
            let items = foreign.iter().map(|name| Item::Variable(place.clone(), (*name).to_owned()));
            let (target, container) = (seen.target(), &container.name);
            let arguments: Vec<String> = foreign.iter().map(|name| format!("{name}-")).collect();
            let (left, them) = match foreign.len() {
                1 => ("The variable is", "it where it is"),
                _ => ("These variables are", "them where they are"),
            };
            return Err(self.conflict(
                seen,
                &items.collect::<Vec<_>>(),
                &format!("has set {} in the container \"{container}\" of {target}", enumerate(&foreign)),
                left,
                &format!(
                    "Remove {them} set, or with `kubectl -n {} set env {}/{} --containers={container} {}`",
                    seen.namespace(),
                    target.kind().to_lowercase(),
                    target.name(),
                    arguments.join(" ")
                ),
            ));
        }
        let Some(path) = &self.authorities else {
            return Ok(());
        };
        let (volume, target) = (&self.owner.volume, seen.target());
        if volumes(seen).any(|each| each.name == *volume && !self.is_ours(each)) {
            return Err(self.conflict(
                seen,
                &[Item::Volume(volume.clone())],
                &format!("has given {target} a volume \"{volume}\" of another content"),
                "That volume is",
                "Rename it",
            ));
        }
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        if let Some(mount) = mounts.iter().find(|mount| mount.mount_path == *path && mount.name != *volume) {
            return Err(self.conflict(
                seen,
                &[Item::Mount(place, path.clone())],
                &format!("has mounted the volume \"{}\" of {target} at {path}", mount.name),
                "That mount is",
                "Mount it elsewhere",
            ));
        }
        Ok(())
    }

    fn conflict(&self, seen: &Workload, items: &[Item], did: &str, left: &str, remedy: &str) -> Problem {
        let holders = items.iter().flat_map(|item| seen.ownership().holders(item));
        let managers: BTreeSet<&str> = holders
            .filter_map(|entry| entry.manager.as_deref())
            .filter(|manager| *manager != self.owner.manager)
            .collect();
        let whose = if managers.is_empty() {
            "Somebody else".to_owned()
        } else {
            format!("Somebody else (field manager {})", enumerate(managers))
        };
        Problem::new(Reason::FieldConflict, format!("{whose} {did}. {left} left alone. {remedy}."))
    }

    /// Whether the item is one that this delivery, unlike an earlier one, has nothing for.
    pub(super) fn is_left_over(&self, item: &Item) -> bool {
        let is_delivered = match item {
            Item::Variable(place, _) | Item::Mount(place, _) | Item::Container(place) => {
                self.places.contains(place)
            }
            Item::Volume(name) => *name == self.owner.volume,
        };
        is_delivered && !self.items().contains(item)
    }

    /// Whether the template has all of this, and the owner's manager has exactly this.
    pub(super) fn is_in_place(&self, seen: &Workload, containers: &[&Container]) -> bool {
        let Some(applied) = seen.ownership().applied(&self.owner.manager) else {
            return self.items().is_empty();
        };
        let volume = self.authorities.is_none()
            || (volumes(seen).any(|volume| self.is_as_wanted(volume))
                && ownership::has_reference(applied, &Item::Volume(self.owner.volume.clone())));
        containers.iter().all(|container| self.is_in(container, applied))
            && volume
            && ownership::items(applied) == self.items()
    }

    /// Whether the container has the entries, by the owner's manager.
    fn is_in(&self, container: &Container, applied: &ManagedFieldsEntry) -> bool {
        let variables = self.variables.iter().all(|name| {
            let mut entries = container.env.iter().flatten().filter(|entry| entry.name == *name);
            let entry = entries.next().and_then(reference);
            let item = Item::Variable(place_of(&container.name), (*name).to_owned());
            entry == Some((&self.revision, name))
                && entries.next().is_none()
                && ownership::has_reference(applied, &item)
        });
        let mount = self.authorities.as_ref().is_none_or(|path| {
            let mut mounts = container.volume_mounts.iter().flatten();
            mounts.any(|mount| mount.mount_path == *path && self.is_mounted_as_wanted(mount))
        });
        variables && mount
    }

    /// What the owner's manager is to have.
    fn items(&self) -> BTreeSet<Item> {
        if self.variables.is_empty() && self.authorities.is_none() {
            return BTreeSet::new();
        }
        let of_container = |place: &Place| {
            let variables =
                self.variables.iter().map(|name| Item::Variable(place.clone(), (*name).to_owned()));
            let mount = self.authorities.iter().map(|path| Item::Mount(place.clone(), path.clone()));
            variables.chain(mount).chain([Item::Container(place.clone())]).collect::<Vec<_>>()
        };
        let volume = self.authorities.iter().map(|_| Item::Volume(self.owner.volume.clone()));
        self.places.iter().flat_map(of_container).chain(volume).collect()
    }

    fn is_ours(&self, volume: &Volume) -> bool {
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

fn place_of(container: &str) -> Place {
    Place { list: List::Containers, container: container.to_owned() }
}

fn volumes(seen: &Workload) -> impl Iterator<Item = &Volume> {
    seen.template().and_then(|template| template.spec.as_ref()?.volumes.as_ref()).into_iter().flatten()
}

/// The Secret and key that an entry refers to.
fn reference(entry: &EnvVar) -> Option<(&String, &str)> {
    let reference = entry.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some((&reference.name, &reference.key))
}
