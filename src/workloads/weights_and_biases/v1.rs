//! Version v1: free-form values of the chart that the W&B operator renders.
//!
//! The W&B operator merges values of several sources (`sources`), and its chart makes the environment of them
//! (`effective`). A reference is never written beside a scalar: that operator fails for good where one source has
//! a map and another a scalar. The release of the chart (`chart`) decides whether references can be taken at all.
//!
//! The issuer, the client's id and the flow, of which none is secret, also go into the chart's own fields: from
//! them the chart makes what a login needs beside the variables, such as `GORILLA_CORS_ORIGINS` from release
//! 0.41.3 on. The variables win over what the chart makes of its fields, so that both are the same.

mod chart;
mod effective;
mod elsewhere;
mod present;
mod sources;

pub use effective::{
    ChartVariable, LOGIN_APPLICATIONS, Layers, ValuePlace, environment as effective_environment,
    login_applications, merged, places,
};
pub use sources::{MANAGED, ValueSource, ValueSources, ValuesAuthor, cached_release, user_spec};

use std::collections::BTreeSet;

use serde_json::Value;

pub(super) use present::present;
pub(super) use sources::read;

use super::{
    edit::{Edit, Literal},
    reference::{Form, ResourceReference},
    tree,
};
use crate::{
    problem::Problem,
    sensitive::Sensitive,
    values::{Env, Field},
    workloads::{Delivery, Dialect, Environment},
};

/// The environment of every part of the server: a map of names.
const ENVIRONMENT: &[&str] = &["spec", "values", "global", "extraEnv"];
/// The chart makes both spellings of the client's secret from it, from release 0.38.0 on.
const OIDC_SECRET: &[&str] = &["spec", "values", "global", "auth", "oidc", "oidcSecret"];
/// Settings for which the chart has values of its own, from which it makes the same variables.
const OWN_FIELDS: [(Field, &[&str]); 3] = [
    (Field::Issuer, &["spec", "values", "global", "auth", "oidc", "issuer"]),
    (Field::ClientId, &["spec", "values", "global", "auth", "oidc", "clientId"]),
    (Field::AuthMethod, &["spec", "values", "global", "auth", "oidc", "authMethod"]),
];
/// What the chart makes of its own fields, for a client's id that it cannot render.
const CORS_ORIGINS: &str = "GORILLA_CORS_ORIGINS";
const AUTHORITIES: &[&str] = &["spec", "values", "global", "customCACerts"];
/// A value that the chart does not read. A new one makes the W&B operator apply everything again.
const REAPPLY: &[&str] = &["spec", "values", "wandbAuthOperator", "reapply"];

/// The resource and what the W&B operator merges with it.
pub(super) struct V1Snapshot<'a> {
    pub name: &'a str,
    pub object: &'a Value,
    pub sources: &'a ValueSources,
}

impl<'a> V1Snapshot<'a> {
    fn layers(&self) -> Layers<'a> {
        self.sources.values(self.object).collect()
    }
}

/// Brings the entries to the delivery, or out of the resource where there is none.
pub(super) fn edit(
    edit: &mut Edit<'_>,
    seen: &V1Snapshot<'_>,
    delivery: Option<&Delivery<'_>>,
) -> Result<(), Problem> {
    if delivery.is_some() {
        // Taking entries out needs to know nothing of other sources.
        seen.sources.unreadable.clone().map_or(Ok(()), Err)?;
        chart::check(chart::release(seen.sources.charts(seen.object)), seen.name)?;
    }
    let settings: Vec<_> = delivery.into_iter().flat_map(Delivery::settings).collect();
    let wanted: Vec<_> = delivery.map(names).unwrap_or_default();
    for name in &wanted {
        edit.reference(&variable(name), Form::Variable, Some(name));
    }
    let present = tree::find(edit.seen(), ENVIRONMENT).and_then(Value::as_object);
    let present: BTreeSet<_> = present.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
    for name in present.into_iter().filter(|name| !wanted.contains(name)) {
        edit.reference(&variable(name), Form::Variable, None);
    }
    let layers = seen.layers();
    let applications: Vec<_> = login_applications(&layers).collect();
    for path in wanted.iter().flat_map(|name| elsewhere::stronger(&applications, name)) {
        edit.give_way(&elsewhere::to_resource(&path));
    }
    let setting = |field| settings.iter().copied().find(|env| env.field == Some(field));
    let first_name = |env: Env| Dialect::Split.names(env).first().copied();
    // The chart makes a Secret of the one that is written out, unless another one is named: pods of before have it.
    let has_literal_secret = effective::variable(&layers, effective::LITERAL_SECRET).is_some();
    let secret = setting(Field::ClientSecret).filter(|_| !has_literal_secret);
    edit.reference(OIDC_SECRET, Form::OidcSecret, secret.and_then(first_name));
    let text = |field| Some(delivery?.values.get(setting(field).and_then(first_name)?)?.expose());
    let fields = OWN_FIELDS.map(|(field, path)| (path, text(field)));
    let names = OWN_FIELDS.map(|(field, _)| setting(field).and_then(first_name));
    let is_renderable = text(Field::ClientId).is_none_or(is_plain_text);
    for ((path, wanted), name) in fields.into_iter().zip(names) {
        let literal = Literal { path, name, unset: Value::from("") };
        edit.literal(&literal, wanted.filter(|_| is_renderable).map(Value::from));
    }
    edit.literal(
        &Literal { path: &variable(CORS_ORIGINS), name: None, unset: Value::Null },
        (!is_renderable && !has_cors_origins(seen, edit)).then(|| cors_origins(&layers)),
    );
    edit.authorities(AUTHORITIES, delivery.and_then(Delivery::authorities).map(Sensitive::expose));
    if let Some(delivery) = delivery {
        elsewhere::look_at_other_sources(edit, seen, &wanted, &fields);
        if !edit.is_taking_over() {
            elsewhere::look_at_settings(edit, seen, delivery, &wanted);
        }
    }
    if delivery.is_none() || edit.is_changed() {
        // The change itself is reason enough to apply everything again.
        edit.literal(&Literal { path: REAPPLY, name: None, unset: Value::Null }, None);
    }
    Ok(())
}

