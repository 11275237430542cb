//! What the Go types of the second generation make of a resource's spec: they hold selectors by value, so that what
//! nobody set is there with nothing in it, and they leave out every list, map and switch with nothing in it.

use serde_json::{Map, Value, json};

use crate::definitions::OidcFields;

const SELECTORS: [&str; 4] = ["authMethod", "clientId", "clientSecret", "issuerUrl"];

/// The spec as the W&B operator writes it, whatever it was about.
pub(super) fn typed(spec: &Value, fields: OidcFields) -> Value {
    let mut spec = spec.clone();
    without_empty(structure(&mut spec, "global"), "customCACerts");
    let wandb = structure(&mut spec, "wandb");
    let oidc = structure(wandb, "oidc");
    without_empty(oidc, "sessionLength");
    for name in SELECTORS {
        let field = structure(oidc, name);
        *field = match fields {
            OidcFields::Selectors => selector(field),
            OidcFields::ValuesOrSelectors => normalised(field),
            OidcFields::Values => only(field, &["value", "valueFrom"]),
        };
    }
    let security = structure(wandb, "security");
    if let Some(switches) = security.as_object_mut() {
        switches.retain(|_, switch| *switch != json!(false));
    }
    if let Some(overrides) = wandb.get_mut("legacyOverrides").and_then(Value::as_object_mut) {
        for section in overrides.values_mut() {
            for entry in section.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                without_empty(entry, "value");
            }
            without_empty(section, "env");
        }
    }
    without_empty(wandb, "legacyOverrides");
    spec
}

/// A field that is there whether somebody set it or not.
fn structure<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    let Value::Object(map) = value else { return value };
    map.entry(name).or_insert_with(|| json!({}))
}

fn without_empty(value: &mut Value, name: &str) {
    let is_empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
    };
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, value| key != name || !is_empty(value));
    }
}

/// A selector's key is always written, and its name if it has one; the API server adds the default of the other.
fn selector(field: &Value) -> Value {
    let mut selector = only(field, &["key", "name", "optional"]);
    structure(&mut selector, "key");
    if let Some(key) = selector.get_mut("key").filter(|key| !key.is_string()) {
        *key = json!("");
    }
    selector
}

/// What the webhook makes of a selector in the shape with a value or its source.
fn normalised(field: &Value) -> Value {
    let legacy = only(field, &["key", "name", "optional"]);
    if legacy.get("name").is_none() || field.get("valueFrom").is_some() {
        return only(field, &["key", "name", "optional", "value", "valueFrom"]);
    }
    let mut rest = only(field, &["value"]);
    *structure(&mut rest, "valueFrom") = json!({"secretKeyRef": selector(&legacy)});
    rest
}

/// These fields, as far as there is something in them.
fn only(field: &Value, names: &[&str]) -> Value {
    let present = field.as_object().into_iter().flatten();
    let is_kept = |(name, value): &(&String, &Value)| {
        names.contains(&name.as_str()) && **value != json!("") && !value.is_null()
    };
    Value::Object(
        present.filter(is_kept).map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oidc(fields: OidcFields, client: &Value) -> Value {
        let spec = typed(&json!({"wandb": {"oidc": {"clientId": client}}}), fields);
        spec.pointer("/wandb/oidc").cloned().unwrap_or_default()
    }

    #[test]
    fn what_nobody_set_is_written() {
        let spec = json!({
            "global": {"customCACerts": []},
            "wandb": {
                "security": {"disableSSOProvisioning": false, "hideUpgradeBanner": true},
                "legacyOverrides": {"global": {"env": []}, "api": {"env": [{"name": "A", "value": ""}]}},
                "oidc": {"sessionLength": ""},
            },
        });
        let nothing = json!({"key": ""});
        assert_eq!(
            typed(&spec, OidcFields::Selectors),
            json!({
                "global": {},
                "wandb": {
                    "security": {"hideUpgradeBanner": true},
                    "legacyOverrides": {"global": {}, "api": {"env": [{"name": "A"}]}},
                    "oidc": {
                        "authMethod": nothing, "clientId": nothing, "clientSecret": nothing, "issuerUrl": nothing,
                    },
                },
            })
        );
        let empty = json!({"authMethod": {}, "clientId": {}, "clientSecret": {}, "issuerUrl": {}});
        for fields in [OidcFields::ValuesOrSelectors, OidcFields::Values] {
            assert_eq!(typed(&json!({}), fields).pointer("/wandb/oidc"), Some(&empty));
        }
    }

    #[test]
    fn a_selector_is_kept_rewritten_or_lost() {
        let selector = json!({"name": "s", "key": "k"});
        let source = json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        for (fields, written, expected) in [
            (OidcFields::Selectors, &selector, &selector),
            (OidcFields::Selectors, &source, &json!({"key": ""})),
            (OidcFields::ValuesOrSelectors, &selector, &source),
            (OidcFields::ValuesOrSelectors, &source, &source),
            (OidcFields::Values, &selector, &json!({})),
            (OidcFields::Values, &source, &source),
        ] {
            let once = oidc(fields, written);
            assert_eq!(once.get("clientId"), Some(expected), "{fields:?}");
            assert_eq!(oidc(fields, expected), once);
        }
    }
}
