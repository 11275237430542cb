//! The environment of the container that runs the server.

use std::collections::{BTreeMap, BTreeSet};

use super::{EntryOrigin, EnvironmentEntry, Installation, ServerShape, expansion::expand};
use crate::{
    api::KeyReference,
    engine::{Env, Fetched, ObjectKey, ReferenceSource, Requirement},
    sensitive::Sensitive,
    values::HOST,
};

/// The environment of the container that runs the server, with the values that could be read.
#[derive(Clone)]
pub struct FoundEnvironment {
    /// Which names the server reads first.
    pub shape: ServerShape,
    /// Every variable, by name.
    pub variables: BTreeMap<String, Variable>,
    /// The address at which people open W&B.
    pub host: Option<String>,
    /// The issuer whose tokens the server accepts. A person must supply it, since no variable contains it.
    pub token_issuer: Option<String>,
}

/// An environment variable of the server.
#[derive(Clone)]
pub struct Variable {
    /// Where the value comes from.
    pub source: VariableSource,
    /// The value; `None` if it could not be read.
    pub value: Option<Sensitive>,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableSource {
    /// A key of a Secret.
    Secret(KeyReference),
    /// A place to which a resource cannot refer.
    Elsewhere,
}

/// A setting of the server, under one of its names.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The name of the variable.
    pub name: &'static str,
    /// The variable of that name.
    pub variable: &'a Variable,
}

/// Resolves the environment of an installation with the objects to which it refers.
pub fn resolve(subject: &Installation, objects: &BTreeMap<ObjectKey, Fetched>) -> FoundEnvironment {
    let mut variables = BTreeMap::new();
    for entry in &subject.entries {
        match entry {
            EnvironmentEntry::Every { object, prefix } => {
                let Some(Fetched::Found { data, .. }) = objects.get(object) else { continue };
                for (key, bytes) in data {
                    let variable = Variable { source: source(object, key), value: text(bytes) };
                    variables.insert(format!("{prefix}{key}"), variable);
                }
            }
            EnvironmentEntry::Variable { name, origin } => {
                if let Some(variable) = variable(origin, objects, &variables) {
                    variables.insert(name.clone(), variable);
                }
            }
        }
    }
    FoundEnvironment::of(variables, subject.shape, subject.host.clone())
}

/// The variable that an entry defines; `None` if the entry is optional and the key to which it refers does not
/// exist.
fn variable(
    origin: &EntryOrigin,
    objects: &BTreeMap<ObjectKey, Fetched>,
    earlier: &BTreeMap<String, Variable>,
) -> Option<Variable> {
    let value_of = |name: &str| match earlier.get(name) {
        Some(variable) => Some(variable.value.as_ref().map(Sensitive::expose)),
        None => is_of_service(name).then_some(None),
    };
    match origin {
        EntryOrigin::Text(text) => Some(Variable {
            source: VariableSource::Elsewhere,
            value: expand(text, value_of).map(Sensitive::new),
        }),
        EntryOrigin::Elsewhere => Some(Variable { source: VariableSource::Elsewhere, value: None }),
        EntryOrigin::Key { object, key, need } => {
            let bytes = match objects.get(object) {
                Some(Fetched::Found { data, .. }) => data.get(key),
                _ => None,
            };
            let is_absent =
                matches!(objects.get(object), None | Some(Fetched::Found { .. } | Fetched::Missing { .. }));
            if bytes.is_none() && is_absent && *need == Requirement::Optional {
                return None;
            }
            Some(Variable { source: source(object, key), value: bytes.and_then(|bytes| text(bytes)) })
        }
    }
}

/// The words by which the names of sign-in settings are recognized.
const MARKS: [&str; 6] = ["OIDC", "LDAP", "SSO", "SAML", "FEDERATED", "AUTH_METHOD"];

fn is_about_sign_in(name: &str) -> bool {
    MARKS
        .iter()
        .any(|mark| name.split('_').any(|word| word == *mark) || name.ends_with(mark) && mark.contains('_'))
}

