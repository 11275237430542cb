//! Reads the objects to which the references of a spec lead.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use futures::future::try_join_all;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::ListParams, core::DynamicObject};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use crate::references::{ObjectKey, Reference, ReferenceSource, ReferencedKind, Requirement};

use crate::{
    api::{Condition, ConditionType, MANAGED_BY_LABEL, MANAGER, common::is_object_name},
    similar::most_similar,
};

/// The result of reading an object. The type has no `Debug`, because the data may be secret.
#[derive(Clone)]
pub enum Fetched {
    /// The object exists; this is its version and data.
    Found {
        /// `metadata.resourceVersion` and `metadata.uid`, with a dot between them.
        version: String,
        /// The bytes of every key.
        data: BTreeMap<String, Vec<u8>>,
    },
    /// The custom resource exists.
    Resource(Box<FoundResource>),
    /// There is no such object.
    Missing {
        /// The name of another object of the kind, which may have been meant.
        similar: Option<String>,
    },
    /// The operator's service account may not read it.
    Forbidden,
}

/// A custom resource of one of the operator's own kinds to which another one refers.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundResource {
    /// The version of its spec: the resource's uid and its `metadata.generation`.
    pub version: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `spec`.
    pub spec: Value,
    /// `status`; `None` in a manifest that no API server has processed.
    pub status: Option<Value>,
}

impl FoundResource {
    /// The condition of this type in its status.
    pub fn condition(&self, type_: ConditionType) -> Option<Condition> {
        let conditions = self.status.as_ref()?.get("conditions")?.as_array()?;
        let found = conditions
            .iter()
            .find(|condition| condition.get("type").is_some_and(|name| name == type_.as_str()))?;
        Condition::deserialize(found).ok()
    }

    /// Whether the checks of its present spec passed. The verdict about an earlier spec, which a suspended resource
    /// keeps, says nothing of the present one.
    pub fn is_verified(&self) -> bool {
        self.condition(ConditionType::Verified).is_some_and(|condition| {
            condition.status == "True" && condition.observed_generation == self.generation
        })
    }
}

/// Reads each object to which the references lead once, all at the same time.
pub async fn fetch(
    client: &Client,
    namespace: &str,
    references: &[Reference],
) -> Result<BTreeMap<ObjectKey, Fetched>, kube::Error> {
    let keys: BTreeSet<_> = references.iter().map(Reference::object).collect();
    let is_required = |key: &ObjectKey| {
        references
            .iter()
            .any(|reference| reference.need == Requirement::Required && reference.object() == *key)
    };
    try_join_all(keys.into_iter().map(|key| async {
        let fetched = match read(client, namespace, &key).await? {
            Fetched::Missing { .. } if is_required(&key) => {
                Fetched::Missing { similar: Box::pin(similar_name(client, namespace, &key)).await }
            }
            fetched => fetched,
        };
        Ok((key, fetched))
    }))
    .await
    .map(|objects| objects.into_iter().collect())
}

async fn read(client: &Client, namespace: &str, key: &ObjectKey) -> Result<Fetched, kube::Error> {
    if !is_object_name(&key.name) {
        return Ok(Fetched::Missing { similar: None });
    }
    let fetched = match key.source {
        ReferenceSource::Secret => Api::<Secret>::namespaced(client.clone(), namespace)
            .get_opt(&key.name)
            .await
            .map(|found| found.map(Fetched::from)),
        ReferenceSource::ConfigMap => Api::<ConfigMap>::namespaced(client.clone(), namespace)
            .get_opt(&key.name)
            .await
            .map(|found| found.map(Fetched::from)),
        ReferenceSource::Neighbour(neighbour) => {
            Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &neighbour.resource())
                .get_opt(&key.name)
                .await
                .map(|found| found.map(Fetched::from))
        }
    };
    match fetched {
        Ok(found) => Ok(found.unwrap_or(Fetched::Missing { similar: None })),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Fetched::Forbidden),
        Err(error) => Err(error),
    }
}

/// The most names that are compared with one that leads to nothing. A namespace may have thousands.
const NAMES: u32 = 500;

/// The name of an object of the kind that may have been meant. Only names are read, never contents, and only where
/// the operator may list them. A hint that cannot be had is no hint: the message is complete without it.
async fn similar_name(client: &Client, namespace: &str, key: &ObjectKey) -> Option<String> {
    let names = match key.source {
        ReferenceSource::Secret => names(Api::<Secret>::namespaced(client.clone(), namespace)).await,
        ReferenceSource::ConfigMap => names(Api::<ConfigMap>::namespaced(client.clone(), namespace)).await,
        ReferenceSource::Neighbour(neighbour) => {
            let resource = neighbour.resource();
            names(Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource)).await
        }
    };
    most_similar(names.iter().map(String::as_str), &key.name).map(str::to_owned)
}

/// The names of what people made; nobody means what the operator published.
async fn names<K: Clone + DeserializeOwned + Debug>(api: Api<K>) -> Vec<String> {
    let parameters = ListParams::default().limit(NAMES).labels(&format!("{MANAGED_BY_LABEL}!={MANAGER}"));
    let listed = api.list_metadata(&parameters).await;
    listed.into_iter().flatten().filter_map(|object| object.metadata.name).collect()
}

impl From<Secret> for Fetched {
    fn from(secret: Secret) -> Self {
        let mut data: BTreeMap<_, _> =
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        // `stringData` exists only in manifests that no API server has processed.
        data.extend(
            secret.string_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes())),
        );
        Self::Found { version: version_of(&secret.metadata), data }
    }
}

impl From<ConfigMap> for Fetched {
    fn from(map: ConfigMap) -> Self {
        let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        Self::Found { version: version_of(&map.metadata), data: text.chain(binary).collect() }
    }
}

/// Tells one version of an object from every other one, also of another object of the same name.
pub(in crate::engine) fn version_of(ObjectMeta { resource_version, uid, .. }: &ObjectMeta) -> String {
    format!("{}.{}", resource_version.as_deref().unwrap_or_default(), uid.as_deref().unwrap_or_default())
}

impl From<DynamicObject> for Fetched {
    fn from(object: DynamicObject) -> Self {
        let uid = object.metadata.uid.unwrap_or_default();
        Self::Resource(Box::new(FoundResource {
            version: format!("{uid}.{}", object.metadata.generation.unwrap_or_default()),
            generation: object.metadata.generation,
            spec: object.data.get("spec").cloned().unwrap_or_default(),
            status: object.data.get("status").cloned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_about_an_earlier_spec_verifies_no_present_one() {
        let found = |status: &str, observed: i64, generation: i64| FoundResource {
            version: String::new(),
            generation: Some(generation),
            spec: Value::Null,
            status: Some(json!({"conditions": [{
                "type": "Verified", "status": status, "reason": "Verified", "message": "No check failed.",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": observed,
            }]})),
        };
        assert!(found("True", 2, 2).is_verified());
        // The spec was changed since, or the resource was suspended.
        assert!(!found("True", 1, 2).is_verified());
        assert!(!found("False", 2, 2).is_verified());
    }
}