/// The variables of a delivery.
pub(super) fn names(delivery: &Delivery<'_>) -> Vec<&'static str> {
    let names = delivery.settings().flat_map(|env| Dialect::Both.names(env));
    names.filter(|name| delivery.values.get(name).is_some()).collect()
}

fn variable(name: &str) -> Vec<&str> {
    [ENVIRONMENT, &[name]].concat()
}

/// Whether the chart can render the text as a client's id: it writes the text once bare and once quoted into
/// YAML, where a text that looks like a number or a switch is none.
fn is_plain_text(text: &str) -> bool {
    const SWITCHES: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    // Numbers have only letters of these: hexadecimal, octal, binary, with an exponent, or infinite.
    let is_of_no_number =
        |character: char| matches!(character.to_ascii_lowercase(), 'g'..='m' | 'p'..='w' | 'y' | 'z');
    let looks_like_an_identifier =
        text.matches('-').count() > 1 && text.contains(|c: char| c.is_ascii_alphabetic());
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(is_allowed)
        && !SWITCHES.contains(&text.to_ascii_lowercase().as_str())
        && (text.contains(is_of_no_number) || looks_like_an_identifier)
}

/// Whether somebody else set the origins, who knows why.
fn has_cors_origins(seen: &V1Snapshot<'_>, edit: &Edit<'_>) -> bool {
    let path = variable(CORS_ORIGINS);
    let layers = seen.layers();
    let others = effective::holders(&layers, elsewhere::in_values(&path)).into_iter();
    let mut others = others.filter(|place| !edit.is_made_here(&elsewhere::in_the_resource(place)));
    let mut winners =
        login_applications(&layers).flat_map(|application| effective::above(application, CORS_ORIGINS));
    others.next().is_some() || winners.any(|path| effective::variable(&layers, &path).is_some())
}

/// What the chart makes of its own fields: further origins, the host, and that of a form that is posted across
/// origins. The chart's template engine fills the host in.
fn cors_origins(layers: &Layers<'_>) -> Value {
    let further = effective::at(layers, &["app", "extraCors"]).map(|(list, _)| list);
    let further = further.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    Value::from(further.chain(["{{ .Values.global.host }}", "null"]).collect::<Vec<_>>().join(","))
}

/// Makes the W&B operator apply everything again, because of this.
pub(super) fn reapply(edit: &mut Edit<'_>, cause: &str) {
    edit.literal(&Literal { path: REAPPLY, name: None, unset: Value::Null }, Some(Value::from(cause)));
}

/// Every reference to a key of a Secret among the places that are written here.
pub(super) fn references(object: &Value) -> impl Iterator<Item = ResourceReference<'_>> {
    let variables = tree::find(object, ENVIRONMENT).and_then(Value::as_object).into_iter().flatten();
    let variables = variables.filter_map(|(name, value)| Form::Variable.granular(&variable(name), value));
    let secret = tree::find(object, OIDC_SECRET);
    variables.chain(secret.and_then(|value| Form::OidcSecret.granular(OIDC_SECRET, value)))
}

/// The environment variables of the resource that refer to a Secret, with its name.
pub(super) fn variables(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let variables = tree::find(object, ENVIRONMENT).and_then(Value::as_object).into_iter().flatten();
    variables.filter_map(|(name, value)| Some((name.as_str(), Form::Variable.secret(value)?)))
}

/// What the resource and the other sources tell of the server's settings.
pub(super) fn environment(seen: &V1Snapshot<'_>) -> Environment {
    let layers = seen.layers();
    let mut environment = Environment {
        host: effective::variable(&layers, &["global", "host"]).and_then(|host| scalar(&host.value)),
        dialect: Dialect::Both,
        ..Environment::default()
    };
    for application in login_applications(&layers) {
        for (name, variable) in effective::maps(&layers, application) {
            if variable.value.get("valueFrom").is_some() {
                environment.references.insert(name);
            } else if let Some(text) = scalar(&variable.value) {
                environment.literals.insert(name, text);
            }
        }
    }
    environment
}

/// A scalar as the chart writes it into an environment variable.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
