//! `kubectl explain` shows no default of a schema, so that each description says its own.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wandb_auth_operator::api::custom_resource_definitions;

/// A value as people write it in a manifest.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}: {}", shown(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// Whether its members have defaults of their own, which say more than all of them together.
fn is_struct(schema: &Value) -> bool {
    schema["properties"].is_object()
}

fn is_duration(schema: &Value) -> bool {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten().any(|rule| rule["message"] == "must be a duration such as 30s, 5m or 1h30m")
}

/// Whether a number says what it is a number of.
fn has_unit(schema: &Value) -> bool {
    let text = description(schema);
    schema["type"] != "integer"
        || ["bits", "How many", "number", "revision", "generation"].iter().any(|unit| text.contains(unit))
}

/// Whether the text says more than what the field is and what its default is: a sentence of its own, or a clause after
/// the default.
fn has_effect(text: &str) -> bool {
    let (defaults, sentences): (Vec<_>, Vec<_>) =
        text.split(". ").partition(|sentence| sentence.starts_with("Default: "));
    let explains = |default: &&str| {
        let value = default.trim_start_matches("Default: ");
        let after = value.strip_prefix('`').and_then(|value| value.split_once('`'));
        let after = after.map_or(value, |(_, after)| after);
        after.contains(", ") || after.contains("; ")
    };
    sentences.len() > 1 || defaults.iter().any(explains)
}

/// Every field of a status has a description, and numbers say what they count. Conditions are Kubernetes' own.
fn status_members(path: &str, schema: &Value, complaints: &mut Vec<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if description(member).split(' ').count() < 2 || !has_unit(member) {
            complaints.push(format!("{path}: {}", description(member)));
        }
        status_members(&path, member, complaints);
        if name != "conditions" {
            status_members(&format!("{path}[]"), &member["items"], complaints);
        }
    }
}

fn judge(path: &str, schema: &Value, is_required: bool, complaints: &mut Vec<String>) {
    let text = description(schema);
    if !is_required && !text.contains("Default: ") {
        complaints.push(format!("{path} does not say its default: {text}"));
    }
    let default = schema.get("default").filter(|_| !is_struct(schema));
    if let Some(default) = default.map(|default| format!("Default: `{}`", shown(default)))
        && !text.contains(&default)
    {
        complaints.push(format!("{path} does not say {default}: {text}"));
    }
    if is_duration(schema) && !text.contains("a duration") {
        complaints.push(format!("{path} does not say that it is a duration: {text}"));
    }
    if !has_unit(schema) {
        complaints.push(format!("{path} does not say what it counts: {text}"));
    }
    if !has_effect(text) {
        complaints.push(format!("{path} does not say what follows from it: {text}"));
    }
    members(path, schema, complaints);
    if schema["items"].is_object() {
        members(&format!("{path}[]"), &schema["items"], complaints);
    }
}

fn members(path: &str, schema: &Value, complaints: &mut Vec<String>) {
    let required: BTreeSet<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        judge(&format!("{path}.{name}"), member, required.contains(name.as_str()), complaints);
    }
}

fn spec(kind: &str) -> Result<Value> {
    Ok(schema(kind)?["spec"].clone())
}

fn schema(kind: &str) -> Result<Value> {
    let definitions = custom_resource_definitions();
    let definition = definitions.iter().find(|definition| definition.spec.names.kind == kind);
    let definition = serde_json::to_value(definition.context("the kind has a definition")?)?;
    Ok(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clone())
}

#[test]
fn every_field_says_its_default_its_unit_and_its_effect() -> Result<()> {
    let mut complaints = Vec::new();
    for kind in super::cases::KINDS {
        members(&format!("{kind}.spec"), &spec(kind)?, &mut complaints);
        status_members(&format!("{kind}.status"), &schema(kind)?["status"], &mut complaints);
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

#[test]
fn what_says_no_effect_is_found() {
    for text in [
        "Name of the workload.",
        "Scopes to ask for. Default: none.",
        "`true` takes names from the claims, or not. Default: `false`.",
    ] {
        assert!(!has_effect(text), "{text}");
    }
    for text in [
        "Name of the workload. Without it, nothing is delivered.",
        "`true` accepts a URL without TLS. Default: `false`, an `http://` URL is refused.",
        "A Secret's key. Default: none; set exactly one of `a` and `b`.",
    ] {
        assert!(has_effect(text), "{text}");
    }
}

#[test]
fn the_two_deletion_policies_are_told_apart() -> Result<()> {
    let spec = spec("ServiceAccount")?;
    let published = description(&spec["properties"]["deletionPolicy"]);
    let api_key = &spec["properties"]["credentials"]["properties"]["apiKey"]["properties"]["deletionPolicy"];
    let keys = description(api_key);
    ensure!(published.contains("credentials.apiKey.deletionPolicy"), "{published}");
    ensure!(published.starts_with("What becomes of the published Secret"), "{published}");
    ensure!(keys.contains("spec.deletionPolicy"), "{keys}");
    ensure!(keys.starts_with("What becomes of the API keys"), "{keys}");
    Ok(())
}
