//! Version v2: typed fields of its own for OIDC, and a list of environment variables for all else.

use serde_json::{Value, json};

use super::{
    edit::{Edit, Literal},
    reference::{Form, Reference},
    tree,
};
use crate::{
    engine::{Env, Field},
    sensitive::Sensitive,
    target::{Delivery, Dialect, Environment},
};

/// Settings whose field selects a key of a Secret.
const SELECTORS: [(Field, &[&str]); 4] = [
    (Field::Issuer, &["spec", "wandb", "oidc", "issuerUrl"]),
    (Field::ClientId, &["spec", "wandb", "oidc", "clientId"]),
    (Field::ClientSecret, &["spec", "wandb", "oidc", "clientSecret"]),
    (Field::AuthMethod, &["spec", "wandb", "oidc", "authMethod"]),
];
const SESSION_LENGTH: Literal<'_> = Literal {
    path: &["spec", "wandb", "oidc", "sessionLength"],
    name: "GORILLA_SESSION_LENGTH",
    unset: Value::Null,
};
const NO_PROVISIONING: Literal<'_> = Literal {
    path: &["spec", "wandb", "security", "disableSSOProvisioning"],
    name: "GORILLA_DISABLE_SSO_PROVISIONING",
    unset: Value::Bool(false),
};
/// The environment of every part of the server; one list that is owned as a whole.
const ENVIRONMENT: &[&str] = &["spec", "wandb", "legacyOverrides", "global", "env"];
const AUTHORITIES: &[&str] = &["spec", "global", "customCACerts"];
const HOST: &[&str] = &["spec", "wandb", "hostname"];

/// Brings the entries to the delivery, or out of the resource where there is none.
pub(super) fn edit(edit: &mut Edit<'_>, delivery: Option<&Delivery<'_>>) {
    let setting = |field| delivery?.settings().find(|env| env.field == Some(field));
    for (field, path) in SELECTORS {
        edit.reference(path, Form::Selector, setting(field).and_then(first_name));
    }
    let text = |field| Some(delivery?.values.get(setting(field).and_then(first_name)?)?.expose());
    edit.literal(&SESSION_LENGTH, text(Field::SessionLength).map(|length| json!(length)));
    edit.literal(&NO_PROVISIONING, text(Field::NoProvisioning).map(|disabled| json!(disabled == "true")));
    let fields = delivery.into_iter().flat_map(Delivery::settings).filter(|env| env.field.is_some());
    edit.vacant_variables(ENVIRONMENT, &fields.flat_map(|env| Dialect::Split.names(env)).collect::<Vec<_>>());
    let others = delivery.into_iter().flat_map(|delivery| {
        let settings = delivery.settings().filter(|env| env.field.is_none());
        let names = settings.flat_map(|env| Dialect::Split.names(env));
        names.filter(|name| delivery.values.get(name).is_some())
    });
    edit.variables(ENVIRONMENT, &others.collect::<Vec<_>>());
    edit.authorities(AUTHORITIES, delivery.and_then(Delivery::authorities).map(Sensitive::expose));
}

fn first_name(env: Env) -> Option<&'static str> {
    Dialect::Split.names(env).first().copied()
}

/// Every reference to a key of a Secret among the places that are written here.
pub(super) fn references(object: &Value) -> impl Iterator<Item = Reference<'_>> {
    let selectors = SELECTORS.into_iter().filter_map(|(_, path)| {
        tree::find(object, path).and_then(|value| Form::Selector.atomic(path, value))
    });
    let variables = tree::list(object, ENVIRONMENT).iter();
    selectors.chain(variables.filter_map(|entry| Form::Variable.atomic(ENVIRONMENT, entry)))
}

/// What the resource tells of the server's settings.
pub(super) fn environment(object: &Value) -> Environment {
    let entries = || tree::list(object, ENVIRONMENT).iter();
    let literals = entries().filter_map(|entry| {
        let value = tree::text(entry, &["value"])?;
        Some((tree::text(entry, &["name"])?.to_owned(), value.to_owned()))
    });
    let references = entries().filter(|entry| entry.get("valueFrom").is_some());
    Environment {
        literals: literals.collect(),
        references: references
            .filter_map(|entry| tree::text(entry, &["name"]).map(ToOwned::to_owned))
            .collect(),
        host: tree::text(object, HOST).map(ToOwned::to_owned),
        dialect: Dialect::Split,
        remarks: None,
    }
}