/// Whether Kubernetes may define a variable of this name for a Service.
fn is_of_service(name: &str) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|part| name.contains(part))
}

fn source(object: &ObjectKey, key: &str) -> VariableSource {
    match object.source {
        ReferenceSource::Secret => {
            VariableSource::Secret(KeyReference { name: object.name.to_string(), key: key.to_owned() })
        }
        ReferenceSource::ConfigMap | ReferenceSource::Neighbour(_) => VariableSource::Elsewhere,
    }
}

fn text(bytes: &[u8]) -> Option<Sensitive> {
    String::from_utf8(bytes.to_vec()).ok().map(Sensitive::new)
}

/// Guesses the shape of a server with an unknown image: only names of `wandb/local` have one of these prefixes.
fn by_names(variables: &BTreeMap<String, Variable>) -> ServerShape {
    let is_local = |name: &String| name.starts_with("OIDC_") || name.starts_with("LOCAL_");
    if variables.keys().any(is_local) { ServerShape::Local } else { ServerShape::Split }
}

impl FoundEnvironment {
    /// The environment with these variables. Without a shape, the names of the variables show it, and without a
    /// host, their values.
    pub fn of(
        variables: BTreeMap<String, Variable>,
        shape: Option<ServerShape>,
        host: Option<String>,
    ) -> Self {
        let is_stated = |host: &String| !host.is_empty();
        let in_variable = |name: &'static str| {
            variables.get(name)?.value.as_ref().map(|value| value.expose().to_owned()).filter(is_stated)
        };
        let host = host.filter(is_stated).or_else(|| HOST.names().find_map(in_variable));
        let shape = shape.unwrap_or_else(|| by_names(&variables));
        Self { shape, variables, host, token_issuer: None }
    }

    /// The names of variables that look like settings of how people log in, and that none of these settings has.
    pub fn unknown_names<'a>(&'a self, known: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a str> {
        let names = self.variables.keys().map(String::as_str);
        names.filter(|name| is_about_sign_in(name) && !is_of_service(name) && !known.contains(name))
    }

    /// The setting under the first of its names that has a value, in the order in which this shape of the server
    /// reads them.
    pub fn setting(&self, env: Env) -> Option<Setting<'_>> {
        self.settings(env).find(|setting| !setting.is_empty())
    }

    /// The setting under each of its names, in the same order. Empty ones are included.
    pub fn settings(&self, env: Env) -> impl Iterator<Item = Setting<'_>> {
        let (first, second): (Vec<_>, Vec<_>) = match self.shape {
            ServerShape::Local => (env.local.into_iter().collect(), env.split.to_vec()),
            ServerShape::Split => (env.split.to_vec(), env.local.into_iter().collect()),
        };
        let second = second.into_iter().filter({
            let first = first.clone();
            move |name| !first.contains(name)
        });
        let names = first.into_iter().chain(second);
        names.filter_map(|name| Some(Setting { name, variable: self.variables.get(name)? }))
    }

    /// The name that this shape of the server reads first for the setting.
    pub fn first_name(&self, env: Env) -> Option<&'static str> {
        match self.shape {
            ServerShape::Local => env.local.or_else(|| env.split.first().copied()),
            ServerShape::Split => env.split.first().copied().or(env.local),
        }
    }

    /// The name under which the setting has a value, or else the one that the server reads first.
    pub fn name_of(&self, env: Env) -> &'static str {
        self.setting(env).map(|setting| setting.name).or_else(|| self.first_name(env)).unwrap_or_default()
    }

    /// Whether the setting has a value under any of its names.
    pub fn is_set(&self, env: Env) -> bool {
        self.setting(env).is_some()
    }
}

impl Setting<'_> {
    /// The value of the setting, if it could be read.
    pub fn text(&self) -> Option<&str> {
        self.variable.value.as_ref().map(Sensitive::expose)
    }

    /// Whether the setting is known to be an empty text.
    fn is_empty(&self) -> bool {
        self.text().is_some_and(str::is_empty)
    }
}
