//! References in a spec, and the reading of the objects that they lead to.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use futures::future::try_join_all;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
};
use kube::{
    Api, Client, Resource,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use crate::api::{
    CaBundleSource, ConditionType, GROUP, KeyReference, TlsSpec, VERSION, common::is_object_name,
};

/// A kind of custom resource that another kind refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferencedKind {
    /// The Kubernetes kind.
    pub kind: &'static str,
    /// Its name in URLs.
    pub plural: &'static str,
}

impl ReferencedKind {
    /// The kind of these types.
    pub fn of<K: Resource<DynamicType = ()>>() -> Option<Self> {
        match (K::kind(&()), K::plural(&())) {
            (Cow::Borrowed(kind), Cow::Borrowed(plural)) => Some(Self { kind, plural }),
            _ => None,
        }
    }

    /// The kind as the client's generic types want it.
    pub fn resource(self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, self.kind), self.plural)
    }
}

/// Which kind of object a reference leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceSource {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A custom resource of the operator's own.
    Neighbour(ReferencedKind),
}

impl ReferenceSource {
    /// The Kubernetes kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Neighbour(neighbour) => neighbour.kind,
        }
    }
}

/// One key of one object, and where the spec names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which kind of object.
    pub source: ReferenceSource,
    /// The object's name.
    pub name: String,
    /// The key in its data; none for a custom resource.
    pub key: String,
    /// The path of the spec that names it, for messages.
    pub field: Cow<'static, str>,
    /// What its absence means.
    pub need: Requirement,
}

/// What the absence of a referenced value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A problem.
    Required,
    /// That it comes later.
    Optional,
}

impl Reference {
    /// A key of a Secret.
    pub fn secret(reference: &KeyReference, field: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ReferenceSource::Secret, reference, field)
    }

    fn new(source: ReferenceSource, reference: &KeyReference, field: impl Into<Cow<'static, str>>) -> Self {
        let (name, key) = (reference.name.clone(), reference.key.clone());
        Self { source, name, key, field: field.into(), need: Requirement::Required }
    }

    /// A custom resource of the operator's own, as a whole.
    pub fn neighbour(neighbour: ReferencedKind, name: &str, field: &'static str) -> Self {
        let source = ReferenceSource::Neighbour(neighbour);
        Self {
            source,
            name: name.to_owned(),
            key: String::new(),
            field: field.into(),
            need: Requirement::Required,
        }
    }

    /// The same, where the value may come later.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { need: Requirement::Optional, ..self }
    }

    /// The CA bundle of a spec, if it has one.
    pub fn ca_bundle(tls: Option<&TlsSpec>) -> Option<Self> {
        let CaBundleSource { secret_key_ref, config_map_key_ref } = &tls?.ca_bundle;
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

/// An object in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Which kind of object.
    pub source: ReferenceSource,
    /// The object's name.
    pub name: String,
}

/// What reading an object gave. It has no `Debug`: data may be secret.
#[derive(Clone)]
pub enum Fetched {
    /// The object, with its version and data.
    Found {
        /// `metadata.resourceVersion`, and `metadata.uid` after a dot.
        version: String,
        /// Every key.
        data: BTreeMap<String, Vec<u8>>,
    },
    /// The custom resource.
    Resource(Box<FoundResource>),
    /// There is no such object.
    Missing,
    /// The operator's account may not read it.
    Forbidden,
}

/// A custom resource of the operator's own that another one refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundResource {
    /// Identifies the spec: the resource's identity and its `metadata.generation`.
    pub version: String,
    /// `spec`.
    pub spec: Value,
    /// `status`; nothing in a manifest that never met an API server.
    pub status: Option<Value>,
}

impl FoundResource {
    /// The condition of a type in its status.
    pub fn condition(&self, type_: ConditionType) -> Option<Condition> {
        let conditions = self.status.as_ref()?.get("conditions")?.as_array()?;
        let found = conditions
            .iter()
            .find(|condition| condition.get("type").is_some_and(|name| name == type_.as_str()))?;
        serde_json::from_value(found.clone()).ok()
    }

    /// Whether its checks passed.
    pub fn is_verified(&self) -> bool {
        self.condition(ConditionType::Verified).is_some_and(|condition| condition.status == "True")
    }
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
        ReferenceSource::Neighbour(neighbour) => {
            Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &neighbour.resource())
                .get_opt(&key.name)
                .await
                .map(|found| found.map(Fetched::from))
        }
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
            spec: object.data.get("spec").cloned().unwrap_or_default(),
            status: object.data.get("status").cloned(),
        }))
    }
}
