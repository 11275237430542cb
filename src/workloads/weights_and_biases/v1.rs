//! Version v1 of the resource, which contains free-form values of the chart that the W&B operator renders.
//!
//! The W&B operator merges values of several sources (`sources`), and its chart makes the environment of them
//! (`effective`). A reference is never written where another source has a scalar: that operator fails permanently
//! if one source has a map and another a scalar in the same place. The release of the chart (`chart`) decides
//! whether references are possible at all.
//!
//! The issuer, the client's id and the flow, none of which is secret, are also written into the chart's own fields.
//! From these the chart makes other settings that a login needs, such as `GORILLA_CORS_ORIGINS` from release 0.41.3
//! on. The variables override what the chart makes of its fields, so both have the same values.

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

/// The environment of every part of the server, as a map from names to values.
const ENVIRONMENT: &[&str] = &["spec", "values", "global", "extraEnv"];
/// From this reference the chart makes both spellings of the client's secret, from release 0.38.0 on.
const OIDC_SECRET: &[&str] = &["spec", "values", "global", "auth", "oidc", "oidcSecret"];
/// The chart's own fields for settings, from which it makes the same variables.
const OWN_FIELDS: [(Field, &[&str]); 3] = [
    (Field::Issuer, &["spec", "values", "global", "auth", "oidc", "issuer"]),
    (Field::ClientId, &["spec", "values", "global", "auth", "oidc", "clientId"]),
    (Field::AuthMethod, &["spec", "values", "global", "auth", "oidc", "authMethod"]),
];
/// The variable that the chart makes of its own fields. The operator sets it itself if the chart cannot render the
/// client's id.
const CORS_ORIGINS: &str = "GORILLA_CORS_ORIGINS";
const AUTHORITIES: &[&str] = &["spec", "values", "global", "customCACerts"];
/// A value that the chart does not read. A new value makes the W&B operator apply the chart again.
const REAPPLY: &[&str] = &["spec", "values", "wandbAuthOperator", "reapply"];

/// The resource, and the other sources of values that the W&B operator merges with it.
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

/// Applies the delivery to the copy or, without a delivery, removes the owner's entries.
pub(super) fn edit(
    edit: &mut Edit<'_>,
    seen: &V1Snapshot<'_>,
    delivery: Option<&Delivery<'_>>,
) -> Result<(), Problem> {
    if delivery.is_some() {
        // The other sources matter only for a delivery. Removing entries must work even if they cannot be read.
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
    // If the secret is written out, the chart makes a Secret of it, and the pods refer to that one until they are
    // replaced. Naming another Secret here would remove it.
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
        // This change makes the W&B operator apply the chart anyway, so an earlier request to do so can go.
        edit.literal(&Literal { path: REAPPLY, name: None, unset: Value::Null }, None);
    }
    Ok(())
}

/// The names of the variables that the delivery consists of.
pub(super) fn names(delivery: &Delivery<'_>) -> Vec<&'static str> {
    let names = delivery.settings().flat_map(|env| Dialect::Both.names(env));
    names.filter(|name| delivery.values.get(name).is_some()).collect()
}

fn variable(name: &str) -> Vec<&str> {
    [ENVIRONMENT, &[name]].concat()
}

/// Whether the chart can render the text as a client's id. It writes the text into YAML both unquoted and quoted;
/// unquoted, a text that looks like a number or a boolean is no longer a text.
fn is_plain_text(text: &str) -> bool {
    const SWITCHES: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    // A numeral in YAML contains no other letters than those of hexadecimal, octal, binary, exponents and infinity,
    // so one of these letters shows that the text is no number.
    let is_of_no_number =
        |character: char| matches!(character.to_ascii_lowercase(), 'g'..='m' | 'p'..='w' | 'y' | 'z');
    let looks_like_an_identifier =
        text.matches('-').count() > 1 && text.contains(|c: char| c.is_ascii_alphabetic());
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(is_allowed)
        && !SWITCHES.contains(&text.to_ascii_lowercase().as_str())
        && (text.contains(is_of_no_number) || looks_like_an_identifier)
}

/// Whether somebody else has set the allowed origins, which must then not be changed.
fn has_cors_origins(seen: &V1Snapshot<'_>, edit: &Edit<'_>) -> bool {
    let path = variable(CORS_ORIGINS);
    let layers = seen.layers();
    let others = effective::holders(&layers, elsewhere::in_values(&path)).into_iter();
    let mut others = others.filter(|place| !edit.is_made_here(&elsewhere::in_the_resource(place)));
    let mut winners =
        login_applications(&layers).flat_map(|application| effective::above(application, CORS_ORIGINS));
    others.next().is_some() || winners.any(|path| effective::variable(&layers, &path).is_some())
}

/// The value that the chart makes of its own fields: the further origins, the host, and `null`, which is the origin
/// of a form that is posted across origins. The chart's template engine fills in the host.
fn cors_origins(layers: &Layers<'_>) -> Value {
    let further = effective::at(layers, &["app", "extraCors"]).map(|(list, _)| list);
    let further = further.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    Value::from(further.chain(["{{ .Values.global.host }}", "null"]).collect::<Vec<_>>().join(","))
}

/// Makes the W&B operator apply the chart again. `cause` is written into the resource, so that the same cause does
/// so once.
pub(super) fn reapply(edit: &mut Edit<'_>, cause: &str) {
    edit.literal(&Literal { path: REAPPLY, name: None, unset: Value::Null }, Some(Value::from(cause)));
}

/// Every reference to a key of a Secret in those places of the resource that this operator writes.
pub(super) fn references(object: &Value) -> impl Iterator<Item = ResourceReference<'_>> {
    let variables = tree::find(object, ENVIRONMENT).and_then(Value::as_object).into_iter().flatten();
    let variables = variables.filter_map(|(name, value)| Form::Variable.granular(&variable(name), value));
    let secret = tree::find(object, OIDC_SECRET);
    variables.chain(secret.and_then(|value| Form::OidcSecret.granular(OIDC_SECRET, value)))
}

/// The environment variables of the resource that refer to a Secret, each with the name of the Secret.
pub(super) fn variables(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let variables = tree::find(object, ENVIRONMENT).and_then(Value::as_object).into_iter().flatten();
    variables.filter_map(|(name, value)| Some((name.as_str(), Form::Variable.secret(value)?)))
}

/// The settings of the server that the resource and the other sources show.
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

/// The text that the chart makes of a scalar for an environment variable.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
