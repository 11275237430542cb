//! Turns a resource and its references into a plan. The functions are pure.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::LazyLock,
};

use kube::ResourceExt;
use serde_json::Value;

use super::{
    Account, CheckKey, CheckedInputs, Contender, Fetched, Inputs, Kind, ObjectKey, Reference,
    ReferenceSource, Repetition, Report, SpecDigest, Values, inputs::validate::validate,
    precedence::lost_identity,
};
use crate::{
    api::{CheckName, CommonSpec, RECHECK_ANNOTATION},
    net::Trust,
    problem::Problem,
    sensitive::{Redactor, Sensitive},
};

/// The result of preparing a resource for its checks.
pub enum Prepared<K: Kind> {
    /// The spec is not valid.
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
    /// Whether the checks send credentials of an account: values from a Secret belong to one.
    pub(super) account: Account,
    pub(super) redactor: Redactor,
    /// Every value that was read from a Secret.
    pub(crate) secrets: Vec<Sensitive>,
    pub(super) check_key: CheckKey,
}

impl<K: Kind> Planned<K> {
    /// An empty report about these checks, which shows none of the values that were read.
    pub fn report(&self, order: Vec<CheckName>, repetition: Repetition) -> Report {
        Report::new(order, self.redactor.clone()).on_behalf_of(self.account).repeated(repetition)
    }

    /// Whose credentials the checks send that a server may lock.
    pub(super) fn lockable(&self) -> Account {
        K::login(&self.plan).map_or(Account::Anonymous, |_| self.account)
    }

    /// The plan that earlier values correspond to. Its checks run only once, so they count as sending no
    /// account's credentials.
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
            check_key: CheckKey {
                inputs,
                spec: inputs,
                recheck: None,
                dependency_readiness: Vec::new(),
                requests: Vec::new(),
            },
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

/// Parses the spec, looks the references up, and joins them. `others` are the resources of every kind in the same
/// namespace that may compete with this one, and `held` the values that were published or verified before.
pub fn prepare<K: Kind>(
    object: &K,
    others: &[Contender],
    objects: &BTreeMap<ObjectKey, Fetched>,
    system_trust: &Trust,
    held: &[&Values],
) -> Prepared<K> {
    prepare_known(object, &SpecDigest::of(object), others, objects, system_trust, held)
}

/// The same for a resource of which the digest is known.
pub(super) fn prepare_known<K: Kind>(
    object: &K,
    spec: &SpecDigest,
    others: &[Contender],
    objects: &BTreeMap<ObjectKey, Fetched>,
    system_trust: &Trust,
    held: &[&Values],
) -> Prepared<K> {
    let parsed = match validate(object, spec) {
        Ok(parsed) => parsed,
        Err(problem) => return Prepared::NotAccepted(problem),
    };
    if let Some(problem) = Contender::of(object).and_then(|claimant| lost_identity(&claimant, others)) {
        return Prepared::NotAccepted(problem);
    }
    let common = object.common();
    let references = object.references();
    let ca_bundle = Reference::ca_bundle(common.tls.as_ref());
    let consents = CheckedInputs::known(object, spec, objects).has_consent_of(object);
    let is_held = |value: &Sensitive| held.iter().any(|values| values.iter().any(|(_, own)| own == value));
    let is_vouched_for = |value: &Sensitive| consents || is_held(value);
    match Inputs::resolve(&references, ca_bundle.as_ref(), objects, system_trust, is_vouched_for) {
        Err(problem) => Prepared::Unresolved(problem),
        Ok(mut inputs) => Prepared::Planned(Planned {
            check_key: CheckKey {
                inputs: hash(spec, &inputs),
                spec: InputsHash(HASH_KEY.hash_one(&spec.checked)),
                recheck: object.annotations().get(RECHECK_ANNOTATION).cloned(),
                dependency_readiness: inputs.dependency_readiness(),
                requests: object.requests(),
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

fn hash(spec: &SpecDigest, inputs: &Inputs) -> InputsHash {
    let mut hasher = HASH_KEY.build_hasher();
    spec.checked.hash(&mut hasher);
    inputs.hash(&mut hasher);
    InputsHash(hasher.finish())
}

/// The spec without the fields on which nothing depends.
pub(super) fn checked(mut spec: Value) -> Value {
    if let Some(fields) = spec.as_object_mut() {
        let is_from_server = fields.get(CHECK_FROM).is_some_and(|from| from == SERVER_POD);
        fields.retain(|name, _| match name.as_str() {
            // A spec that does not mention it means the same.
            CHECK_FROM => is_from_server,
            // The pod is made like those of the target.
            TARGET if is_from_server => true,
            name => !CommonSpec::UNCHECKED.contains(&name),
        });
    }
    spec
}

const CHECK_FROM: &str = "checkFrom";
const SERVER_POD: &str = "ServerPod";
const TARGET: &str = "target";

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
        let recorded = |recheck, password: &str| {
            Some(CheckedInputs::of(&object(recheck, None), &objects("1", password)).to_string())
        };
        for (recheck, recorded, is_tried) in [
            (None, None, false),
            (None, recorded(None, ENCODED), false),
            (Some("a"), None, true),
            (Some("a"), recorded(None, ENCODED), true),
            (Some("b"), recorded(Some("a"), ENCODED), true),
            // The inputs that a status shows with this re-check may be used again.
            (Some("a"), recorded(Some("a"), ENCODED), true),
            // Another value needs another re-check.
            (Some("a"), recorded(Some("a"), "hunter2"), false),
        ] {
            let object = object(recheck, recorded.as_deref());
            let prepared = prepare(&object, &[], &objects("1", ENCODED), &Trust::empty(), &[]);
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
    fn the_target_counts_only_where_the_checks_are_made_from_its_pods() {
        let spec = |from: Option<&str>, target: &str| {
            let mut spec = serde_json::json!({"address": "a", "target": {"deployment": {"name": target}}});
            if let Some(from) = from {
                spec["checkFrom"] = from.into();
            }
            checked(spec)
        };
        assert_eq!(spec(None, "a"), spec(Some("Operator"), "b"), "an upgrade checks nothing again");
        assert_ne!(spec(None, "a"), spec(Some("ServerPod"), "a"));
        assert_ne!(spec(Some("ServerPod"), "a"), spec(Some("ServerPod"), "b"));
        assert_eq!(spec(Some("ServerPod"), "a"), spec(Some("ServerPod"), "a"));
    }

    #[test]
    fn what_is_published_stays_a_value() {
        const PASSWORD: Env = Env { local: Some("PASSWORD"), split: &[], field: None };
        let is_planned = |held: &str| {
            let mut values = Values::default();
            values.set(PASSWORD, held);
            let objects = objects("2", ENCODED);
            let prepared = prepare(&object(None, None), &[], &objects, &Trust::empty(), &[&values]);
            matches!(prepared, Prepared::Planned(_))
        };
        assert!(is_planned(ENCODED));
        assert!(!is_planned("hunter2"));
    }
}
