//! How the owner's entries leave a pod template.
//!
//! Applying nothing takes out what only the owner's manager has, which is everything in the common case.
//! What somebody else has, too (`kubectl rollout undo` takes what it changes), stays through that, and
//! applying it once more would not take it away from them, since equal values are shared. So such entries
//! are taken out by a patch of the lists as they were seen, all at once to replace the pods once; the
//! manager's rest then goes by applying nothing in the next round.

use serde_json::{Value, json};

use super::{
    Change, Workload,
    item::{List, references},
    ownership::has_spec,
};
use crate::target::Owner;

/// The next step of taking out everything of the owner; nothing where there is nothing.
pub(super) fn change(seen: &Workload, owner: &Owner) -> Option<Change> {
    let ownership = seen.ownership();
    let is_shared = references(seen.template(), owner).iter().any(|(item, _)| {
        let holders = ownership.holders(item);
        let mut managers = holders.iter().map(|entry| (entry.manager.as_deref(), entry.operation.as_deref()));
        holders.is_empty() || managers.any(|holder| holder != (Some(&owner.manager), Some("Apply")))
    });
    if is_shared {
        return Some(Change::Merge(without(seen, owner)));
    }
    let applied = ownership.applied(&owner.manager);
    applied.filter(|entry| has_spec(entry)).map(|_| Change::Apply(seen.configuration(None)))
}

/// The patch that makes the lists what they are without the owner's entries.
fn without(seen: &Workload, owner: &Owner) -> Value {
    let is_revision = |name: Option<&Value>| {
        name.and_then(Value::as_str).is_some_and(|name| owner.number_of(name).is_some())
    };
    let pod = seen.object.data.pointer("/spec/template/spec");
    let mut volumes = list(pod, "volumes");
    let mut gone = Vec::new();
    volumes.retain(|volume| {
        let ours = is_revision(volume.pointer("/secret/secretName"));
        gone.extend(volume.get("name").filter(|_| ours).cloned());
        !ours
    });
    let mut patch = json!({});
    for field in List::ALL.map(List::field) {
        let mut containers = list(pod, field);
        for container in &mut containers {
            retain(container, "env", |entry| !is_revision(entry.pointer("/valueFrom/secretKeyRef/name")));
            retain(container, "volumeMounts", |mount| {
                mount.get("name").is_none_or(|name| !gone.contains(name))
            });
        }
        if !containers.is_empty() {
            patch[field] = containers.into();
        }
    }
    if !gone.is_empty() {
        patch["volumes"] = volumes.into();
    }
    json!({"metadata": seen.identity(), "spec": {"template": {"spec": patch}}})
}

fn list(fields: Option<&Value>, name: &str) -> Vec<Value> {
    fields.and_then(|fields| fields.get(name)?.as_array()).cloned().unwrap_or_default()
}

fn retain(fields: &mut Value, name: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(list) = fields.get_mut(name).and_then(Value::as_array_mut) {
        list.retain(keep);
    }
}
