//! References in a spec: which object they lead to, and which field names it.

use std::borrow::Cow;

use kube::{
    Resource,
    core::{ApiResource, GroupVersionKind},
};

use crate::api::{CaBundleSource, GROUP, KeyReference, TlsSpec, VERSION};

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Which kind of object.
    pub source: ReferenceSource,
    /// The object's name.
    pub name: String,
}
