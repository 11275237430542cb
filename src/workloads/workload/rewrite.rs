//! Makes one patch that gives the lists of a pod template exactly the wanted entries, whoever had set them before.
//! Replaced entries keep their positions. Since it is one patch, no version of the template lacks an entry, and
//! none has the entries of both the owner and a resource that gives way to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Value, json};

use super::{Workload, item::Item, removal, wanted::WantedEntries};
use crate::workloads::Owner;

/// The patch. It pins the version of the snapshot.
pub(super) fn patch(seen: &Workload, wanted: &WantedEntries<'_>, displaced: &[Owner]) -> Value {
    let goes = |secret: &str, item: &Item| {
        wanted.owner.number_of(secret).is_some() && wanted.is_left_over(item)
            || !wanted.replaces(item) && displaced.iter().any(|owner| owner.number_of(secret).is_some())
    };
    let mut pod = removal::without(seen, goes);
    let spec = wanted.spec().unwrap_or_default();
    let delivered = spec.pointer("/template/spec");
    let containers = list(delivered, "containers");
    for (present, wanted) in containers
        .iter()
        .filter_map(|wanted| {
            let mut present = pod.get("containers")?.as_array()?.iter();
            Some((present.position(|each| each.get("name") == wanted.get("name"))?, wanted))
        })
        .collect::<Vec<_>>()
    {
        if let Some(container) = pod.get_mut("containers").and_then(|list| list.get_mut(present)) {
            place(container, "env", "name", &list(Some(wanted), "env"));
            place(container, "volumeMounts", "mountPath", &list(Some(wanted), "volumeMounts"));
        }
    }
    let volumes = list(delivered, "volumes");
    if !volumes.is_empty() {
        if let Some(fields) = pod.as_object_mut() {
            fields.entry("volumes").or_insert_with(|| removal::volumes(seen).into());
        }
        place(&mut pod, "volumes", "name", &volumes);
    }
    let metadata = ObjectMeta { managed_fields: without_managers(seen, displaced), ..seen.identity() };
    json!({"metadata": metadata, "spec": {"template": {"spec": pod}}})
}

/// The field managers of the object without those that give way, or `None` if `managedFields` need not change. An
/// entry belongs to the manager that set its name, so without this the new entry would be removed as soon as the
/// displaced manager gives up the old one.
fn without_managers(seen: &Workload, displaced: &[Owner]) -> Option<Vec<ManagedFieldsEntry>> {
    let present = seen.object.metadata.managed_fields.as_deref().unwrap_or_default();
    let gives_way = |entry: &&ManagedFieldsEntry| {
        displaced.iter().any(|owner| entry.manager.as_ref() == Some(&owner.manager))
    };
    let kept: Vec<_> = present.iter().filter(|entry| !gives_way(entry)).cloned().collect();
    // The API server ignores an empty list and keeps the managers.
    (kept.len() < present.len() && !kept.is_empty()).then_some(kept)
}

fn list(fields: Option<&Value>, name: &str) -> Vec<Value> {
    fields.and_then(|fields| fields.get(name)?.as_array()).cloned().unwrap_or_default()
}

/// Puts the wanted entries into the list: in the position of an entry with the same key, or at the end. Duplicates
/// of a key are removed.
fn place(fields: &mut Value, name: &str, key: &str, wanted: &[Value]) {
    if wanted.is_empty() {
        return;
    }
    let mut missing = wanted.to_vec();
    let mut entries = Vec::new();
    for present in list(Some(fields), name) {
        let is_same = |entry: &Value| entry.get(key) == present.get(key);
        match missing.iter().position(is_same) {
            Some(index) => entries.push(missing.remove(index)),
            None if wanted.iter().any(is_same) => {}
            None => entries.push(present),
        }
    }
    entries.extend(missing);
    if let Some(fields) = fields.as_object_mut() {
        fields.insert(name.to_owned(), entries.into());
    }
}
