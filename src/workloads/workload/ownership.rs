//! Finds which field managers have which items of a pod template.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use super::item::{ContainerPlace, Item, List};
use crate::workloads::managed_fields::{FieldPathStep, descend, entries, fields};

/// The field managers of an object, with the fields that each has.
pub(super) struct Ownership<'a>(&'a [ManagedFieldsEntry]);

impl<'a> Ownership<'a> {
    pub(super) fn new(entries: &'a [ManagedFieldsEntry]) -> Self {
        Self(entries)
    }

    /// The fields that the manager has by server-side apply.
    pub(super) fn applied(&self, manager: &str) -> Option<&'a ManagedFieldsEntry> {
        self.0.iter().find(|entry| {
            entry.manager.as_deref() == Some(manager)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.is_none()
        })
    }

    /// The entries of field managers that have the item or anything in it.
    pub(super) fn holders(&self, item: &Item) -> Vec<&'a ManagedFieldsEntry> {
        self.0.iter().filter(|entry| node(entry, item).is_some()).collect()
    }

    /// The entries of field managers that have the Secret name to which the item refers.
    pub(super) fn holders_of_reference(&self, item: &Item) -> Vec<&'a ManagedFieldsEntry> {
        self.0.iter().filter(|entry| has_reference(entry, item)).collect()
    }
}

/// Whether the field manager has any field of the spec.
pub(super) fn has_spec(entry: &ManagedFieldsEntry) -> bool {
    fields(entry).is_some_and(|fields| fields.contains_key("f:spec"))
}

/// Whether the field manager has the Secret name to which the item refers.
pub(super) fn has_reference(entry: &ManagedFieldsEntry, item: &Item) -> bool {
    let steps: &[FieldPathStep<'_>] = match item {
        Item::Variable(..) => &[FieldPathStep::Field("valueFrom"), FieldPathStep::Field("secretKeyRef")],
        Item::Volume(_) => &[FieldPathStep::Field("secret")],
        Item::Container(_) | Item::Mount(..) => return false,
    };
    let Some(reference) = node(entry, item).and_then(|node| descend(node, steps)) else {
        return false;
    };
    match item {
        // The API server tracks the reference as one field; old versions of Kubernetes track its members.
        Item::Variable(..) => reference.is_empty() || reference.contains_key("f:name"),
        _ => reference.contains_key("f:secretName"),
    }
}

/// Every item of the pod template of which the field manager has any field.
pub(super) fn items(entry: &ManagedFieldsEntry) -> BTreeSet<Item> {
    let mut items = BTreeSet::new();
    let Some(pod) = fields(entry).and_then(|fields| descend(fields, &pod_path())) else {
        return items;
    };
    for list in List::ALL {
        for (container, fields) in entries(pod, list.field(), "name") {
            let place = ContainerPlace { list, container };
            let variables = entries(fields, "env", "name");
            items.extend(variables.into_iter().map(|(name, _)| Item::Variable(place.clone(), name)));
            let mounts = entries(fields, "volumeMounts", "mountPath");
            items.extend(mounts.into_iter().map(|(path, _)| Item::Mount(place.clone(), path)));
            items.insert(Item::Container(place));
        }
    }
    items.extend(entries(pod, "volumes", "name").into_iter().map(|(name, _)| Item::Volume(name)));
    items
}

fn pod_path() -> Vec<FieldPathStep<'static>> {
    ["spec", "template", "spec"].into_iter().map(FieldPathStep::Field).collect()
}

/// The fields of the item that the field manager has, or `None` if it has none.
fn node<'a>(entry: &'a ManagedFieldsEntry, item: &Item) -> Option<&'a Map<String, Value>> {
    let mut path = pod_path();
    match item {
        Item::Container(place) | Item::Variable(place, _) | Item::Mount(place, _) => {
            path.extend([
                FieldPathStep::Field(place.list.field()),
                FieldPathStep::Entry("name", &place.container),
            ]);
        }
        Item::Volume(name) => {
            path.extend([FieldPathStep::Field("volumes"), FieldPathStep::Entry("name", name)]);
        }
    }
    match item {
        Item::Variable(_, name) => {
            path.extend([FieldPathStep::Field("env"), FieldPathStep::Entry("name", name)]);
        }
        Item::Mount(_, place) => {
            path.extend([FieldPathStep::Field("volumeMounts"), FieldPathStep::Entry("mountPath", place)]);
        }
        Item::Container(_) | Item::Volume(_) => {}
    }
    descend(fields(entry)?, &path)
}
