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
    Account, Claimant, Fetched, Inputs, Kind, ObjectKey, Question, Reference, ReferenceSource, Values,
    accept::accept, claims::lost_identity,
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

impl<K: Kind> Planned<K> {
    /// The plan that values of before stand for. It is made on behalf of nobody: its checks run once.
    pub(super) fn of_values(plan: K::Plan, values: &Values) -> Self {
        let secrets: Vec<_> =
            K::CREDENTIAL.and_then(|env| values.setting(env)).cloned().into_iter().collect();
        let mut hasher = HASH_KEY.build_hasher();
        values.iter().for_each(|(name, value)| (name, value.expose()).hash(&mut hasher));
        let inputs = InputsHash(hasher.finish());
        Self {
            plan,
            remarks: Vec::new(),
            account: Account::Anonymous,
            redactor: Redactor::new(secrets.iter().cloned()),
            secrets,
            question: Question { inputs, recheck: None, surroundings: Vec::new() },
        }
    }
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
pub struct CheckedInputs {
    text: String,
    generation: Option<i64>,
}

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
        Self { text, generation: object.meta().generation }
    }

    /// Whether a status speaks of the re-check that the object asks for now.
    pub fn has_recheck_of<K: Kind>(object: &K, status: &Status) -> bool {
        let recorded = status.checked_inputs.as_deref().and_then(|text| text.rsplit_once(VERSION_MARK));
        recorded.is_none_or(|(inputs, _)| match recheck(object).as_str() {
            "" => !inputs.contains(RECHECK_MARK),
            wanted => inputs.ends_with(wanted),
        })
    }

    /// Whether a person asks to try these inputs even if a value looks like none: by a re-check that no status
    /// tells of yet, or that one tells of with these very inputs. So each re-check lets a value through once.
    fn has_consent_of<K: Kind>(&self, object: &K) -> bool {
        let is_asked = object.annotations().contains_key(RECHECK_ANNOTATION);
        let is_used_up = |status: &Status| {
            let is_known = status.checked_inputs.is_some() && Self::has_recheck_of(object, status);
            is_known && !self.agrees_with(status)
        };
        is_asked && !object.status().is_some_and(is_used_up)
    }

    /// Whether a status speaks of the same, whichever version of the operator wrote it.
    pub fn agrees_with(&self, status: &Status) -> bool {
        let recorded = status.checked_inputs.as_deref().and_then(|text| text.rsplit_once(VERSION_MARK));
        recorded.is_some_and(|(inputs, _)| inputs == self.text || self.agrees_with_earlier(inputs, status))
    }

    /// Whether a status agrees that the release before wrote, with a shorter digest of another kind: the
    /// generation tells instead that the spec is the same. Without this the upgrade would send all credentials
    /// that were refused once more, at the same time. To be removed after the next release.
    fn agrees_with_earlier(&self, recorded: &str, status: &Status) -> bool {
        let earlier = without_spec(recorded, EARLIER_DIGITS);
        self.generation.is_some()
            && self.generation == status.observed_generation
            && earlier.is_some()
            && earlier == without_spec(&self.text, 2 * DIGEST_BYTES)
    }
}

/// How many digits the digest of a spec had in the release before.
const EARLIER_DIGITS: usize = 16;

/// What stands before and after a spec's digest of so many digits.
fn without_spec(text: &str, digits: usize) -> Option<(&str, &str)> {
    let (before, rest) = text.split_once(" spec=")?;
    let (digest, after) = rest.split_at_checked(digits)?;
    let is_whole = digest.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_whole && (after.is_empty() || after.starts_with(' '))).then_some((before, after))
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
        write!(f, "{}{VERSION_MARK}{}", self.text, env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
impl From<&str> for CheckedInputs {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), generation: None }
    }
}

