//! The conversion of a resource of the first version into one of the second, and back to what it was.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::typed::typed;
use crate::definitions::OidcFields;

/// Keeps what the first version said.
const VALUES: &str = "legacy.operator.wandb.com/v1-values";
/// Keeps what stood as text in the chart's fields for OIDC, until the W&B operator has put it into a Secret.
pub(super) const PENDING: &str = "legacy.operator.wandb.com/oidc-pending";

/// Answers a review of conversions.
pub(super) fn review(review: &Value, fields: OidcFields) -> Value {
    let request = review.get("request").unwrap_or(&Value::Null);
    let version = request.get("desiredAPIVersion").and_then(Value::as_str).unwrap_or_default();
    let objects = request.get("objects").and_then(Value::as_array).into_iter().flatten();
    let convert = |object: &Value| {
        let mut object = object.clone();
        if object.get("apiVersion").and_then(Value::as_str) != Some(version) {
            if version.ends_with("/v2") { forwards(&mut object, fields) } else { backwards(&mut object) }
        }
        put(&mut object, "apiVersion", json!(version));
        object
    };
    let converted: Vec<_> = objects.map(convert).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {
            "uid": request.get("uid"), "result": {"status": "Success"}, "convertedObjects": converted,
        },
    })
}

fn forwards(object: &mut Value, fields: OidcFields) {
    let values = object.pointer("/spec/values").cloned().unwrap_or_else(|| json!({}));
    let global = |path: &str| values.pointer(&format!("/global/{path}")).cloned();
    let mut overrides = json!({});
    for section in ["global", "api", "executor"] {
        let list = variables(values.get(section).unwrap_or(&Value::Null));
        if !list.is_empty() {
            put(&mut overrides, section, json!({"env": list}));
        }
    }
    let mut oidc = json!({});
    let text = |path: &str| {
        let text = global(path).and_then(|text| text.as_str().map(str::to_owned));
        text.filter(|text| !text.is_empty())
    };
    if let Some(name) = text("auth/oidc/oidcSecret/name") {
        let key = text("auth/oidc/oidcSecret/secretKey").unwrap_or_else(|| "OIDC_SECRET".to_owned());
        let selector = json!({"name": name, "key": key, "optional": false});
        let field = match fields {
            OidcFields::Selectors => selector,
            OidcFields::ValuesOrSelectors | OidcFields::Values => {
                json!({"valueFrom": {"secretKeyRef": selector}})
            }
        };
        put(&mut oidc, "clientSecret", field);
    }
    let pending = ["clientId", "issuer", "authMethod"]
        .into_iter()
        .filter_map(|name| Some((name, text(&format!("auth/oidc/{name}"))?)));
    let pending: BTreeMap<_, _> = pending.collect();
    annotate(object, VALUES, &values);
    if !pending.is_empty() {
        annotate(object, PENDING, &json!(pending));
    }
    let spec = json!({
        "retentionPolicy": {"onDelete": "detach"},
        "global": {"customCACerts": global("customCACerts").unwrap_or_else(|| json!([]))},
        "wandb": {
            "hostname": text("host").unwrap_or_default(), "version": "0.80.0", "bucketProxy": false, "features": {},
            "oidc": oidc, "legacyOverrides": overrides,
        },
    });
    put(object, "spec", typed(&spec, fields));
}

fn backwards(object: &mut Value) {
    let annotations = object.pointer("/metadata/annotations").unwrap_or(&Value::Null);
    let values =
        annotations.get(VALUES).and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    put(object, "spec", json!({"values": values.unwrap_or_else(|| json!({}))}));
}

/// The variables of a section of the chart's values, sorted by their names.
fn variables(section: &Value) -> Vec<Value> {
    let maps = ["extraEnv", "env"].into_iter().filter_map(|name| section.get(name)?.as_object());
    let merged: BTreeMap<_, _> = maps.flatten().collect();
    merged
        .into_iter()
        .map(|(name, value)| {
            let mut entry = match value {
                Value::Object(_) => value.clone(),
                Value::String(text) => json!({"value": text}),
                value => json!({"value": value.to_string()}),
            };
            put(&mut entry, "name", json!(name));
            entry
        })
        .collect()
}

fn annotate(object: &mut Value, name: &str, value: &Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    put(metadata.entry("annotations").or_insert_with(|| json!({})), name, json!(value.to_string()));
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_to_the_first_version_is_in_the_overrides_of_the_second() {
        let source = json!({"secretKeyRef": {"name": "oidc-1", "key": "OIDC_ISSUER"}});
        let object = json!({
            "apiVersion": "apps.wandb.com/v1", "kind": "WeightsAndBiases", "metadata": {"name": "wandb"},
            "spec": {"values": {
                "global": {
                    "host": "https://wandb.example.com",
                    "extraEnv": {"OIDC_ISSUER": {"valueFrom": source}, "LIMIT": 5},
                    "auth": {"oidc": {"issuer": "https://login", "oidcSecret": {"name": "oidc-1", "secretKey": "k"}}},
                },
                "api": {"extraEnv": {"A": "low"}, "env": {"A": "high"}},
                "console": {"env": {"B": "lost"}},
            }},
        });
        let ask = |version: &str, object: &Value| {
            let question =
                json!({"request": {"uid": "u", "desiredAPIVersion": version, "objects": [object]}});
            let answer = review(&question, OidcFields::Selectors);
            answer.pointer("/response/convertedObjects/0").cloned().unwrap_or_default()
        };
        let converted = ask("apps.wandb.com/v2", &object);
        let wandb = |path: &str| converted.pointer(&format!("/spec/wandb/{path}")).cloned();
        assert_eq!(
            wandb("oidc/clientSecret"),
            Some(json!({"name": "oidc-1", "key": "k", "optional": false}))
        );
        assert_eq!(wandb("oidc/issuerUrl"), Some(json!({"key": ""})));
        assert_eq!(
            wandb("legacyOverrides"),
            Some(json!({
                "global": {"env": [{"name": "LIMIT", "value": "5"}, {"name": "OIDC_ISSUER", "valueFrom": source}]},
                "api": {"env": [{"name": "A", "value": "high"}]},
            }))
        );
        let pending = converted.pointer("/metadata/annotations/legacy.operator.wandb.com~1oidc-pending");
        assert_eq!(pending, Some(&json!("{\"issuer\":\"https://login\"}")));
        let back = ask("apps.wandb.com/v1", &converted);
        assert_eq!(back.get("spec"), object.get("spec"));
    }
}
