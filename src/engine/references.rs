//! References in a spec, and the reading of the objects that they lead to.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

use crate::api::{CaBundle, KeyReference, TlsSpec, common::is_object_name};

/// Which kind of object a reference leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceSource {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl ReferenceSource {
    /// The Kubernetes kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// One key of one object, and where the spec names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Secret or ConfigMap.
    pub source: ReferenceSource,
    /// The object's name.
    pub name: String,
    /// The key in its data.
    pub key: String,
    /// The path of the spec that names it, for messages.
    pub field: &'static str,
}

impl Reference {
    /// A key of a Secret.
    pub fn secret(reference: &KeyReference, field: &'static str) -> Self {
        Self::new(ReferenceSource::Secret, reference, field)
    }

    fn new(source: ReferenceSource, reference: &KeyReference, field: &'static str) -> Self {
        Self { source, name: reference.name.clone(), key: reference.key.clone(), field }
    }

    /// The CA bundle of a spec, if it has one.
    pub fn ca_bundle(tls: Option<&TlsSpec>) -> Option<Self> {
        let CaBundle { secret_key_ref, config_map_key_ref } = tls?.ca_bundle.as_ref()?;
        let field = "spec.tls.caBundle";
        let secret = secret_key_ref.as_ref().map(|reference| Self::secret(reference, field));
        secret.or_else(|| {
            config_map_key_ref
                .as_ref()
                .map(|reference| Self::new(ReferenceSource::ConfigMap, reference, field))
        })
    }

    /// The object without the key.
    pub fn object(&self) -> ObjectKey {
        ObjectKey { source: self.source, name: self.name.clone() }
    }
}

/// A Secret or ConfigMap in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Secret or ConfigMap.
    pub source: ReferenceSource,
    /// The object's name.
    pub name: String,
}

/// What reading an object gave. It has no `Debug`: data may be secret.
#[derive(Clone)]
pub enum Fetched {
    /// The object, with its version and data.
    Found {
        /// `metadata.resourceVersion`.
        version: String,
        /// Every key.
        data: BTreeMap<String, Vec<u8>>,
    },
    /// There is no such object.
    Missing,
    /// The operator's account may not read it.
    Forbidden,
}

/// Reads each object that the references lead to, once, and all at the same time.
pub async fn fetch(
    client: &Client,
    namespace: &str,
    references: &[Reference],
) -> Result<BTreeMap<ObjectKey, Fetched>, kube::Error> {
    let keys: BTreeSet<_> = references.iter().map(Reference::object).collect();
    try_join_all(keys.into_iter().map(|key| async {
        let fetched = read(client, namespace, &key).await?;
        Ok((key, fetched))
    }))
    .await
    .map(|objects| objects.into_iter().collect())
}

async fn read(client: &Client, namespace: &str, key: &ObjectKey) -> Result<Fetched, kube::Error> {
    if !is_object_name(&key.name) {
        return Ok(Fetched::Missing);
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
    };
    match fetched {
        Ok(found) => Ok(found.unwrap_or(Fetched::Missing)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Fetched::Forbidden),
        Err(error) => Err(error),
    }
}

impl From<Secret> for Fetched {
    fn from(secret: Secret) -> Self {
        let mut data: BTreeMap<_, _> =
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        // Only manifests that never met an API server still carry it.
        data.extend(
            secret.string_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes())),
        );
        Self::Found { version: secret.metadata.resource_version.unwrap_or_default(), data }
    }
}

impl From<ConfigMap> for Fetched {
    fn from(map: ConfigMap) -> Self {
        let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        Self::Found {
            version: map.metadata.resource_version.unwrap_or_default(),
            data: text.chain(binary).collect(),
        }
    }
}