/// Parses the spec, looks the references up and joins them. `others` are the resources of every kind in the
/// same namespace that stand in anybody's way, and `held` what has been published or verified before.
pub fn prepare<K: Kind>(
    object: &K,
    others: &[Claimant],
    objects: &BTreeMap<ObjectKey, Fetched>,
    system_trust: &Trust,
    held: &[&Values],
) -> Prepared<K> {
    let parsed = match accept(object) {
        Ok(parsed) => parsed,
        Err(problem) => return Prepared::NotAccepted(problem),
    };
    if let Some(problem) = Claimant::of(object).and_then(|claimant| lost_identity(&claimant, others)) {
        return Prepared::NotAccepted(problem);
    }
    let common = object.common();
    let references = object.references();
    let ca_bundle = Reference::ca_bundle(common.tls.as_ref());
    let consents = CheckedInputs::of(object, objects).has_consent_of(object);
    let is_held = |value: &Sensitive| held.iter().any(|values| values.iter().any(|(_, own)| own == value));
    let is_vouched_for = |value: &Sensitive| consents || is_held(value);
    match Inputs::resolve(&references, ca_bundle.as_ref(), objects, system_trust, is_vouched_for) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{LdapConfig, Reason},
        engine::Env,
    };

    fn object(recheck: Option<&str>, checked_inputs: Option<&str>) -> LdapConfig {
        let annotations = recheck.map(|value| BTreeMap::from([(RECHECK_ANNOTATION, value)]));
        serde_json::from_value(serde_json::json!({
            "apiVersion": "auth.wandb.com/v1alpha1",
            "kind": "LdapConfig",
            "metadata": {"name": "corp", "uid": "1", "generation": 2, "annotations": annotations},
            "spec": {
                "address": "ldaps://ldap.example.org",
                "baseDN": "dc=example,dc=org",
                "bind": {"dn": "cn=w,dc=example,dc=org", "passwordSecretRef": {"name": "ldap", "key": "password"}},
            },
            "status": {"observedGeneration": 2, "checkedInputs": checked_inputs},
        }))
        .unwrap()
    }

    fn objects(version: &str, password: &str) -> BTreeMap<ObjectKey, Fetched> {
        let data = BTreeMap::from([("password".to_owned(), password.as_bytes().to_vec())]);
        let key = ObjectKey { source: ReferenceSource::Secret, name: "ldap".into() };
        BTreeMap::from([(key, Fetched::Found { version: version.into(), data })])
    }

    /// The base64 of `hunter2`.
    const ENCODED: &str = "aHVudGVyMg==";

    #[test]
    fn a_value_that_looks_wrong_is_tried_once_for_each_recheck() {
        let recorded = |recheck, version: &str| {
            Some(CheckedInputs::of(&object(recheck, None), &objects(version, ENCODED)).to_string())
        };
        for (recheck, recorded, is_tried) in [
            (None, None, false),
            (None, recorded(None, "1"), false),
            (Some("a"), None, true),
            (Some("a"), recorded(None, "1"), true),
            (Some("b"), recorded(Some("a"), "1"), true),
            // What came of it may be looked at again.
            (Some("a"), recorded(Some("a"), "1"), true),
            // Another value needs another consent.
            (Some("a"), recorded(Some("a"), "0"), false),
        ] {
            let object = object(recheck, recorded.as_deref());
            let prepared = prepare(&object, &[], &objects("1", ENCODED), &Trust::nobody(), &[]);
            match prepared {
                Prepared::Planned(planned) => {
                    assert!(is_tried, "{recheck:?} {recorded:?}");
                    assert_eq!(planned.remarks.first().unwrap().reason, Reason::DoubtfulValue);
                }
                Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => {
                    assert!(!is_tried, "{recheck:?} {recorded:?}");
                    assert_eq!(problem.reason, Reason::InvalidValue);
                    assert!(problem.message.contains(RECHECK_ANNOTATION), "{}", problem.message);
                }
            }
        }
    }

    #[test]
    fn what_is_published_stays_a_value() {
        const PASSWORD: Env = Env { local: Some("PASSWORD"), split: &[], field: None };
        let is_planned = |held: &str| {
            let mut values = Values::default();
            values.set(PASSWORD, held);
            let objects = objects("2", ENCODED);
            let prepared = prepare(&object(None, None), &[], &objects, &Trust::nobody(), &[&values]);
            matches!(prepared, Prepared::Planned(_))
        };
        assert!(is_planned(ENCODED));
        assert!(!is_planned("hunter2"));
    }

    #[test]
    fn the_form_of_the_release_before_agrees_where_nothing_changed() {
        let object = object(Some("a"), None);
        let inputs = CheckedInputs::of(&object, &objects("1", "hunter2"));
        let earlier = |digest: &str, version: &str, recheck: &str| {
            format!("uid=1 spec={digest} Secret/ldap={version}{recheck} operator=0.1.0")
        };
        let digest = "0123456789abcdef";
        for (recorded, generation, agrees) in [
            (inputs.to_string(), 1, true),
            (earlier(digest, "1", " recheck=a"), 2, true),
            (earlier(digest, "1", " recheck=a"), 1, false),
            (earlier(digest, "0", " recheck=a"), 2, false),
            (earlier(digest, "1", " recheck=b"), 2, false),
            (earlier(digest, "1", ""), 2, false),
            (earlier(&digest.repeat(2), "1", " recheck=a"), 2, false),
            (earlier("0123456789abcdeg", "1", " recheck=a"), 2, false),
        ] {
            let status = Status {
                checked_inputs: Some(recorded.clone()),
                observed_generation: Some(generation),
                ..Status::default()
            };
            assert_eq!(inputs.agrees_with(&status), agrees, "{recorded} {generation}");
        }
    }
}
