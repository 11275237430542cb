//! The data of Secrets and ConfigMaps in manifests, as the API server stores it.
//!
//! No message repeats a value: it may be secret.

use std::collections::BTreeMap;

use base64::{
    Engine,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::engine::Fetched;

/// A Secret: `stringData` replaces what `data` has under the same key.
pub(super) fn secret(object: &Value) -> Result<Fetched, Vec<String>> {
    let mut faults = Vec::new();
    let mut data = entries(object, "data", bytes, &mut faults);
    data.extend(entries(object, "stringData", text, &mut faults));
    found(data, faults)
}

/// A ConfigMap.
pub(super) fn config_map(object: &Value) -> Result<Fetched, Vec<String>> {
    let mut faults = Vec::new();
    let mut data = entries(object, "data", text, &mut faults);
    data.extend(entries(object, "binaryData", bytes, &mut faults));
    found(data, faults)
}

fn found(data: BTreeMap<String, Vec<u8>>, faults: Vec<String>) -> Result<Fetched, Vec<String>> {
    if faults.is_empty() { Ok(Fetched::Found { version: String::new(), data }) } else { Err(faults) }
}

fn entries(
    object: &Value,
    field: &str,
    read: fn(&Value) -> Result<Vec<u8>, String>,
    faults: &mut Vec<String>,
) -> BTreeMap<String, Vec<u8>> {
    let nothing = Map::new();
    let entries = match object.get(field) {
        None | Some(Value::Null) => &nothing,
        Some(Value::Object(entries)) => entries,
        Some(_) => {
            faults.push(format!("{field} must be a map"));
            &nothing
        }
    };
    let mut data = BTreeMap::new();
    for (key, value) in entries {
        match read(value) {
            Ok(bytes) => drop(data.insert(key.clone(), bytes)),
            Err(fault) => faults.push(format!("{field}.{key} {fault}")),
        }
    }
    data
}

fn text(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::String(text) => Ok(text.clone().into_bytes()),
        Value::Null => Ok(Vec::new()),
        other => Err(format!("must be a text, but is {}", kind(other))),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::String(text) => base64(text).ok_or_else(|| {
            let blank = text.contains([' ', '\t']);
            let seen = if blank { "holds blanks, so it is not base64" } else { "is not base64" };
            format!("{seen}; only line breaks may divide it, and = must fill it up")
        }),
        Value::Null => Ok(Vec::new()),
        other => Err(format!("must be base64 in a text, but is {}", kind(other))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "true or false; put it in quotes",
        Value::Number(_) => "a number; put it in quotes",
        Value::Array(_) => "a list",
        _ => "a map",
    }
}

/// Bytes from base64 as Go reads it: over several lines, filled up with `=`, and whatever the last bits are.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    const GO: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    GO.decode(text.replace(['\r', '\n'], "")).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(fetched: Result<Fetched, Vec<String>>) -> Vec<(String, String)> {
        match fetched {
            Ok(Fetched::Found { data, .. }) => {
                data.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap())).collect()
            }
            Ok(_) => panic!("an object has data"),
            Err(faults) => panic!("{faults:?}"),
        }
    }

    #[test]
    fn data_is_read_as_the_api_server_reads_it() {
        let object = json!({
            "data": {"folded": "aHVudGV\nyMi1s\r\nb25n\n", "both": "YQ==", "empty": null, "loose": "YR=="},
            "stringData": {"both": "b"},
        });
        let expected = [("both", "b"), ("empty", ""), ("folded", "hunter2-long"), ("loose", "a")];
        assert_eq!(data(secret(&object)), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let object = json!({"data": {"a": "x"}, "binaryData": {"b": "eQ=="}});
        let expected = [("a", "x"), ("b", "y")];
        assert_eq!(
            data(config_map(&object)),
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert!(data(secret(&json!({"data": null}))).is_empty());
    }

    #[test]
    fn faults_name_the_key_and_never_the_value() {
        for (object, fault) in [
            (json!({"data": {"p": "hun ter"}}), "data.p holds blanks"),
            (json!({"data": {"p": "hunter2"}}), "data.p is not base64"),
            (json!({"data": {"p": 1234}}), "data.p must be base64 in a text, but is a number"),
            (
                json!({"stringData": {"p": 1234}}),
                "stringData.p must be a text, but is a number; put it in quotes",
            ),
            (json!({"stringData": {"p": true}}), "stringData.p must be a text, but is true or false"),
            (json!({"stringData": {"p": ["hunter2"]}}), "stringData.p must be a text, but is a list"),
            (json!({"data": "hunter2"}), "data must be a map"),
        ] {
            let faults = secret(&object).err().unwrap();
            assert!(faults[0].starts_with(fault), "{faults:?}");
            assert!(!faults[0].contains("hunter2") && !faults[0].contains("1234"), "{faults:?}");
        }
    }
}
