//! Makes a resource that the API server accepts from the fields that a kind has found.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    FoundEnvironment, Hole, Loss, NewSecretKey, Recovery, Setting, StandIn, VariableSource, recovery::boolean,
};
use crate::{
    api::{GROUP, VERSION},
    engine::{Env, Fetched, Kind, ObjectKey, Prepared, prepare},
    net::Trust,
    sensitive::Sensitive,
};

/// A kind whose spec can be found from the environment of a running server.
pub trait Recoverable: Kind {
    /// Whether the environment contains settings of this kind.
    fn is_configured(found: &FoundEnvironment) -> bool;

    /// Whether somebody meant the environment to contain settings of this kind, although the ones without which it
    /// cannot work may be missing.
    fn is_meant(found: &FoundEnvironment) -> bool {
        Self::is_configured(found)
    }

    /// The fields of the spec, each with the setting as which it is published.
    const FIELDS: &'static [(&'static str, Env)];

    /// What a spec has in the place of fields that the environment does not give.
    const STAND_INS: &'static [StandIn];

    /// Variables that W&B Server does not read, and that are taken for settings of this kind; each with the setting that
    /// is meant.
    const UNREAD: &'static [(&'static str, Env)] = &[];

    /// Settings that may have an effect without the rest of the kind.
    const INDEPENDENT: &'static [Env] = &[];

    /// What a person must know about a field that no variable of the server gives, if there is one.
    const UNSAID: Option<&'static str> = None;

    /// Finds the fields of the spec.
    fn recover(found: &FoundEnvironment, recovery: &mut Recovery<'_>);

    /// Adds to the environment what this resource says about the server and no variable of the kind contains.
    fn add_unsaid(&self, _found: &mut FoundEnvironment) {}

    /// Takes from another resource what no environment contains, such as how values are checked.
    fn complete(&mut self, present: &Self);
}

/// The parts of a resource that do not come from the environment.
#[derive(Clone, Copy)]
pub struct ResourceIdentity<'a> {
    /// The name of the resource.
    pub name: &'a str,
    /// The namespace of the resource.
    pub namespace: &'a str,
    /// `spec.target`, if the resource delivers to a target.
    pub target: Option<&'a Value>,
    /// `spec.tls`, if the installation trusts authorities of its own.
    pub tls: Option<&'a Value>,
    /// The objects that were read. New Secrets get names that these do not use.
    pub objects: &'a BTreeMap<ObjectKey, Fetched>,
}

/// A resource with the settings that a server has now.
pub struct ResourceDraft {
    /// The kind of the resource.
    pub kind: String,
    /// Every setting that the kind can have.
    pub environment: &'static [Env],
    /// The resource itself.
    pub manifest: Value,
    /// What a person must add to the resource before it can be applied. It is usually empty.
    pub holes: Vec<Hole>,
    /// The keys of Secrets that must be created before the resource is applied.
    pub made: Vec<NewSecretKey>,
    /// The variables that the resource cannot express.
    pub losses: Vec<Loss>,
    /// What a person should know about the resource.
    pub notes: Vec<String>,
}

/// Makes the resource of a kind; `None` if the environment has no settings of that kind.
pub fn draft<K: Recoverable>(
    found: &FoundEnvironment,
    identity: ResourceIdentity<'_>,
) -> Option<ResourceDraft> {
    if !K::is_configured(found) {
        return None;
    }
    let (mut manifest, mut recovery) = recovered::<K>(found, identity);
    if recovery.holes.is_empty()
        && let Some(complaint) = complaint::<K>(&manifest)
    {
        recovery.holes.push(Hole::Refused(complaint));
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
        // If no connection is encrypted, the spec may not have `tls`, so it is removed again.
        if recovery.holes.is_empty() && complaint::<K>(&manifest).is_some() {
            take_out(&mut manifest, "tls");
        }
    }
    let Recovery { holes, made, losses, notes, .. } = recovery;
    let kind = K::kind(&()).into_owned();
    Some(ResourceDraft { kind, environment: K::ENVIRONMENT, manifest, holes, made, losses, notes })
}

/// The fields that are found, and the resource with those that every resource has.
pub(super) fn recovered<'a, K: Recoverable>(
    found: &FoundEnvironment,
    identity: ResourceIdentity<'a>,
) -> (Value, Recovery<'a>) {
    let mut recovery = Recovery::new(identity.name, identity.objects);
    recovery.notes = disagreements::<K>(found)
        .map(|(first, other)| {
            format!(
                "{} and {} have different values. This server reads {} first, so that value was taken; the other one is not carried over.",
                first.name, other.name, first.name
            )
        })
        .collect();
    K::recover(found, &mut recovery);
    (manifest::<K>(found, identity, &recovery), recovery)
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

pub(super) fn put(manifest: &mut Value, field: &str, value: Value) {
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(field.to_owned(), value);
    }
}

pub(super) fn take_out(manifest: &mut Value, field: &str) {
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove(field);
    }
}

/// The problem of the resource, judged without the objects to which it refers.
pub(super) fn complaint<K: Kind>(manifest: &Value) -> Option<String> {
    let object = match K::deserialize(manifest) {
        Ok(object) => object,
        Err(error) => return Some(error.to_string()),
    };
    match prepare(&object, &[], &BTreeMap::new(), &Trust::empty(), &[]) {
        Prepared::NotAccepted(problem) => Some(problem.message),
        Prepared::Unresolved(_) | Prepared::Planned(_) => None,
    }
}

/// The settings that have different values under their names: the one that the server reads first, and another one.
pub(super) fn disagreements<K: Kind>(
    found: &FoundEnvironment,
) -> impl Iterator<Item = (Setting<'_>, Setting<'_>)> {
    K::ENVIRONMENT.iter().filter_map(|env| {
        let first = found.setting(*env)?;
        let differs = |other: &Setting<'_>| {
            other.text().zip(first.text()).is_some_and(|(other, first)| !is_same(other, first))
        };
        Some((first, found.settings(*env).find(differs)?))
    })
}

/// Whether both texts mean the same. A number of hours is written with or without `h`, and Go reads `1` as true.
fn is_same(text: &str, other: &str) -> bool {
    text.trim_end_matches('h') == other.trim_end_matches('h')
        || boolean(text).is_some_and(|is_on| boolean(other) == Some(is_on))
}

impl FoundEnvironment {
    /// Compares every variable of these settings with the published value of the same name. Variables that neither
    /// side has are left out.
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

/// How a variable of the server compares with the published value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both have the same value.
    Same,
    /// They have different values.
    Different,
    /// The value of the server could not be read.
    Unknown,
    /// The variable is not published, so it stays as it is.
    Left,
    /// The variable is not set at the server today.
    New,
}
