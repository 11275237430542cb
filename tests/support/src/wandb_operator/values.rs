//! Helm values from several sources.

use serde_json::Value;

/// Merges values over a base. Lists are put together; a map and something else do not fit together.
pub(super) fn merge(base: &mut Value, over: &Value, path: &str) -> Result<(), String> {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                merge(base.entry(key.clone()).or_insert(Value::Null), value, &path)?;
            }
        }
        (Value::Array(base), Value::Array(over)) => base.extend(over.iter().cloned()),
        (_, Value::Null) => {}
        (base @ Value::Null, over) => *base = over.clone(),
        (base, over) if is_scalar(base) && is_scalar(over) => *base = over.clone(),
        _ => return Err(format!("cannot merge {path}: the sources have values of different types")),
    }
    Ok(())
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_merged_as_far_as_they_fit() {
        for (base, over, expected) in [
            (json!({"a": 1}), json!({"a": "x", "b": true}), Ok(json!({"a": "x", "b": true}))),
            (json!({"a": {"b": 1}}), json!({"a": {"c": 2}}), Ok(json!({"a": {"b": 1, "c": 2}}))),
            (json!({"a": [1]}), json!({"a": [1, 2]}), Ok(json!({"a": [1, 1, 2]}))),
            (json!({"a": 1}), json!({"a": null}), Ok(json!({"a": 1}))),
            (json!({"a": {"b": "x"}}), json!({"a": {"b": {"valueFrom": {}}}}), Err("a.b")),
            (json!({"a": {"b": 1}}), json!({"a": "x"}), Err("a")),
            (json!({"a": [1]}), json!({"a": "x"}), Err("a")),
        ] {
            let mut merged = base;
            let outcome = merge(&mut merged, &over, "").map(|()| merged);
            let expected = expected
                .map_err(|path| format!("cannot merge {path}: the sources have values of different types"));
            assert_eq!(outcome, expected);
        }
    }
}
