//! The custom resources, by their schemas.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;
use wandb_auth_operator::api::custom_resource_definitions;

use super::{NOTE, Table, check, code};

/// The words of a duration's own rule, by which one is recognised.
const DURATION: &str = "must be a duration such as 30s, 5m or 1h30m";

fn is_duration(schema: &Value) -> bool {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    rules.into_iter().flatten().any(|rule| text(rule, "message") == DURATION)
}

/// A kind and its schema.
struct Kind {
    name: String,
    plural: String,
    short_name: String,
    schema: Value,
}

fn kinds() -> Result<Vec<Kind>> {
    custom_resource_definitions()
        .into_iter()
        .map(|definition| {
            let definition = serde_json::to_value(definition)?;
            let text = |path: &str| {
                definition.pointer(path).and_then(Value::as_str).map(str::to_owned).context(path.to_owned())
            };
            Ok(Kind {
                name: text("/spec/names/kind")?,
                plural: text("/spec/names/plural")?,
                short_name: text("/spec/names/shortNames/0")?,
                schema: definition
                    .pointer("/spec/versions/0/schema/openAPIV3Schema")
                    .cloned()
                    .context("a schema")?,
            })
        })
        .collect()
}

type Properties = BTreeMap<String, Value>;

fn properties(schema: &Value, of: &str) -> Properties {
    let properties = schema.pointer(&format!("/properties/{of}/properties")).and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether it is the name and key of an object, which needs no lines of its own.
fn is_key_reference(schema: &Value) -> bool {
    let names = schema.get("properties").and_then(Value::as_object);
    names.is_some_and(|names| names.len() == 2 && names.contains_key("name") && names.contains_key("key"))
}

fn type_of(schema: &Value) -> String {
    match text(schema, "type") {
        _ if is_duration(schema) => "duration".to_owned(),
        "object" if is_key_reference(schema) => "`{name, key}`".to_owned(),
        "object" => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("map of {}", type_of(values)),
            _ => "object".to_owned(),
        },
        "array" => format!("list of {}", schema.get("items").map(type_of).unwrap_or_default()),
        "string" if text(schema, "format") == "date-time" => "time".to_owned(),
        other => other.to_owned(),
    }
}

/// What a value must keep to, in words.
fn limits(schema: &Value) -> String {
    let whole = |name: &str| schema.get(name).and_then(Value::as_f64).map(|number| number.to_string());
    let mut limits = Vec::new();
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).map(code).collect();
        limits.push(format!("One of {}.", values.join(", ")));
    }
    match (whole("minimum"), whole("maximum")) {
        (Some(least), Some(most)) => limits.push(format!("{least} to {most}.")),
        (Some(least), None) => limits.push(format!("At least {least}.")),
        (None, Some(most)) => limits.push(format!("At most {most}.")),
        (None, None) => {}
    }
    for (name, noun) in [("maxItems", "items"), ("maxProperties", "entries")] {
        limits.extend(whole(name).map(|most| format!("At most {most} {noun}.")));
    }
    if let Some(most) = whole("maxLength").filter(|_| !is_duration(schema)) {
        limits.push(format!("At most {most} characters."));
    }
    limits.join(" ")
}

fn rows(table: &mut Table, path: &str, schema: &Value, is_required: bool) {
    let default = schema.get("default").map(|value| code(value.as_str().unwrap_or(&value.to_string())));
    let default = default.unwrap_or_else(|| if is_required { "required".to_owned() } else { String::new() });
    let description = text(schema, "description").replace('|', "\\|");
    let meaning = format!("{description} {}", limits(schema));
    table.row([code(path), type_of(schema), default, meaning.trim().to_owned()]);
    let (inner, path) = match schema.get("items") {
        Some(items) => (items, format!("{path}[]")),
        None => (schema, path.to_owned()),
    };
    if !is_key_reference(inner) {
        members(table, &path, inner);
    }
}

fn members(table: &mut Table, path: &str, schema: &Value) {
    let required = |name: &str| {
        let names = schema.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        rows(table, &format!("{path}.{name}"), member, required(name));
    }
}

/// The messages of the rules, each once.
fn rules(schema: &Value, found: &mut Vec<String>) {
    let own = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    for message in own.filter_map(|rule| rule.get("message")?.as_str()) {
        let message = message.replace('<', "&lt;");
        if !found.contains(&message) {
            found.push(message);
        }
    }
    for inner in
        schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(_, inner)| inner)
    {
        rules(inner, found);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(name).filter(|inner| inner.is_object()) {
            rules(inner, found);
        }
    }
}

#[test]
fn custom_resources_are_up_to_date() -> Result<()> {
    let kinds = kinds()?;
    let specs: Vec<_> = kinds.iter().map(|kind| properties(&kind.schema, "spec")).collect();
    let is_common = |name: &String, schema: &Value| specs.iter().all(|spec| spec.get(name) == Some(schema));
    for (kind, spec) in kinds.iter().zip(&specs) {
        let required = kind
            .schema
            .pointer("/properties/spec/required")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let head = ["field", "type", "default", "meaning"];
        let (mut own, mut common, mut status) = (Table::new(&head), Table::new(&head), Table::new(&head));
        for (name, schema) in spec {
            let table = if is_common(name, schema) { &mut common } else { &mut own };
            rows(table, &format!("spec.{name}"), schema, required.iter().any(|required| required == name));
        }
        for (name, schema) in properties(&kind.schema, "status") {
            rows(&mut status, &format!("status.{name}"), &schema, false);
        }
        let mut messages = Vec::new();
        rules(&kind.schema, &mut messages);
        let messages = messages.iter().fold(String::new(), |text, message| text + "- " + message + "\n");
        let Kind { name, plural, short_name, .. } = kind;
        let text = format!(
            "# {name}\n\n{NOTE}{}\n\n`auth.wandb.com/v1alpha1`, `{plural}`, short name `{short_name}`. `kubectl explain {short_name}.spec \
             --recursive` shows the same in a cluster. Durations are written like `30s`, `5m` or `1h30m`. A `{{name, key}}` is the \
             name and key of a Secret (or ConfigMap, where the field says so) in the resource's own namespace.\n\n\
             ## Fields of its own\n\n{}## Fields that every kind has\n\n{}## Status\n\n{}## Rules\n\nThe API server refuses a \
             resource that breaks one of these:\n\n{messages}",
            text(&kind.schema, "description"),
            own.end(),
            common.end(),
            status.end(),
        );
        check(&format!("docs/reference/{}.md", name.to_lowercase()), &text)?;
    }
    Ok(())
}
