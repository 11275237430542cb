//! From a resource and its references to a plan: pure.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::LazyLock,
};

use kube::ResourceExt;

use super::{Fetched, Inputs, Kind, ObjectKey, Reference};
use crate::{
    api::{RECHECK_ANNOTATION, Reason},
    net::Trust,
    problem::Problem,
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
    /// Equal for equal spec, contents and re-check annotation; only within this process.
    pub(super) inputs: InputsHash,
}

/// Identifies what findings depend on. It is keyed anew in every process, so it reveals nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputsHash(u64);

static HASH_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Every object that the resource refers to, the CA bundle included.
pub fn references<K: Kind>(object: &K) -> Vec<Reference> {
    let mut references = object.references();
    references.extend(Reference::ca_bundle(object.common().tls.as_ref()));
    references
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
            inputs: hash(object, &inputs),
            redactor: inputs.redactor(),
            remarks: std::mem::take(&mut inputs.remarks),
            reads_secrets: !references.is_empty(),
            plan: K::plan(parsed, inputs),
        }),
    }
}

fn accept<K: Kind>(object: &K) -> Result<K::Parsed, Problem> {
    if object.common().target.is_some() {
        return Err(Problem::new(
            Reason::NotSupportedYet,
            "spec.target is not supported by this version. Remove it, and wire the published Secret into the pod with envFrom.",
        ));
    }
    object.parse()
}

fn hash<K: Kind>(object: &K, inputs: &Inputs) -> InputsHash {
    let mut hasher = HASH_KEY.build_hasher();
    // A spec that was read from JSON can be written as JSON; an empty text would only cost a probe.
    let spec = serde_json::to_string(object.spec()).unwrap_or_default();
    std::hash::Hash::hash(&spec, &mut hasher);
    std::hash::Hash::hash(&object.annotations().get(RECHECK_ANNOTATION), &mut hasher);
    std::hash::Hash::hash(inputs, &mut hasher);
    InputsHash(hasher.finish())
}
