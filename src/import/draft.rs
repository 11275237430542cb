//! From the fields that a kind found to a resource that the API server takes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{FoundEnvironment, Loss, NewSecretKey, Recovery, VariableSource};
use crate::{
    api::{GROUP, VERSION},
    engine::{Env, Fetched, Kind, ObjectKey, Prepared, prepare},
    net::Trust,
    sensitive::Sensitive,
};

/// A kind that can be found in the environment of a running server.
pub trait Recoverable: Kind {
    /// Whether the environment has what this kind is for.
    fn is_configured(found: &FoundEnvironment) -> bool;

    /// Finds the fields of the spec.
    fn recover(found: &FoundEnvironment, recovery: &mut Recovery<'_>);

    /// Adds what this resource says of the server and no variable of the kind tells.
    fn add_unsaid(&self, _found: &mut FoundEnvironment) {}

    /// Takes over from another resource what only a spec can tell: how its values are to be checked.
    fn complete(&mut self, present: &Self);
}

/// What a resource has beside what the environment tells.
#[derive(Clone, Copy)]
pub struct ResourceIdentity<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// `spec.target`, where it delivers to anything.
    pub target: Option<&'a Value>,
    /// `spec.tls`, where there are authorities of one's own.
    pub tls: Option<&'a Value>,
    /// What was read, by which the names of new Secrets are chosen.
    pub objects: &'a BTreeMap<ObjectKey, Fetched>,
}

/// A resource that says what a server has.
pub struct ResourceDraft {
    /// Its kind.
    pub kind: String,
    /// Every setting of the kind.
    pub environment: &'static [Env],
    /// The resource.
    pub manifest: Value,
    /// What a person must write into it before it can be applied; usually nothing.
    pub holes: Vec<String>,
    /// The keys of Secrets that are to be made before.
    pub made: Vec<NewSecretKey>,
    /// The variables that it cannot say.
    pub losses: Vec<Loss>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The resource of a kind; nothing where the environment has nothing of it.
pub fn draft<K: Recoverable>(
    found: &FoundEnvironment,
    identity: ResourceIdentity<'_>,
) -> Option<ResourceDraft> {
    if !K::is_configured(found) {
        return None;
    }
    let mut recovery = Recovery::new(identity.name, identity.objects);
    recovery.notes = disagreements::<K>(found);
    K::recover(found, &mut recovery);
    let mut manifest = manifest::<K>(found, identity, &recovery);
    if recovery.holes.is_empty()
        && let Some(complaint) = complaint::<K>(&manifest)
    {
        recovery.holes.push(complaint);
    }
    for (field, value, names) in std::mem::take(&mut recovery.optional) {
        put(&mut manifest, field, value);
        if recovery.holes.is_empty()
            && let Some(complaint) = complaint::<K>(&manifest)
        {
            take_out(&mut manifest, field);
            for name in names {
                recovery.lose(name, complaint.clone());
            }
        }
    }
    if let Some(tls) = identity.tls {
        put(&mut manifest, "tls", tls.clone());
        // Connections without encryption have no use for authorities.
        if recovery.holes.is_empty() && complaint::<K>(&manifest).is_some() {
            take_out(&mut manifest, "tls");
        }
    }
    let Recovery { holes, made, losses, notes, .. } = recovery;
    let kind = K::kind(&()).into_owned();
    Some(ResourceDraft { kind, environment: K::ENVIRONMENT, manifest, holes, made, losses, notes })
}

fn manifest<K: Kind>(
    found: &FoundEnvironment,
    identity: ResourceIdentity<'_>,
    recovery: &Recovery<'_>,
) -> Value {
    let ResourceIdentity { name, namespace, .. } = identity;
    let mut manifest = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": K::kind(&()),
        "metadata": {"name": name, "namespace": namespace},
        "spec": {},
    });
    for (field, value) in &recovery.required {
        put(&mut manifest, field, value.clone());
    }
    if let Some(target) = identity.target {
        put(&mut manifest, "target", target.clone());
    }
    let in_use: BTreeSet<&str> = found
        .variables
        .values()
        .filter_map(|variable| match &variable.source {
            VariableSource::Secret(reference) => Some(reference.name.as_str()),
            VariableSource::Elsewhere => None,
        })
        .chain(recovery.made.iter().map(|made| made.reference.name.as_str()))
        .collect();
    let usual = format!("{name}-{}", K::SHORT_NAME);
    if in_use.iter().any(|secret| is_of(secret, &usual)) {
        put(&mut manifest, "secretName", json!(format!("{usual}-env")));
    }
    manifest
}

/// Whether the name is that of the published Secret or of one of its revisions.
fn is_of(secret: &str, published: &str) -> bool {
    secret.strip_prefix(published).is_some_and(|rest| {
        let number = rest.strip_prefix('-').unwrap_or_default();
        rest.is_empty() || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn put(manifest: &mut Value, field: &str, value: Value) {
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(field.to_owned(), value);
    }
}

fn take_out(manifest: &mut Value, field: &str) {
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove(field);
    }
}

/// What is wrong with the resource by itself.
fn complaint<K: Kind>(manifest: &Value) -> Option<String> {
    let object = match K::deserialize(manifest) {
        Ok(object) => object,
        Err(error) => return Some(error.to_string()),
    };
    match prepare(&object, &[], &BTreeMap::new(), &Trust::empty(), &[]) {
        Prepared::NotAccepted(problem) => Some(problem.message),
        Prepared::Unresolved(_) | Prepared::Planned(_) => None,
    }
}

/// Settings that have different values under their names, of which the server reads one.
fn disagreements<K: Kind>(found: &FoundEnvironment) -> Vec<String> {
    let all = K::ENVIRONMENT.iter().filter_map(|env| {
        let first = found.setting(*env)?;
        let other = found.settings(*env).find(|other| {
            let differs = other.text().zip(first.text()).is_some_and(|(other, first)| other != first);
            differs && !other.text().is_some_and(|text| is_same(text, first.text()))
        })?;
        Some(format!(
            "{} and {} have different values. This server reads {} first, so that value was taken; the other one is not carried over.",
            first.name, other.name, first.name
        ))
    });
    all.collect()
}

/// Hours are written in two ways.
fn is_same(text: &str, other: Option<&str>) -> bool {
    other.is_some_and(|other| text.trim_end_matches('h') == other.trim_end_matches('h'))
}

impl FoundEnvironment {
    /// Every variable of the kinds that the value of its name among the published values differs from, and
    /// whether it does: the comparison of what is there with what would be there.
    pub fn compare<'a>(
        &'a self,
        environment: &'static [Env],
        published: impl Fn(&str) -> Option<&'a Sensitive> + 'a,
    ) -> impl Iterator<Item = (&'static str, Comparison)> + 'a {
        environment.iter().flat_map(|env| env.names()).filter_map(move |name| {
            let present = self.variables.get(name);
            let comparison = match (present.map(|variable| &variable.value), published(name)) {
                (Some(Some(present)), Some(wanted)) if present == wanted => Comparison::Same,
                (Some(Some(_)), Some(_)) => Comparison::Different,
                (Some(None), Some(_)) => Comparison::Unknown,
                (Some(_), None) => Comparison::Left,
                (None, Some(_)) => Comparison::New,
                (None, None) => return None,
            };
            Some((name, comparison))
        })
    }
}

/// How a variable that is there stands to the published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both have the same value.
    Same,
    /// They have different values.
    Different,
    /// The present value could not be read.
    Unknown,
    /// It is not published, so it stays as it is.
    Left,
    /// It is not set today.
    New,
}
