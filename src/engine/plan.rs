//! From a resource and its references to a plan: pure.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::LazyLock,
};

use aws_lc_rs::digest::{SHA256, digest};
use kube::ResourceExt;
use serde_json::Value;

use super::{
    Account, Claimant, Fetched, Inputs, Kind, ObjectKey, Question, Reference, ReferenceSource,
    accept::accept, claims::superseded,
};
use crate::{
    api::{CommonSpec, RECHECK_ANNOTATION, Status},
    net::Trust,
    problem::{Problem, quote},
    sensitive::{Redactor, Sensitive},
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
    /// On whose behalf the checks are made: values from a Secret belong to an account.
    pub(super) account: Account,
    pub(super) redactor: Redactor,
    /// Every value that was read from a Secret.
    pub(crate) secrets: Vec<Sensitive>,
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

/// Names the object, its spec, what it refers to and the annotation that findings speak of, in a way
/// that outlives the process. Contents are named by version only, so it reveals nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedInputs(String);

impl CheckedInputs {
    /// What a run on these objects speaks of.
    pub fn of<K: Kind>(object: &K, objects: &BTreeMap<ObjectKey, Fetched>) -> Self {
        let uid = object.uid().unwrap_or_default();
        // Another process, made with another release of Rust, gives the same spec the same digest:
        // otherwise an upgrade would send credentials again that were refused.
        let mut text = format!("uid={uid} spec=");
        for byte in digest(&SHA256, checked_spec(object).as_bytes()).as_ref().iter().take(DIGEST_BYTES) {
            let _ = write!(text, "{byte:02x}");
        }
        for (key, fetched) in objects {
            let version = match fetched {
                Fetched::Found { version, .. } => version,
                Fetched::Resource(found) => &found.version,
                Fetched::Missing | Fetched::Forbidden => continue,
            };
            let _ = write!(text, " {}/{}={version}", key.source.kind(), key.name);
        }
        text.push_str(&recheck(object));
        Self(text)
    }

    /// Whether a status speaks of the re-check that the object asks for now.
    pub fn has_recheck_of<K: Kind>(object: &K, status: &Status) -> bool {
        let recorded = status.checked_inputs.as_deref().and_then(|text| text.rsplit_once(VERSION_MARK));
        recorded.is_none_or(|(inputs, _)| match recheck(object).as_str() {
            "" => !inputs.contains(RECHECK_MARK),
            wanted => inputs.ends_with(wanted),
        })
    }

    /// Whether a status speaks of the same, whichever version of the operator wrote it.
    pub fn agrees_with(&self, recorded: &str) -> bool {
        recorded.rsplit_once(VERSION_MARK).is_some_and(|(inputs, _)| inputs == self.0)
    }
}

/// How much of a spec's digest is written down: enough to tell two specs of one resource apart.
const DIGEST_BYTES: usize = 16;

/// Precedes the value of the re-check annotation.
const RECHECK_MARK: &str = " recheck=";

/// The re-check that the object asks for.
fn recheck<K: Kind>(object: &K) -> String {
    let value = object.annotations().get(RECHECK_ANNOTATION);
    value.map_or_else(String::new, |value| format!("{RECHECK_MARK}{}", quote(value)))
}

/// Precedes the operator's version in [`CheckedInputs`].
const VERSION_MARK: &str = " operator=";

impl Display for CheckedInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{VERSION_MARK}{}", self.0, env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
impl From<&str> for CheckedInputs {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Parses the spec, looks the references up and joins them. `others` are the resources of every kind in the
/// same namespace that stand in anybody's way.
pub fn prepare<K: Kind>(
    object: &K,
    others: &[Claimant],
    objects: &BTreeMap<ObjectKey, Fetched>,
    system_trust: &Trust,
) -> Prepared<K> {
    let parsed = match accept(object) {
        Ok(parsed) => parsed,
        Err(problem) => return Prepared::NotAccepted(problem),
    };
    if let Some(problem) = Claimant::of(object).and_then(|claimant| superseded(&claimant, others)) {
        return Prepared::NotAccepted(problem);
    }
    let common = object.common();
    let references = object.references();
    let ca_bundle = Reference::ca_bundle(common.tls.as_ref());
    match Inputs::resolve(&references, ca_bundle.as_ref(), objects, system_trust) {
        Err(problem) => Prepared::Unresolved(problem),
        Ok(mut inputs) => Prepared::Planned(Planned {
            question: Question {
                inputs: hash(object, &inputs),
                recheck: object.annotations().get(RECHECK_ANNOTATION).cloned(),
                surroundings: inputs.surroundings(),
            },
            redactor: inputs.redactor(),
            secrets: inputs.secrets().cloned().collect(),
            remarks: std::mem::take(&mut inputs.remarks),
            account: if references.iter().any(|reference| reference.source == ReferenceSource::Secret) {
                Account::Named
            } else {
                Account::Anonymous
            },
            plan: K::plan(parsed, inputs),
        }),
    }
}

fn hash<K: Kind>(object: &K, inputs: &Inputs) -> InputsHash {
    let mut hasher = HASH_KEY.build_hasher();
    checked_spec(object).hash(&mut hasher);
    inputs.hash(&mut hasher);
    InputsHash(hasher.finish())
}

/// The part of the spec that findings and values depend on: the rest can change without a check.
fn checked_spec<K: Kind>(object: &K) -> String {
    // A spec that was read from JSON can be written as JSON; an empty text would only cost a probe.
    checked(serde_json::to_value(object.spec()).unwrap_or_default()).to_string()
}

/// The spec without the fields on which nothing depends.
pub(super) fn checked(mut spec: Value) -> Value {
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|name, _| !CommonSpec::UNCHECKED.contains(&name.as_str()));
    }
    spec
}
