//! Computes the environment that the W&B operator v1 and its chart make of the values of several sources. This is
//! pure.
//!
//! The W&B operator merges the sources key by key: the first source that has a key decides, two maps are merged
//! recursively, two lists are concatenated, and two values of different kinds make it stop ([`misfits`]). The chart
//! then fills the container of each application from, in falling precedence: `<app>.containers.<app>.env`,
//! `<app>.env`, `<app>.extraEnv`, `global.env`, `global.extraEnv`, and finally from what it makes of `global.auth`
//! and `global.host`. A value that Go considers empty does not count there.

use std::{collections::BTreeMap, mem::discriminant};

use serde_json::{Value, json};

use super::sources::ValuesAuthor;
use crate::workloads::weights_and_biases::tree;

/// The values of each source, in falling precedence.
pub type Layers<'a> = Vec<(ValuesAuthor, &'a Value)>;

/// The place of a value in one of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePlace {
    /// The author of the source.
    pub origin: ValuesAuthor,
    /// The keys that lead to the value from the root of the values.
    pub path: Vec<String>,
}

/// An environment variable as the chart writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartVariable {
    /// A scalar, or the rest of an entry, such as `{valueFrom: …}`.
    pub value: Value,
    /// The place of the value, in the first source that has it.
    pub place: ValuePlace,
}

/// The applications that answer logins: `wandb/local`, and the API of the split services.
pub const LOGIN_APPLICATIONS: [&str; 2] = ["app", "api"];

/// The chart's own settings, each with the environment variables that the chart makes of it.
const SETTINGS: [(&[&str], &[&str]); 4] = [
    (&["global", "host"], &["HOST", "GORILLA_FRONTEND_HOST"]),
    (&["global", "auth", "oidc", "clientId"], &["OIDC_CLIENT_ID", "GORILLA_OIDC_CLIENT_ID"]),
    (&["global", "auth", "oidc", "issuer"], &["OIDC_ISSUER", "GORILLA_OIDC_ISSUER"]),
    (&["global", "auth", "oidc", "authMethod"], &["OIDC_AUTH_METHOD", "GORILLA_AUTH_METHOD"]),
];
/// The environment variables for the secret of the OpenID Connect client.
pub const SECRET_NAMES: [&str; 2] = ["OIDC_SECRET", "GORILLA_OIDC_SECRET"];
const OIDC: [&str; 3] = ["global", "auth", "oidc"];
/// The value with the secret of the client as plain text.
pub const LITERAL_SECRET: &[&str] = &["global", "auth", "oidc", "secret"];
/// The value that sets how long a login lasts, in hours.
pub const SESSION_HOURS: &[&str] = &["global", "auth", "sessionLengthHours"];

/// The applications that answer logins and that the chart installs with these values.
pub fn login_applications(layers: &Layers<'_>) -> impl Iterator<Item = &'static str> {
    let is =
        |path: &[&str], value: bool| at(layers, path).and_then(|(found, _)| found.as_bool()) == Some(value);
    let is_left_out = [is(&["app", "install"], false), !is(&["global", "api", "enabled"], true)];
    LOGIN_APPLICATIONS
        .into_iter()
        .zip(is_left_out)
        .filter(|(_, is_left_out)| !is_left_out)
        .map(|(name, _)| name)
}

/// Every environment variable that the sources give to an application, by name.
pub fn environment(layers: &Layers<'_>, application: &str) -> BTreeMap<String, ChartVariable> {
    let mut variables = of_settings(layers);
    variables.extend(maps(layers, application));
    variables
}

/// The environment variables that the sources name explicitly, without those made of the chart's own settings.
pub fn maps(layers: &Layers<'_>, application: &str) -> BTreeMap<String, ChartVariable> {
    let weakest_first = places(application).into_iter().rev();
    let named = weakest_first.flat_map(|path| {
        let names = at(layers, &path).and_then(|(map, _)| map.as_object().cloned()).unwrap_or_default();
        let found = names.into_iter().filter_map(move |(name, _)| {
            let variable = variable(layers, &[path.as_slice(), &[&name]].concat())?;
            Some((name, variable))
        });
        found.collect::<Vec<_>>()
    });
    named.collect()
}

/// The places of this variable that override `global.extraEnv` in an application, the strongest first.
pub fn above<'a>(application: &'a str, name: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let places = places(application).into_iter().filter(|path| *path != GLOBAL_EXTRA);
    places.map(|path| [path.as_slice(), &[name]].concat())
}

/// The places at this path in every source that has a non-empty value there.
pub fn holders(layers: &Layers<'_>, path: &[&str]) -> Vec<ValuePlace> {
    let has = |values: &Value| tree::find(values, path).is_some_and(|value| !is_empty(value));
    let holders = layers.iter().filter(|(_, values)| has(values));
    holders.map(|(origin, _)| ValuePlace::new(*origin, path)).collect()
}

/// The merged value at the path, with the first source that has it, or `None` if Go considers the value empty.
pub fn variable(layers: &Layers<'_>, path: &[&str]) -> Option<ChartVariable> {
    let (value, origin) = at(layers, path)?;
    (!is_empty(&value)).then(|| ChartVariable { value, place: ValuePlace::new(origin, path) })
}

