//! The other sources of chart values, which W&B's operator v1 merges below those of its resource.

use std::collections::BTreeMap;

use serde_json::Value;

use super::subject::{config_map, secret};
use crate::{
    engine::{Fetched, ObjectKey},
    workloads::v1::{self, ValuesAuthor},
};

/// The key in which each source stores its values, as JSON.
const VALUES: &str = "values";

/// The objects with the values of the release channel, of W&B's managed settings and of the System Console, in
/// increasing precedence. The resource overrides all of them.
pub fn sources(name: &str) -> [ObjectKey; 3] {
    [secret(&v1::cached_release(name)), config_map(v1::MANAGED), secret(&v1::user_spec(name))]
}

/// The values that the chart receives.
pub fn merged(values: &Value, name: &str, objects: &BTreeMap<ObjectKey, Fetched>) -> Value {
    let stored = sources(name).map(|source| match objects.get(&source) {
        Some(Fetched::Found { data, .. }) => {
            data.get(VALUES).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
        }
        _ => Value::Null,
    });
    let [channel, managed, console] = &stored;
    v1::merged(&vec![
        (ValuesAuthor::Resource, values),
        (ValuesAuthor::Console, console),
        (ValuesAuthor::Managed, managed),
        (ValuesAuthor::Channel, channel),
    ])
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
            (channel, stored(&json!({"global": {"host": "a", "customCACerts": ["1"]}}))),
            (console, stored(&json!({"global": {"host": "b", "extraEnv": {"GORILLA_OIDC_SECRET": "s"}}}))),
        ]);
        let values = json!({"global": {"customCACerts": ["2"], "extraEnv": {"A": "1"}}});
        assert_eq!(
            merged(&values, "wandb", &objects),
            json!({"global": {
                "host": "b", "customCACerts": ["2", "1"],
                "extraEnv": {"GORILLA_OIDC_SECRET": "s", "A": "1"},
            }})
        );
    }
}
