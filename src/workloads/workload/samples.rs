//! Workloads and deliveries for tests, and a minimal imitation of the API server.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::Workload;
use crate::{
    values::{Env, Values},
    workloads::{Change, Delivery, Owner, Target, WorkloadAddress},
};

pub(in crate::workloads) const ADDRESS: Env =
    Env { local: Some("LOCAL_LDAP_ADDRESS"), split: &["LDAP_ADDRESS"], field: None };
pub(in crate::workloads) const LOGIN: Env =
    Env { local: Some("LOCAL_LDAP_LOGIN"), split: &["LDAP_LOGIN"], field: None };
pub(in crate::workloads) const SPLIT_ONLY: Env = Env { local: None, split: &["LDAP_SPLIT"], field: None };
pub(in crate::workloads) const ANOTHER: Env =
    Env { local: Some("LOCAL_LDAP_ANOTHER"), split: &[], field: None };
pub(in crate::workloads) const ENVIRONMENT: &[Env] = &[ADDRESS, LOGIN, SPLIT_ONLY, ANOTHER];

pub(in crate::workloads) fn owner(name: &str) -> Owner {
    Owner::new("LdapConfig", "ldap", "wandb-auth-operator/ldapconfig", name, format!("{name}-ldap"))
}

pub(in crate::workloads) fn deployment() -> Target {
    Target::Deployment(WorkloadAddress { name: "wandb".to_owned(), container: None })
}

/// The workload that this YAML describes.
pub(in crate::workloads) fn workload(target: &Target, yaml: &str) -> Workload {
    let mut fields: Value = serde_yaml::from_str(yaml).unwrap();
    fields["apiVersion"] = "apps/v1".into();
    fields["kind"] = target.kind().into();
    for (name, value) in
        [("name", target.name()), ("namespace", "team"), ("uid", "u"), ("resourceVersion", "7")]
    {
        fields["metadata"][name] = value.into();
    }
    let object: DynamicObject = serde_json::from_value(fields).unwrap();
    Workload::parse(target.clone(), object).unwrap()
}

pub(in crate::workloads) fn values(settings: &[Env]) -> Values {
    let mut values = Values::default();
    for setting in settings {
        values.set(*setting, "a value");
    }
    values
}

pub(in crate::workloads) fn delivery(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: ENVIRONMENT, values }
}

/// The workload after the API server has made a change of the owner, as far as entries with keys are concerned.
pub(in crate::workloads) fn changed(seen: &Workload, owner: &Owner, change: &Change) -> Workload {
    let mut object = serde_json::to_value(&seen.object).unwrap();
    let mut managers: Vec<Value> =
        object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    match change {
        Change::Merge(fields) => {
            let pod = &fields["spec"]["template"]["spec"];
            for (list, entries) in pod.as_object().unwrap() {
                object["spec"]["template"]["spec"][list] = entries.clone();
            }
            if let Some(kept) = fields["metadata"]["managedFields"].as_array() {
                managers = kept.clone();
            }
        }
        Change::Several(_) => panic!("a workload is one"),
        Change::Apply(fields) | Change::Claim(fields) => {
            let before = managers.iter().position(|entry| entry["manager"] == owner.manager.as_str());
            let before = before.map(|index| managers.remove(index)["fieldsV1"].take()).unwrap_or_default();
            let after = owned(&fields["spec"]);
            withdraw(&mut object["spec"], &before["f:spec"], &after);
            merge(&mut object["spec"], &fields["spec"]);
            if fields.get("spec").is_some() {
                managers.push(json!({
                    "manager": owner.manager, "operation": "Apply", "fieldsV1": {"f:spec": after},
                }));
            }
        }
    }
    object["metadata"]["managedFields"] = managers.into();
    let after = Workload::parse(seen.target.clone(), serde_json::from_value(object).unwrap()).unwrap();
    after.with_containers(seen.containers.clone())
}

/// The key of a list entry, such as `k:{"name":"HOST"}`, or `None` for entries of lists that are one value.
fn key(entry: &Value) -> Option<String> {
    let field = ["mountPath", "name"].into_iter().find(|field| entry.get(field).is_some())?;
    Some(format!("k:{}", json!({field: entry[field]})))
}

/// The fields of a configuration in the form of `managedFields`.
fn owned(value: &Value) -> Value {
    let mut fields = serde_json::Map::new();
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let is_atomic = name == "secretKeyRef";
                fields.insert(format!("f:{name}"), if is_atomic { json!({}) } else { owned(value) });
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                let Some(key) = key(entry) else { continue };
                let mut inner = owned(entry);
                inner["."] = json!({});
                fields.insert(key, inner);
            }
        }
        _ => {}
    }
    fields.into()
}

/// Removes the list entries that the owner had and no longer has. In these samples nobody else owns entries.
fn withdraw(value: &mut Value, before: &Value, after: &Value) {
    let Some(before) = before.as_object() else { return };
    for (field, before) in before {
        let inner = field.strip_prefix("f:").and_then(|name| value.get_mut(name));
        match inner {
            Some(Value::Array(entries)) => {
                entries.retain_mut(|entry| {
                    let Some(key) = key(entry) else { return true };
                    withdraw(entry, &before[&key], &after[field][&key]);
                    let is_container = entry.get("image").is_some();
                    is_container || before.get(&key).is_none() || after[field].get(&key).is_some()
                });
            }
            Some(inner) => withdraw(inner, before, &after[field]),
            None => {}
        }
    }
}

fn merge(value: &mut Value, configuration: &Value) {
    match configuration {
        Value::Object(fields) => {
            for (name, field) in fields {
                merge(&mut value[name], field);
            }
        }
        Value::Array(entries) if entries.iter().all(|entry| key(entry).is_some()) => {
            for entry in entries {
                let list = value.as_array().cloned().unwrap_or_default();
                let index = list.iter().position(|each| key(each) == key(entry)).unwrap_or(list.len());
                let mut list = list;
                if index == list.len() {
                    list.push(json!({}));
                }
                merge(&mut list[index], entry);
                *value = list.into();
            }
        }
        Value::Null => {}
        other => *value = other.clone(),
    }
}
