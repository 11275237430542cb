//! Helm values from several sources.

use std::mem::discriminant;

use serde_json::Value;

/// Merges values under others, which win. Lists are put together; two values of different kinds do not fit
/// together, and where there is nothing in place of either (null) the W&B operator panics.
pub(super) fn merge(over: &mut Value, under: &Value, path: &str) -> Result<(), String> {
    match (over, under) {
        (Value::Object(over), Value::Object(under)) => {
            for (key, value) in under {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match over.get_mut(key) {
                    Some(present) => merge(present, value, &path)?,
                    None => drop(over.insert(key.clone(), value.clone())),
                }
            }
            Ok(())
        }
        (Value::Array(over), Value::Array(under)) => {
            over.extend(under.iter().cloned());
            Ok(())
        }
        (over, under) if discriminant(over) == discriminant(under) && !over.is_null() => Ok(()),
        _ => Err(format!("type not match: {path}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_merged_as_far_as_they_fit() {
        for (over, under, expected) in [
            (
                json!({"a": "x", "b": true}),
                json!({"a": "y", "c": 1}),
                Ok(json!({"a": "x", "b": true, "c": 1})),
            ),
            (json!({"a": {"c": 2}}), json!({"a": {"b": 1, "c": 3}}), Ok(json!({"a": {"b": 1, "c": 2}}))),
            (json!({"a": [1, 2]}), json!({"a": [1]}), Ok(json!({"a": [1, 2, 1]}))),
            (json!({"a": null}), json!({"b": 1}), Ok(json!({"a": null, "b": 1}))),
            (json!({"a": 1}), json!({"a": "1"}), Err("a")),
            (json!({"a": null}), json!({"a": null}), Err("a")),
            (json!({"a": {"b": {"valueFrom": {}}}}), json!({"a": {"b": "x"}}), Err("a.b")),
            (json!({"a": "x"}), json!({"a": {"b": 1}}), Err("a")),
            (json!({"a": "x"}), json!({"a": [1]}), Err("a")),
        ] {
            let mut merged = over;
            let outcome = merge(&mut merged, &under, "").map(|()| merged);
            assert_eq!(outcome, expected.map_err(|path| format!("type not match: {path}")));
        }
    }
}
