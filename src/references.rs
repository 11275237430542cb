//! The references of a spec: to which object they lead, and which field has them.

use std::borrow::Cow;

use kube::{
    Resource,
    core::{ApiResource, GroupVersionKind},
};

use crate::{
    api::{CaBundleSource, GROUP, KeyReference, TlsSpec, VERSION},
    text::Text,
};

/// A kind of custom resource to which another kind refers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferencedKind {
    /// Its name in manifests, such as `OidcProvider`.
    pub kind: &'static str,
    /// Its plural name in URLs.
    pub plural: &'static str,
}

impl ReferencedKind {
    /// The referenced kind of a Rust type; `None` if its names are not known at compile time.
    pub fn of<K: Resource<DynamicType = ()>>() -> Option<Self> {
        match (K::kind(&()), K::plural(&())) {
            (Cow::Borrowed(kind), Cow::Borrowed(plural)) => Some(Self { kind, plural }),
            _ => None,
        }
    }

    /// The kind in the form that the client's dynamic types need.
    pub fn resource(self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, self.kind), self.plural)
    }
}

/// The kind of object to which a reference leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceSource {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A custom resource of one of the operator's own kinds.
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

/// A reference to one key of one object, and the place in the spec that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The kind of object.
    pub source: ReferenceSource,
    /// The object's name.
    pub name: String,
    /// The key in the object's data; empty for a custom resource.
    pub key: String,
    /// The path in the spec, for messages.
    pub field: Cow<'static, str>,
    /// What it means if the value does not exist.
    pub need: Requirement,
}

/// What it means that a referenced value does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// It is a problem.
    Required,
    /// It may be added later, so it is no problem.
    Optional,
}

impl Reference {
    /// A reference to a key of a Secret.
    pub fn secret(reference: &KeyReference, field: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ReferenceSource::Secret, reference, field)
    }

    fn new(source: ReferenceSource, reference: &KeyReference, field: impl Into<Cow<'static, str>>) -> Self {
        let (name, key) = (reference.name.clone(), reference.key.clone());
        Self { source, name, key, field: field.into(), need: Requirement::Required }
    }

    /// A reference to a custom resource of one of the operator's own kinds, as a whole.
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

    /// The same reference to a value that may be added later.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { need: Requirement::Optional, ..self }
    }

    /// The reference to the CA bundle of a spec, if it has one.
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

    /// The referenced object without the key.
    pub fn object(&self) -> ObjectKey {
        ObjectKey { source: self.source, name: self.name.as_str().into() }
    }
}

/// An object in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The kind of object.
    pub source: ReferenceSource,
    /// The object's name.
    pub name: Text,
}
