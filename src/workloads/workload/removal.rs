//! Removes the owner's entries from a pod template.
//!
//! Applying a configuration without the entries removes those that only the owner's field manager has, which
//! usually is all of them. Entries that another manager has, too, remain (`kubectl rollout undo` becomes a manager
//! of what it changes). Applying them again would not help, since managers share equal values. Such entries are
//! therefore removed by one patch of the lists as the snapshot shows them, so that the pods are replaced only once.
//! The remaining fields of the owner's manager are removed in the next run, by applying an empty configuration.

use serde_json::{Map, Value, json};

use super::{
    Change, Workload,
    item::{ContainerPlace, Item, List, references},
    ownership::has_spec,
};
use crate::workloads::Owner;

/// The next change that removes entries of the owner, or `None` if none are left.
pub(super) fn change(seen: &Workload, owner: &Owner) -> Option<Change> {
    if is_shared(seen, owner, |_| true) {
        let pod = without(seen, |secret, _| owner.number_of(secret).is_some());
        return Some(Change::Merge(
            json!({"metadata": seen.identity(), "spec": {"template": {"spec": pod}}}),
        ));
    }
    let ownership = seen.ownership();
    let applied = ownership.applied(&owner.manager).filter(|entry| has_spec(entry));
    applied.map(|_| Change::Apply(seen.configuration(None)))
}

/// Whether any of the owner's entries for which `is_meant` holds would remain when the owner's manager gives it up.
pub(super) fn is_shared(seen: &Workload, owner: &Owner, is_meant: impl Fn(&Item) -> bool) -> bool {
    let ownership = seen.ownership();
    let has_others = |item: &Item| {
        let holders = ownership.holders(item);
        let mut managers = holders.iter().map(|entry| (entry.manager.as_deref(), entry.operation.as_deref()));
        holders.is_empty() || managers.any(|holder| holder != (Some(&owner.manager), Some("Apply")))
    };
    references(seen.template(), owner).iter().any(|(item, _)| is_meant(item) && has_others(item))
}

/// The volumes of the pod template, as the snapshot shows them.
pub(super) fn volumes(seen: &Workload) -> Vec<Value> {
    list(seen.object.data.pointer("/spec/template/spec"), "volumes")
}

/// The lists of the pod spec without the entries whose Secret and item match `is_meant`.
pub(super) fn without(seen: &Workload, is_meant: impl Fn(&str, &Item) -> bool) -> Value {
    let goes = |secret: Option<&Value>, item| {
        secret.and_then(Value::as_str).is_some_and(|secret| is_meant(secret, &item))
    };
    let pod = seen.object.data.pointer("/spec/template/spec");
    let mut volumes = volumes(seen);
    let mut gone = Vec::new();
    volumes.retain(|volume| {
        let goes = goes(volume.pointer("/secret/secretName"), Item::Volume(text(volume, "name")));
        if goes {
            gone.push(text(volume, "name"));
        }
        !goes
    });
    let mut patch = Map::new();
    for place in List::ALL {
        let mut containers = list(pod, place.field());
        for container in &mut containers {
            let place = ContainerPlace { list: place, container: text(container, "name") };
            retain(container, "env", |entry| {
                let item = Item::Variable(place.clone(), text(entry, "name"));
                !goes(entry.pointer("/valueFrom/secretKeyRef/name"), item)
            });
            retain(container, "volumeMounts", |mount| !gone.contains(&text(mount, "name")));
        }
        if !containers.is_empty() {
            patch.insert(place.field().to_owned(), containers.into());
        }
    }
    if !gone.is_empty() {
        patch.insert("volumes".to_owned(), volumes.into());
    }
    patch.into()
}

fn list(fields: Option<&Value>, name: &str) -> Vec<Value> {
    fields.and_then(|fields| fields.get(name)?.as_array()).cloned().unwrap_or_default()
}

fn text(fields: &Value, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn retain(fields: &mut Value, name: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(list) = fields.get_mut(name).and_then(Value::as_array_mut) {
        list.retain(keep);
    }
}
