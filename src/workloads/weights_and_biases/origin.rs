//! Finds where the values come from that somebody else has set in the resource.

use k8s_openapi::api::core::v1::EnvVar;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::tree;
use crate::{
    references::{Reference, ReferenceSource, Requirement},
    workloads::{
        ValueOrigin, ValuePart,
        present::{OtherSources, origins},
    },
};

/// The origin of the value of a field, in any of the forms that fields of the resource have.
pub(super) fn of_field(value: &Value) -> ValueOrigin {
    match value {
        Value::String(text) => {
            of_variable(&Value::Object(Map::from_iter([("value".to_owned(), text.clone().into())])))
        }
        Value::Bool(_) | Value::Number(_) => {
            ValueOrigin::Parts(vec![ValuePart::Text(value.to_string().into())])
        }
        Value::Object(fields) if fields.contains_key("value") || fields.contains_key("valueFrom") => {
            of_variable(value)
        }
        _ => of_selector(value).unwrap_or(UNKNOWN),
    }
}

/// The origins of the values in a list of environment variables, in its order.
pub(super) fn of_list(entries: &[Value]) -> Vec<ValueOrigin> {
    let parsed = entries.iter().map(EnvVar::deserialize);
    match parsed.collect::<Result<Vec<EnvVar>, _>>() {
        // The W&B operator puts further variables before these, so a reference may mean one that is not in the
        // list.
        Ok(variables) => origins(&variables, OtherSources::Sources),
        Err(_) => entries.iter().map(|_| UNKNOWN).collect(),
    }
}

const UNKNOWN: ValueOrigin = ValueOrigin::Unknown(std::borrow::Cow::Borrowed("its form is not known"));

fn of_variable(value: &Value) -> ValueOrigin {
    let mut entry = value.clone();
    tree::put(&mut entry, &["name"], "variable".into());
    of_list(&[entry]).pop().unwrap_or(UNKNOWN)
}

/// The origin of a reference to a key of a Secret, in the forms that fields of the resource have.
fn of_selector(value: &Value) -> Option<ValueOrigin> {
    let key = tree::text(value, &["key"]).or_else(|| tree::text(value, &["secretKey"]))?;
    Some(ValueOrigin::Parts(vec![ValuePart::Key(Reference {
        source: ReferenceSource::Secret,
        name: tree::text(value, &["name"])?.to_owned(),
        key: key.to_owned(),
        field: "".into(),
        need: Requirement::Required,
    })]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(origin: &ValueOrigin) -> String {
        let part = |part: &ValuePart| match part {
            ValuePart::Text(text) => text.expose().to_owned(),
            ValuePart::Key(reference) => {
                format!("<{} {} {}>", reference.source.kind(), reference.name, reference.key)
            }
        };
        match origin {
            ValueOrigin::Parts(parts) => parts.iter().map(part).collect(),
            ValueOrigin::Unknown(why) => format!("? {why}"),
        }
    }

    #[test]
    fn every_form_of_a_value_is_followed() {
        for (value, expected) in [
            (json!("text"), "text"),
            (json!(true), "true"),
            (json!({"name": "s", "key": "k"}), "<Secret s k>"),
            (json!({"name": "s", "secretKey": "k"}), "<Secret s k>"),
            (json!({"value": "text"}), "text"),
            (json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}), "<Secret s k>"),
            (json!({"valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}), "<ConfigMap m k>"),
            (
                json!({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
                "? it comes from a field of the pod or a file",
            ),
            (json!("$(OTHER)"), "? it uses $(OTHER), which is not set in the same list before it"),
            (json!([1]), "? its form is not known"),
            (json!({"name": "s"}), "? its form is not known"),
        ] {
            assert_eq!(told(&of_field(&value)), expected, "{value}");
        }
        let list = [json!({"name": "A", "value": "a"}), json!({"name": "B", "value": "$(A)b"})];
        assert_eq!(of_list(&list).iter().map(told).collect::<Vec<_>>(), ["a", "ab"]);
        assert_eq!(told(&of_list(&[json!({"name": 1})])[0]), "? its form is not known");
    }
}
