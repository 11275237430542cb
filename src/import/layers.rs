//! The other sources of chart values that W&B's operator v1 merges below those of its resource.

use std::collections::BTreeMap;

use serde_json::Value;

use super::subject::{config_map, secret};
use crate::engine::{Fetched, ObjectKey};

/// The key under which each source keeps its values, as JSON.
const VALUES: &str = "values";

/// The objects with the values of the release channel, of W&B's managed settings and of the System Console, in
/// rising precedence; all of them are below the resource.
pub fn sources(name: &str) -> [ObjectKey; 3] {
    [
        secret(&format!("{name}-latest-cached-release")),
        config_map("wandb-spec-managed"),
        secret(&format!("{name}-spec-user")),
    ]
}

/// The values as the chart gets them.
pub fn merged(values: &Value, name: &str, objects: &BTreeMap<ObjectKey, Fetched>) -> Value {
    let mut merged = Value::Null;
    for source in sources(name) {
        let Some(Fetched::Found { data, .. }) = objects.get(&source) else { continue };
        let stored = data.get(VALUES).and_then(|bytes| serde_json::from_slice(bytes).ok());
        merge(&mut merged, &stored.unwrap_or_default());
    }
    merge(&mut merged, values);
    merged
}

/// Maps are merged, lists are put together, and anything else is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(over)) => base.extend(over.iter().cloned()),
        (_, Value::Null) => {}
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_resource_counts_before_the_console() {
        let stored = |value: &Value| Fetched::Found {
            version: String::new(),
            data: BTreeMap::from([(VALUES.to_owned(), value.to_string().into_bytes())]),
        };
        let [channel, _, console] = sources("wandb");
        let objects = BTreeMap::from([
            (channel, stored(&json!({"global": {"host": "a", "customCACerts": ["1"], "x": 1}}))),
            (console, stored(&json!({"global": {"host": "b", "extraEnv": {"GORILLA_OIDC_SECRET": "s"}}}))),
        ]);
        let values = json!({"global": {"customCACerts": ["2"], "extraEnv": {"A": "1"}, "x": null}});
        assert_eq!(
            merged(&values, "wandb", &objects),
            json!({"global": {
                "host": "b", "customCACerts": ["1", "2"], "x": 1,
                "extraEnv": {"GORILLA_OIDC_SECRET": "s", "A": "1"},
            }})
        );
    }
}
