//! From a resource and its references to a plan: pure.

use std::{
    collections::BTreeMap,
    fmt::Write,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::LazyLock,
};

use kube::ResourceExt;

use super::{Fetched, Inputs, Kind, ObjectKey, Question, Reference, accept::accept};
use crate::{
    api::RECHECK_ANNOTATION,
    net::Trust,
    problem::{Problem, quote},
    sensitive::Redactor,
};

/// How far a resource came before any check.
pub enum Prepared<K: Kind> {
    /// The spec does not make sense by itself.
    NotAccepted(Problem),
    /// A reference leads to nothing usable.
    Unresolved(Problem),
    /// Ready to be checked.
    Planned(Planned<K>),
}

/// A plan, and what the engine keeps beside it.
pub struct Planned<K: Kind> {
    /// The kind's own plan.
    pub plan: K::Plan,
    /// Remarks on the values that were read.
    pub(super) remarks: Vec<Problem>,
    /// Whether any value was read from a Secret.
    pub(super) reads_secrets: bool,
    pub(super) redactor: Redactor,
    pub(super) question: Question,
}

/// Identifies a spec and the contents it refers to. It is keyed anew in every process, so it reveals nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputsHash(u64);

#[cfg(test)]
impl From<u64> for InputsHash {
    fn from(hash: u64) -> Self {
        Self(hash)
    }
}

static HASH_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Every object that the resource refers to, the CA bundle included.
pub fn references<K: Kind>(object: &K) -> Vec<Reference> {
    let mut references = object.references();
    references.extend(Reference::ca_bundle(object.common().tls.as_ref()));
    references
}

/// Names the spec, the objects and the annotation that findings speak of, in a way that outlives the process.
pub fn checked_inputs<K: Kind>(object: &K, objects: &BTreeMap<ObjectKey, Fetched>) -> String {
    let mut text = format!("generation={}", object.meta().generation.unwrap_or_default());
    for (key, fetched) in objects {
        if let Fetched::Found { version, .. } = fetched {
            let _ = write!(text, " {}/{}={version}", key.source.kind(), key.name);
        }
    }
    if let Some(value) = object.annotations().get(RECHECK_ANNOTATION) {
        let _ = write!(text, " recheck={}", quote(value));
    }
    text
}

/// Parses the spec, looks the references up and joins them.
pub fn prepare<K: Kind>(
    object: &K,
    objects: &BTreeMap<ObjectKey, Fetched>,
    system_trust: &Trust,
) -> Prepared<K> {
    let parsed = match accept(object) {
        Ok(parsed) => parsed,
        Err(problem) => return Prepared::NotAccepted(problem),
    };
    let common = object.common();
    let references = object.references();
    let ca_bundle = Reference::ca_bundle(common.tls.as_ref());
    match Inputs::resolve(&references, ca_bundle.as_ref(), objects, system_trust) {
        Err(problem) => Prepared::Unresolved(problem),
        Ok(mut inputs) => Prepared::Planned(Planned {
            question: Question {
                inputs: hash(object, &inputs),
                recheck: object.annotations().get(RECHECK_ANNOTATION).cloned(),
            },
            redactor: inputs.redactor(),
            remarks: std::mem::take(&mut inputs.remarks),
            reads_secrets: !references.is_empty(),
            plan: K::plan(parsed, inputs),
        }),
    }
}

fn hash<K: Kind>(object: &K, inputs: &Inputs) -> InputsHash {
    let mut hasher = HASH_KEY.build_hasher();
    // A spec that was read from JSON can be written as JSON; an empty text would only cost a probe.
    let spec = serde_json::to_string(object.spec()).unwrap_or_default();
    spec.hash(&mut hasher);
    inputs.hash(&mut hasher);
    InputsHash(hasher.finish())
}
