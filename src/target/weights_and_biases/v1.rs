//! Version v1: free-form values of the chart that the W&B operator renders.
//!
//! An entry is never a scalar: the W&B operator merges values from several sources, and fails for good
//! where one of them has a map and another a scalar.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    edit::Edit,
    reference::{Form, Reference},
    tree,
};
use crate::{
    engine::{Env, Field},
    sensitive::Sensitive,
    target::{Delivery, Dialect, Environment},
};

/// The environment of every part of the server: a map of names.
const ENVIRONMENT: &[&str] = &["spec", "values", "global", "extraEnv"];
/// The chart makes both spellings of the client's secret from it.
const OIDC_SECRET: &[&str] = &["spec", "values", "global", "auth", "oidc", "oidcSecret"];
/// Settings for which the chart has values of its own, from which it makes the same variables.
const RIVALS: [(Field, &[&str]); 3] = [
    (Field::Issuer, &["spec", "values", "global", "auth", "oidc", "issuer"]),
    (Field::ClientId, &["spec", "values", "global", "auth", "oidc", "clientId"]),
    (Field::AuthMethod, &["spec", "values", "global", "auth", "oidc", "authMethod"]),
];
const AUTHORITIES: &[&str] = &["spec", "values", "global", "customCACerts"];
const HOST: &[&str] = &["spec", "values", "global", "host"];

/// Brings the entries to the delivery, or out of the resource where there is none.
pub(super) fn edit(edit: &mut Edit<'_>, delivery: Option<&Delivery<'_>>) {
    let settings: Vec<_> = delivery.into_iter().flat_map(Delivery::settings).collect();
    let is_secret = |env: &&Env| env.field == Some(Field::ClientSecret);
    let has_value = |name: &&str| delivery.is_some_and(|delivery| delivery.values.get(name).is_some());
    let variables = settings.iter().filter(|env| !is_secret(env)).flat_map(|env| Dialect::Both.names(*env));
    let wanted: Vec<_> = variables.filter(has_value).collect();
    for name in &wanted {
        edit.reference(&variable(name), Form::Variable, Some(name));
    }
    let present = tree::find(edit.seen(), ENVIRONMENT).and_then(Value::as_object);
    let present: BTreeSet<_> = present.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
    for name in present.into_iter().filter(|name| !wanted.contains(name)) {
        edit.reference(&variable(name), Form::Variable, None);
    }
    let secret = settings.iter().find(is_secret).copied();
    let key = secret.and_then(|env| Dialect::Split.names(env).first().copied());
    edit.reference(OIDC_SECRET, Form::OidcSecret, key);
    for name in secret.into_iter().flat_map(Env::names) {
        edit.vacant(&variable(name), Form::Variable);
    }
    for (field, path) in RIVALS {
        if settings.iter().any(|env| env.field == Some(field)) {
            edit.vacant(path, Form::Variable);
        }
    }
    edit.authorities(AUTHORITIES, delivery.and_then(Delivery::authorities).map(Sensitive::expose));
}

fn variable(name: &str) -> Vec<&str> {
    [ENVIRONMENT, &[name]].concat()
}

/// Every reference to a key of a Secret among the places that are written here.
pub(super) fn references(object: &Value) -> impl Iterator<Item = Reference<'_>> {
    let variables = tree::find(object, ENVIRONMENT).and_then(Value::as_object).into_iter().flatten();
    let variables = variables.filter_map(|(name, value)| Form::Variable.granular(&variable(name), value));
    let secret = tree::find(object, OIDC_SECRET);
    variables.chain(secret.and_then(|value| Form::OidcSecret.granular(OIDC_SECRET, value)))
}

/// What the resource tells of the server's settings.
pub(super) fn environment(object: &Value) -> Environment {
    let variables = || tree::find(object, ENVIRONMENT).and_then(Value::as_object).into_iter().flatten();
    let literals = variables().filter_map(|(name, value)| Some((name.clone(), scalar(value)?)));
    let references = variables().filter(|(_, value)| value.get("valueFrom").is_some());
    Environment {
        literals: literals.collect(),
        references: references.map(|(name, _)| name.clone()).collect(),
        host: tree::text(object, HOST).map(ToOwned::to_owned),
        dialect: Dialect::Both,
        remarks: None,
    }
}

/// A scalar as the chart writes it into an environment variable.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
