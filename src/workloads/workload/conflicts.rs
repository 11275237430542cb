//! Finds the entries of somebody else that are in the way of a delivery.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar};

use super::{
    Workload,
    item::{ContainerPlace, Item},
    wanted::{WantedEntries, place_of, reference, volumes},
};
use crate::{
    api::Reason,
    problem::{Problem, enumerate},
    workloads::{ADVICE_TO_ADOPT, EntryHolder, Owner},
};

impl WantedEntries<'_> {
    /// Who has set the entry: the owner, a resource that gives way to it, or somebody else.
    pub(super) fn holder(
        &self,
        seen: &Workload,
        place: &ContainerPlace,
        entry: &EnvVar,
        displaced: &[Owner],
    ) -> EntryHolder {
        let Some((secret, _)) = reference(entry) else {
            return if self.is_remnant(seen, place, entry) { EntryHolder::Own } else { EntryHolder::Other };
        };
        if self.owner.number_of(secret).is_some() {
            EntryHolder::Own
        } else if displaced.iter().any(|owner| owner.number_of(secret).is_some()) {
            EntryHolder::Yielding
        } else {
            EntryHolder::Other
        }
    }

    /// Whether the entry has only a name, and that name is left of ours. This happens if somebody applies a value
    /// over our reference and later gives it up: the API server then removes only that value.
    fn is_remnant(&self, seen: &Workload, place: &ContainerPlace, entry: &EnvVar) -> bool {
        let has_nothing = entry.value.as_ref().is_none_or(String::is_empty) && entry.value_from.is_none();
        let item = Item::Variable(place.clone(), entry.name.clone());
        let mut holders = seen.ownership().holders(&item).into_iter();
        has_nothing
            && self.managers(seen, std::slice::from_ref(&item)).is_empty()
            && holders.any(|entry| entry.manager.as_deref() == Some(&self.owner.manager))
    }

    /// Fails if the delivery would change variables of somebody else. Messages never contain values, which may be
    /// secret.
    pub(super) fn refuse_variables(
        &self,
        seen: &Workload,
        container: &Container,
        displaced: &[Owner],
    ) -> Result<(), Problem> {
        let place = place_of(&container.name);
        let foreign: BTreeSet<&str> = container
            .env
            .iter()
            .flatten()
            .filter(|entry| self.variables.contains(&entry.name.as_str()))
            .filter(|entry| self.holder(seen, &place, entry, displaced) == EntryHolder::Other)
            .map(|entry| entry.name.as_str())
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        let items: Vec<_> =
            foreign.iter().map(|name| Item::Variable(place.clone(), (*name).to_owned())).collect();
        // The names are ones that the operator itself uses, so a message can contain all of them.
        let names: Vec<_> = foreign.into_iter().collect();
        let (target, container) = (seen.target(), &container.name);
        Err(self.conflict(
            seen,
            &items,
            &format!("has set {} in the container \"{container}\" of {target}", names.join(", ")),
            "Nothing was changed there.",
            ADVICE_TO_ADOPT,
        ))
    }

    /// Fails if the delivery would change a volume or a mount of somebody else.
    pub(super) fn refuse_files(&self, seen: &Workload, container: &Container) -> Result<(), Problem> {
        let Some(path) = &self.authorities else {
            return Ok(());
        };
        let (volume, target) = (&self.owner.volume, seen.target());
        if volumes(seen).any(|each| each.name == *volume && !self.is_ours(each)) {
            return Err(self.conflict(
                seen,
                &[Item::Volume(volume.clone())],
                &format!("has given {target} a volume \"{volume}\" of another content"),
                "That volume was not changed.",
                "Rename it.",
            ));
        }
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        if let Some(mount) = mounts.iter().find(|mount| mount.mount_path == *path && mount.name != *volume) {
            return Err(self.conflict(
                seen,
                &[Item::Mount(place_of(&container.name), path.clone())],
                &format!("has mounted the volume \"{}\" of {target} at {path}", mount.name),
                "That mount was not changed.",
                "Mount it elsewhere.",
            ));
        }
        Ok(())
    }

    /// The field managers of the items, except for the owner's.
    pub(super) fn managers<'s>(&self, seen: &'s Workload, items: &[Item]) -> BTreeSet<&'s str> {
        let holders = items.iter().flat_map(|item| seen.ownership().holders(item));
        let managers = holders.filter_map(|entry| entry.manager.as_deref());
        managers.filter(|manager| *manager != self.owner.manager).collect()
    }

    fn conflict(&self, seen: &Workload, items: &[Item], did: &str, left: &str, remedy: &str) -> Problem {
        let managers = self.managers(seen, items);
        let whose = if managers.is_empty() {
            "Somebody else".to_owned()
        } else {
            format!("Somebody else (field manager {})", enumerate(managers))
        };
        Problem::new(Reason::FieldConflict, format!("{whose} {did}. {left} {remedy}"))
    }
}
