//! Which field managers have what, from `metadata.managedFields` (the `FieldsV1` format).

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use super::item::{Item, List, Place};

/// The field managers of an object, and their fields.
pub(super) struct Ownership<'a>(&'a [ManagedFieldsEntry]);

/// A step of a path through fields.
enum Step<'a> {
    /// A field of a structure.
    Field(&'a str),
    /// The entry of a list with this key.
    Entry(&'static str, &'a str),
}

impl<'a> Ownership<'a> {
    pub(super) fn new(entries: &'a [ManagedFieldsEntry]) -> Self {
        Self(entries)
    }

    /// What the manager has by server-side apply.
    pub(super) fn applied(&self, manager: &str) -> Option<&'a ManagedFieldsEntry> {
        self.0.iter().find(|entry| {
            entry.manager.as_deref() == Some(manager)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.is_none()
        })
    }

    /// The entries that have the item or something in it.
    pub(super) fn holders(&self, item: &Item) -> Vec<&'a ManagedFieldsEntry> {
        self.0.iter().filter(|entry| node(entry, item).is_some()).collect()
    }

    /// The entries that have the name of the Secret that the item refers to.
    pub(super) fn holders_of_reference(&self, item: &Item) -> Vec<&'a ManagedFieldsEntry> {
        self.0.iter().filter(|entry| has_reference(entry, item)).collect()
    }
}

/// Whether the entry has anything of the spec.
pub(super) fn has_spec(entry: &ManagedFieldsEntry) -> bool {
    fields(entry).is_some_and(|fields| fields.contains_key("f:spec"))
}

/// Whether the entry has the name of the Secret that the item refers to.
pub(super) fn has_reference(entry: &ManagedFieldsEntry, item: &Item) -> bool {
    let steps: &[Step<'_>] = match item {
        Item::Variable(..) => &[Step::Field("valueFrom"), Step::Field("secretKeyRef")],
        Item::Volume(_) => &[Step::Field("secret")],
        Item::Container(_) | Item::Mount(..) => return false,
    };
    let Some(reference) = node(entry, item).and_then(|node| descend(node, steps)) else {
        return false;
    };
    match item {
        // The reference is one field as a whole, except in old versions of Kubernetes.
        Item::Variable(..) => reference.is_empty() || reference.contains_key("f:name"),
        _ => reference.contains_key("f:secretName"),
    }
}

/// Every item of the pod template of which the entry has something.
pub(super) fn items(entry: &ManagedFieldsEntry) -> BTreeSet<Item> {
    let mut items = BTreeSet::new();
    let Some(pod) = fields(entry).and_then(|fields| descend(fields, &pod_path())) else {
        return items;
    };
    for list in List::ALL {
        for (container, fields) in entries(pod, list.field(), "name") {
            let place = Place { list, container };
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

fn pod_path() -> Vec<Step<'static>> {
    ["spec", "template", "spec"].into_iter().map(Step::Field).collect()
}

/// Where the entry has something of the item.
fn node<'a>(entry: &'a ManagedFieldsEntry, item: &Item) -> Option<&'a Map<String, Value>> {
    let mut path = pod_path();
    match item {
        Item::Container(place) | Item::Variable(place, _) | Item::Mount(place, _) => {
            path.extend([Step::Field(place.list.field()), Step::Entry("name", &place.container)]);
        }
        Item::Volume(name) => path.extend([Step::Field("volumes"), Step::Entry("name", name)]),
    }
    match item {
        Item::Variable(_, name) => path.extend([Step::Field("env"), Step::Entry("name", name)]),
        Item::Mount(_, place) => path.extend([Step::Field("volumeMounts"), Step::Entry("mountPath", place)]),
        Item::Container(_) | Item::Volume(_) => {}
    }
    descend(fields(entry)?, &path)
}

fn fields(entry: &ManagedFieldsEntry) -> Option<&Map<String, Value>> {
    entry.fields_v1.as_ref()?.0.as_object()
}

fn descend<'a>(fields: &'a Map<String, Value>, path: &[Step<'_>]) -> Option<&'a Map<String, Value>> {
    path.iter().try_fold(fields, |fields, step| match step {
        Step::Field(name) => fields.get(&format!("f:{name}"))?.as_object(),
        Step::Entry(field, value) => {
            let found = fields.iter().find(|(key, _)| key_of(key, field).as_deref() == Some(value));
            found?.1.as_object()
        }
    })
}

/// The entries of a list, by the key's value.
fn entries<'a>(
    fields: &'a Map<String, Value>,
    list: &str,
    key: &str,
) -> Vec<(String, &'a Map<String, Value>)> {
    let list = descend(fields, &[Step::Field(list)]);
    let entries = list.into_iter().flatten();
    entries.filter_map(|(name, fields)| Some((key_of(name, key)?, fields.as_object()?))).collect()
}

/// The value of this field in a list entry's key, such as `k:{"name":"HOST"}`.
fn key_of(key: &str, field: &str) -> Option<String> {
    let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
    key.get(field)?.as_str().map(str::to_owned)
}
