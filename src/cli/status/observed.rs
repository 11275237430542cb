//! What was read of a cluster, as values: resources of the four kinds, and what is around them.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Event, Pod, Secret},
};
use kube::{
    ResourceExt,
    core::{DynamicObject, PartialObjectMeta},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    api::Status,
    engine::{Kind, owner_in_targets},
    workloads::{Owner, Target},
};

/// Everything that was read for one tree.
#[derive(Debug, Default)]
pub(in crate::cli) struct ObservedCluster {
    /// When it was read.
    pub(in crate::cli) now: Timestamp,
    /// The resources, in the order of the kinds.
    pub(super) resources: Vec<ObservedResource>,
    /// What is around them, by namespace.
    pub(super) surroundings: BTreeMap<String, Surroundings>,
    /// What could not be read.
    pub(super) gaps: Vec<Gap>,
}

/// A resource of one of the four kinds.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ObservedResource {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) generation: Option<i64>,
    /// Which server the spec is about.
    pub(super) source: Option<String>,
    /// When its deletion was asked for.
    pub(super) deleted: Option<Timestamp>,
    /// What its deletion waits for.
    pub(super) finalizers: Vec<String>,
    /// The status, as far as this version knows its fields.
    pub(super) status: Status,
    /// The same as the API server has it, for fields that only some kinds have.
    pub(super) raw_status: Value,
    /// The spec, or why this version cannot read it.
    pub(super) spec: Result<ObservedSpec, String>,
}

/// What a spec says of where the values go.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ObservedSpec {
    /// How long after checks that passed they are made again.
    pub(super) check_interval: Duration,
    pub(super) target: Option<Target>,
    /// The names under which it appears in pods.
    pub(super) owner: Owner,
}

/// Reads what matters here in a spec.
pub(in crate::cli) fn observed_spec<K: Kind>(object: &K) -> ObservedSpec {
    let common = object.common();
    ObservedSpec {
        check_interval: common.interval_of_passed_checks(),
        target: common.target.as_ref().and_then(Target::of),
        owner: owner_in_targets(object),
    }
}

impl ObservedResource {
    /// Reads an object; a status that this version does not understand counts as none.
    pub(in crate::cli) fn of(
        object: &DynamicObject,
        kind: &str,
        spec: fn(Value) -> Result<ObservedSpec, String>,
    ) -> Self {
        let raw_status = object.data.get("status").cloned().unwrap_or_default();
        let whole = serde_json::to_value(object).map_err(|error| error.to_string());
        Self {
            kind: kind.to_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            generation: object.metadata.generation,
            source: source(&object.data),
            deleted: object.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            finalizers: object.finalizers().to_vec(),
            status: Status::deserialize(&raw_status).unwrap_or_default(),
            raw_status,
            spec: whole.and_then(spec),
        }
    }

    /// A time in the status that only some kinds have.
    pub(super) fn time(&self, field: &str) -> Option<Timestamp> {
        self.raw_status.get(field)?.as_str()?.parse().ok()
    }

    /// The target that the spec names.
    pub(super) fn target(&self) -> Option<&Target> {
        self.spec.as_ref().ok()?.target.as_ref()
    }
}

/// The address of the directory, the issuer or W&B Server in an object, whatever else is wrong with it.
fn source(object: &Value) -> Option<String> {
    let fields = ["/spec/address", "/spec/issuer", "/spec/instance/baseURL"];
    let address = fields.into_iter().find_map(|field| object.pointer(field)?.as_str())?;
    Some(without_user(address))
}

/// The address without a user and a password, which no definition allows there, and which nobody is to see.
fn without_user(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// What is around the resources of a namespace; nothing stands for what was not read.
#[derive(Debug, Default)]
pub(in crate::cli) struct Surroundings {
    pub(super) deployments: Option<Vec<Deployment>>,
    pub(super) stateful_sets: Option<Vec<StatefulSet>>,
    pub(super) weights_and_biases: Option<Vec<DynamicObject>>,
    pub(super) pods: Option<Vec<Pod>>,
    /// Without their contents.
    pub(super) secrets: Option<Vec<PartialObjectMeta<Secret>>>,
    /// Without their contents; only where a status speaks of one.
    pub(super) config_maps: Option<Vec<PartialObjectMeta<ConfigMap>>>,
    /// The events of one resource.
    pub(super) events: Option<Vec<Event>>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The plural as people know it, such as `pods`.
    pub(super) what: String,
    /// Where; nothing for all namespaces.
    pub(super) namespace: Option<String>,
    /// Why.
    pub(super) cause: GapCause,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GapCause {
    /// The person has not the right to.
    Forbidden,
    /// The API server does not have this kind.
    Unknown,
    /// Anything else, in the API server's words.
    Other(String),
}

impl ObservedCluster {
    /// What is around a resource.
    pub(super) fn around(&self, namespace: &str) -> &Surroundings {
        static NOTHING: Surroundings = Surroundings {
            deployments: None,
            stateful_sets: None,
            weights_and_biases: None,
            pods: None,
            secrets: None,
            config_maps: None,
            events: None,
        };
        self.surroundings.get(namespace).unwrap_or(&NOTHING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_passwords() {
        for (address, expected) in [
            ("ldaps://ldap.example.com:636", "ldaps://ldap.example.com:636"),
            ("https://user:secret@idp.example.com/realms/a@b", "https://idp.example.com/realms/a@b"),
            ("https://a@b:secret@idp.example.com", "https://idp.example.com"),
            ("no address", "no address"),
        ] {
            assert_eq!(without_user(address), expected);
        }
    }
}
