//! Finds the plan from which values were published, to check whether these values still work.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    FoundEnvironment, NewSecretKey, Recoverable, ServerShape, Variable, VariableSource, draft,
    draft::ResourceIdentity, subject::secret,
};
use crate::{
    engine::{CA_FILE, Fetched, ObjectKey, Prepared, Values, prepare},
    net::Trust,
    sensitive::Sensitive,
};

/// The name and key of an imaginary Secret that contains the authorities of the values.
const AUTHORITIES: (&str, &str) = ("authorities", CA_FILE);

/// The plan of a spec that would publish these values, or `None` if no spec of the kind would. Settings that no
/// value contains are taken from the present resource, except for those that concern only that resource, such as
/// samples and test users.
pub fn plan_of<K: Recoverable>(present: &K, values: &Values, system_trust: &Trust) -> Option<K::Plan> {
    let names = K::ENVIRONMENT.iter().flat_map(|env| env.names());
    let variables = names.filter_map(|name| {
        let value = Some(values.get(name)?.clone());
        Some((name.to_owned(), Variable { source: VariableSource::Elsewhere, value }))
    });
    let variables = variables.collect();
    let mut found = FoundEnvironment { shape: ServerShape::Local, variables, host: None, token_issuer: None };
    present.add_unsaid(&mut found);
    let mut objects = BTreeMap::new();
    let tls = values.get(CA_FILE).map(|authorities| put(&mut objects, AUTHORITIES, authorities));
    let tls = tls.map(|reference| json!({"caBundle": {"secretKeyRef": reference}}));
    let identity = ResourceIdentity {
        name: "earlier",
        namespace: "",
        target: None,
        tls: tls.as_ref(),
        objects: &objects,
    };
    let draft = draft::<K>(&found, identity)?;
    if !draft.holes.is_empty() || !draft.losses.is_empty() {
        return None;
    }
    for NewSecretKey { reference, value } in &draft.made {
        put(&mut objects, (&reference.name, &reference.key), value);
    }
    let mut earlier: K = K::deserialize(&draft.manifest).ok()?;
    earlier.complete(present);
    match prepare(&earlier, &[], &objects, system_trust, &[values]) {
        Prepared::Planned(planned) => Some(planned.plan),
        Prepared::NotAccepted(_) | Prepared::Unresolved(_) => None,
    }
}

/// Adds a Secret with this value to the objects, and returns the reference to it.
fn put(objects: &mut BTreeMap<ObjectKey, Fetched>, (name, key): (&str, &str), value: &Sensitive) -> Value {
    let data = BTreeMap::from([(key.to_owned(), value.expose().as_bytes().to_vec())]);
    objects.insert(secret(name), Fetched::Found { version: String::new(), data });
    json!({"name": name, "key": key})
}
