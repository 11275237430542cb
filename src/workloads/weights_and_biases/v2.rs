//! Version v2 of the resource, which has typed fields for OIDC, and lists of environment variables for everything
//! else.
//!
//! The list of a single application overrides the list of all applications, which overrides the fields. So entries
//! are put into the fields and the list of all, and the lists of single applications must not contradict them.

use serde_json::{Map, Value, json};

use super::{
    edit::{Edit, Literal},
    reference::{Form, ResourceReference},
    shape::OidcFieldShape,
    tree,
    v1::LOGIN_APPLICATIONS,
};
use crate::{
    sensitive::Sensitive,
    values::{Env, Field},
    workloads::{Delivery, Dialect, Environment},
};

/// The settings whose field refers to a key of a Secret, each with the variable that the W&B operator makes of it.
const FIELDS: [(Field, &[&str], &str); 4] = [
    (Field::Issuer, &["spec", "wandb", "oidc", "issuerUrl"], "GORILLA_OIDC_ISSUER"),
    (Field::ClientId, &["spec", "wandb", "oidc", "clientId"], "GORILLA_OIDC_CLIENT_ID"),
    (Field::ClientSecret, &["spec", "wandb", "oidc", "clientSecret"], "GORILLA_OIDC_SECRET"),
    (Field::AuthMethod, &["spec", "wandb", "oidc", "authMethod"], "GORILLA_AUTH_METHOD"),
];
const SESSION_LENGTH: Literal<'_> = Literal {
    path: &["spec", "wandb", "oidc", "sessionLength"],
    name: Some("GORILLA_SESSION_LENGTH"),
    unset: Value::Null,
};
const NO_PROVISIONING: Literal<'_> = Literal {
    path: &["spec", "wandb", "security", "disableSSOProvisioning"],
    name: Some("GORILLA_DISABLE_SSO_PROVISIONING"),
    unset: Value::Bool(false),
};
/// The environments of the parts of the server: one list for each, and one for all of them.
const OVERRIDES: &[&str] = &["spec", "wandb", "legacyOverrides"];
const ALL: &str = "global";
const AUTHORITIES: &[&str] = &["spec", "global", "customCACerts"];
const HOST: &[&str] = &["spec", "wandb", "hostname"];
/// The variables with the address at which people open the server. The server prefers the first one.
const HOST_VARIABLES: [&str; 2] = ["GORILLA_FRONTEND_HOST", "HOST"];

/// Applies the delivery to the copy or, without a delivery, removes the owner's entries.
pub(super) fn edit(edit: &mut Edit<'_>, delivery: Option<&Delivery<'_>>, shape: OidcFieldShape) {
    let setting = |field| delivery?.settings().find(|env| env.field == Some(field));
    for (field, path, variable) in FIELDS {
        let key = setting(field).and_then(first_name);
        edit.field(path, Form::Field(shape), key, (&variables_of(ALL), variable));
    }
    let text = |field| Some(delivery?.values.get(setting(field).and_then(first_name)?)?.expose());
    edit.literal(&SESSION_LENGTH, text(Field::SessionLength).map(|length| json!(length)));
    edit.literal(&NO_PROVISIONING, text(Field::NoProvisioning).map(|disabled| json!(disabled == "true")));
    let (fields, others): (Vec<_>, Vec<_>) =
        delivery.into_iter().flat_map(Delivery::settings).partition(|env| env.field.is_some());
    let fields: Vec<_> = fields.into_iter().flat_map(|env| Dialect::Split.names(env)).collect();
    let has_value = |name: &&str| delivery.is_some_and(|delivery| delivery.values.get(name).is_some());
    let others: Vec<_> =
        others.into_iter().flat_map(|env| Dialect::Split.names(env)).filter(has_value).collect();
    edit.vacant_variables(&variables_of(ALL), &fields);
    edit.variables(&variables_of(ALL), &others);
    for application in applications(edit.seen()) {
        let path = variables_of(application);
        if LOGIN_APPLICATIONS.contains(&application) {
            edit.vacant_variables(&path, &[fields.as_slice(), &others].concat());
        }
        edit.variables(&path, &[]);
    }
    edit.authorities(AUTHORITIES, delivery.and_then(Delivery::authorities).map(Sensitive::expose));
}

fn first_name(env: Env) -> Option<&'static str> {
    Dialect::Split.names(env).first().copied()
}

/// The list of environment variables of an application, or of all. The API server tracks each list as one value.
fn variables_of(application: &str) -> Vec<&str> {
    [OVERRIDES, &[application, "env"]].concat()
}

/// The applications that have an environment of their own.
fn applications(object: &Value) -> impl Iterator<Item = &str> {
    let overrides = tree::find(object, OVERRIDES).and_then(Value::as_object);
    overrides.into_iter().flat_map(Map::keys).map(String::as_str).filter(|name| *name != ALL)
}

/// Every reference to a key of a Secret in those places of the resource that this operator writes.
pub(super) fn references(object: &Value, shape: OidcFieldShape) -> Vec<ResourceReference<'_>> {
    let fields = FIELDS.into_iter().filter_map(|(_, path, _)| {
        tree::find(object, path).and_then(|value| Form::field(shape, path, value))
    });
    let lists = [ALL].into_iter().chain(applications(object)).map(variables_of);
    let variables = lists.flat_map(|path| {
        let entries = tree::list(object, &path).iter();
        entries.filter_map(|entry| Form::Variable.atomic(&path, entry)).collect::<Vec<_>>()
    });
    fields.chain(variables).collect()
}

/// The settings of the server that the resource shows: those of all applications, overridden by those of the
/// applications that answer logins.
pub(super) fn environment(object: &Value) -> Environment {
    let mut environment = Environment { dialect: Dialect::Split, ..Environment::default() };
    for application in [ALL].into_iter().chain(LOGIN_APPLICATIONS) {
        for entry in tree::list(object, &variables_of(application)) {
            let Some(name) = tree::text(entry, &["name"]) else { continue };
            if entry.get("valueFrom").is_some() {
                environment.literals.remove(name);
                environment.references.insert(name.to_owned());
            } else {
                environment.references.remove(name);
                let value = tree::text(entry, &["value"]).unwrap_or_default();
                environment.literals.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    let is_set =
        |name: &&str| environment.literals.contains_key(*name) || environment.references.contains(*name);
    environment.host = match HOST_VARIABLES.iter().find(|name| is_set(name)) {
        Some(name) => environment.literals.get(*name).cloned(),
        None => tree::text(object, HOST).map(ToOwned::to_owned),
    };
    environment
}
