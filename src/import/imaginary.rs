//! Secrets that exist nowhere: they give a spec the values that no Secret of a cluster has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{NewSecretKey, ResourceIdentity, subject::secret};
use crate::engine::{CA_FILE, Fetched, ObjectKey};

/// The name of the Secret with the authorities.
const AUTHORITIES: &str = "authorities";

/// The objects, and how a spec refers to the authorities among them.
pub(super) struct ImaginaryObjects {
    tls: Option<Value>,
    objects: BTreeMap<ObjectKey, Fetched>,
}

/// No objects at all: a draft takes names that these do not use.
static NONE: BTreeMap<ObjectKey, Fetched> = BTreeMap::new();

impl ImaginaryObjects {
    /// The objects of a spec that trusts these authorities beside the system's, if there are some.
    pub(super) fn with_authorities(pem: Option<&str>) -> Self {
        let mut objects = Self { tls: None, objects: BTreeMap::new() };
        if let Some(pem) = pem {
            objects.put(AUTHORITIES, CA_FILE, pem);
            let reference = json!({"name": AUTHORITIES, "key": CA_FILE});
            objects.tls = Some(json!({"caBundle": {"secretKeyRef": reference}}));
        }
        objects
    }

    /// The identity of a resource that refers to them.
    pub(super) fn identity<'a>(&'a self, name: &'a str) -> ResourceIdentity<'a> {
        ResourceIdentity { name, namespace: "", target: None, tls: self.tls.as_ref(), objects: &NONE }
    }

    /// Adds the Secrets that a draft needs.
    pub(super) fn add(&mut self, made: &[NewSecretKey]) {
        for NewSecretKey { reference, value } in made {
            self.put(&reference.name, &reference.key, value.expose());
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> &BTreeMap<ObjectKey, Fetched> {
        &self.objects
    }

    /// Every value is what a spec gets of its key. One line break at the end of a key is dropped, so one is added where
    /// the value itself has one.
    fn put(&mut self, name: &str, key: &str, value: &str) {
        let line_break = if value.ends_with('\n') { "\n" } else { "" };
        let data = BTreeMap::from([(key.to_owned(), [value, line_break].concat().into_bytes())]);
        self.objects.insert(secret(name), Fetched::Found { version: String::new(), data });
    }
}
