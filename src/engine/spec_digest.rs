//! What is computed of a spec: once for each generation of a resource, as that takes most of what a run does by itself.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Kind, inputs::fingerprint::hexadecimal, plan::checked};
use crate::api::schema::{self, Violation};

/// What is computed of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecDigest {
    /// Tells the part of the spec that findings and values depend on from any other one. Another process, made with
    /// another release of Rust, gives the same spec the same digest: otherwise an upgrade would send credentials again
    /// that were refused.
    pub(super) checked: String,
    /// Every field that is outside the limits of the schema.
    pub(super) violations: Vec<Violation>,
}

impl SpecDigest {
    /// The resource's.
    pub fn of<K: Kind>(object: &K) -> Self {
        // A spec that was read from JSON can be written as JSON.
        let Ok(spec) = serde_json::to_value(object.spec()) else {
            let sentence = "spec cannot be written as JSON.".to_owned();
            let violations = vec![Violation { field: "spec".to_owned(), sentence }];
            return Self { checked: String::new(), violations };
        };
        let limits = schema::spec_schema(&K::kind(&()));
        let violations = limits.map(|limits| schema::violations(limits, &spec, "spec")).unwrap_or_default();
        Self { checked: digest_of(&checked(spec).to_string()), violations }
    }
}

/// Stands for a text: the beginning of its SHA-256 in hexadecimal.
pub(crate) fn digest_of(text: &str) -> String {
    hexadecimal(digest(&SHA256, text.as_bytes()).as_ref())
}

/// A digest, and the generation of the spec that it is of.
#[derive(Clone, Debug)]
pub(super) struct KeptDigest {
    generation: i64,
    digest: Arc<SpecDigest>,
}

impl KeptDigest {
    /// The digest of the resource's present generation: the one that is kept, or a new one in its place.
    pub(super) fn digest<K: Kind>(kept: &mut Option<Self>, object: &K) -> Arc<SpecDigest> {
        let generation = object.meta().generation;
        if let Some(kept) = kept.as_ref().filter(|kept| Some(kept.generation) == generation) {
            return Arc::clone(&kept.digest);
        }
        let digest = Arc::new(SpecDigest::of(object));
        *kept = generation.map(|generation| Self { generation, digest: Arc::clone(&digest) });
        digest
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::LdapConfig;

    fn object(generation: Option<i64>, base_dn: &str) -> LdapConfig {
        serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": "corp", "generation": generation},
            "spec": {"address": "ldaps://ldap.example.org", "baseDN": base_dn},
        }))
        .unwrap()
    }

    #[test]
    fn a_spec_is_looked_at_once_for_each_generation() {
        let mut kept = None;
        let first = KeptDigest::digest(&mut kept, &object(Some(1), "dc=one"));
        assert!(Arc::ptr_eq(&first, &KeptDigest::digest(&mut kept, &object(Some(1), "dc=one"))));
        let second = KeptDigest::digest(&mut kept, &object(Some(2), "dc=two"));
        assert!(first != second && *second == SpecDigest::of(&object(None, "dc=two")));
        // What never met an API server has no generation.
        let mut kept = None;
        let one = KeptDigest::digest(&mut kept, &object(None, "dc=one"));
        assert!(*one != *KeptDigest::digest(&mut kept, &object(None, "dc=two")));
    }
}