/// The merged value of all sources at the path, with the first source that has anything there.
pub fn at(layers: &Layers<'_>, path: &[&str]) -> Option<(Value, ValuesAuthor)> {
    let mut found = layers.iter().filter_map(|(origin, values)| Some((*origin, tree::find(values, path)?)));
    let (origin, first) = found.next()?;
    let mut merged = first.clone();
    for (_, below) in found {
        merge(&mut merged, below, &mut Vec::new(), &mut Vec::new());
    }
    Some((merged, origin))
}

/// The merged values of all sources.
pub fn merged(layers: &Layers<'_>) -> Value {
    at(layers, &[]).map(|(values, _)| values).unwrap_or_default()
}

/// The places where a source has a value of another kind than the sources before it. The W&B operator stops there.
pub fn misfits(layers: &Layers<'_>) -> Vec<ValuePlace> {
    let mut layers = layers.iter();
    let Some((_, first)) = layers.next() else { return Vec::new() };
    let mut merged = (*first).clone();
    let places = layers.flat_map(|(origin, values)| {
        let mut paths = Vec::new();
        merge(&mut merged, values, &mut Vec::new(), &mut paths);
        paths.into_iter().map(|path| ValuePlace { origin: *origin, path })
    });
    places.collect()
}

/// Adds to `over` what it lacks from `under`, and records the paths where the kinds of values differ.
fn merge(over: &mut Value, under: &Value, path: &mut Vec<String>, misfits: &mut Vec<Vec<String>>) {
    match (over, under) {
        (Value::Object(over), Value::Object(under)) => {
            for (key, value) in under {
                if let Some(present) = over.get_mut(key) {
                    path.push(key.clone());
                    merge(present, value, path, misfits);
                    path.pop();
                } else {
                    over.insert(key.clone(), value.clone());
                }
            }
        }
        (Value::Array(over), Value::Array(under)) => over.extend(under.iter().cloned()),
        (over, under) if discriminant(over) == discriminant(under) && !over.is_null() => {}
        _ => misfits.push(path.clone()),
    }
}

const GLOBAL_EXTRA: [&str; 2] = ["global", "extraEnv"];

/// The maps of environment variables of an application, the strongest first.
pub fn places(application: &str) -> [Vec<&str>; 5] {
    [
        vec![application, "containers", application, "env"],
        vec![application, "env"],
        vec![application, "extraEnv"],
        vec!["global", "env"],
        GLOBAL_EXTRA.to_vec(),
    ]
}

/// The environment variables that the chart makes of its own settings.
fn of_settings(layers: &Layers<'_>) -> BTreeMap<String, ChartVariable> {
    let mut variables = BTreeMap::new();
    let mut insert = |names: &[&str], variable: &ChartVariable| {
        variables.extend(names.iter().map(|name| ((*name).to_owned(), variable.clone())));
    };
    // Without a client id, the chart ignores its other OIDC settings.
    let has_client = variable(layers, &[OIDC.as_slice(), &["clientId"]].concat()).is_some();
    for (path, names) in SETTINGS {
        if let Some(variable) = variable(layers, path)
            && (has_client || !path.starts_with(&OIDC))
        {
            insert(names, &variable);
        }
    }
    let secret = variable(layers, &[OIDC.as_slice(), &["oidcSecret", "name"]].concat());
    if let Some(ChartVariable { value: name, place }) = secret {
        let key = at(layers, &[OIDC.as_slice(), &["oidcSecret", "secretKey"]].concat());
        let key = key.map_or_else(|| json!("OIDC_SECRET"), |(key, _)| key);
        let value = json!({"valueFrom": {"secretKeyRef": {"name": name, "key": key}}});
        insert(&SECRET_NAMES, &ChartVariable { value, place });
    } else if let Some(secret) = variable(layers, LITERAL_SECRET) {
        insert(&SECRET_NAMES, &secret);
    }
    if let Some(ChartVariable { value: hours, place }) = variable(layers, SESSION_HOURS) {
        let hours = hours.as_str().map_or_else(|| hours.to_string(), ToOwned::to_owned);
        insert(&["GORILLA_SESSION_LENGTH"], &ChartVariable { value: json!(format!("{hours}h")), place });
    }
    variables
}

/// Whether Go's templates and the library mergo consider the value empty.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

impl ValuePlace {
    fn new(origin: ValuesAuthor, path: &[&str]) -> Self {
        Self { origin, path: path.iter().map(|key| (*key).to_owned()).collect() }
    }

    /// Describes the place for people: the path in the `WeightsAndBiases` of this name, or the other object and,
    /// for the System Console, the page on which a person can change the value.
    pub fn describe(&self, name: &str) -> String {
        let path = self.path.join(".");
        let Some(object) = self.origin.object(name) else { return format!("spec.values.{path}") };
        match self.origin {
            ValuesAuthor::Console => {
                let is_form = self.path.iter().map(String::as_str).take(3).eq(OIDC);
                let page = if is_form { "Authentication" } else { "Advanced > User Spec" };
                format!("{path} in the {object} (System Console > Settings > {page})")
            }
            _ => format!("{path} in the {object}"),
        }
    }
}

#[cfg(test)]
mod tests;
