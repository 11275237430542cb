//! Compares the tests' own definitions with the real ones, which are not in this repository:
//!
//! ```text
//! WANDB_DEFINITION=<file> WANDB_DEFINITION_VALUE_OR_SECRET=<file> cargo test --lib subset
//! ```

use std::{env, fs};

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use super::{OidcFields, StoredVersion, weights_and_biases_with};

/// Where the file of either shape is.
const FILES: [(&str, OidcFields); 2] = [
    ("WANDB_DEFINITION", OidcFields::Selectors),
    ("WANDB_DEFINITION_VALUE_OR_SECRET", OidcFields::ValuesOrSelectors),
];

#[test]
fn what_tests_define_is_part_of_the_real_definition() -> Result<()> {
    for (variable, fields) in FILES {
        let Some(file) = env::var_os(variable) else {
            eprintln!("skipped: {variable} names no file to compare with the definition that has {fields:?}");
            continue;
        };
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let real: CustomResourceDefinition = serde_yaml::from_str(&text)?;
        let own = weights_and_biases_with(StoredVersion::V2, fields)?;
        let differences = compare(&serde_json::to_value(own)?, &serde_json::to_value(real)?);
        ensure!(differences.is_empty(), "{variable}: {differences:#?}");
    }
    Ok(())
}

/// What the tests' definition says otherwise than the real one; versions are compared by their names.
fn compare(own: &Value, real: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for field in ["/spec/group", "/spec/scope", "/spec/names/kind", "/spec/names/plural"] {
        if own.pointer(field) != real.pointer(field) {
            differences.push(format!("{field} is different"));
        }
    }
    let versions = |definition: &Value| -> Vec<Value> {
        definition.pointer("/spec/versions").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let real = versions(real);
    for version in versions(own) {
        let name = version.get("name").cloned().unwrap_or_default();
        let schema = |version: &Value| version.pointer("/schema/openAPIV3Schema").cloned();
        let other = real.iter().find(|other| other.get("name") == Some(&name)).and_then(schema);
        match schema(&version).zip(other) {
            Some((own, real)) => part_of(&own, &real, name.as_str().unwrap_or_default(), &mut differences),
            None => differences.push(format!("there is no schema of {name}")),
        }
    }
    differences
}

/// Notes where this schema is no part of the other one. A part has fewer properties, each with all that the other
/// one says of it but its bounds.
fn part_of(own: &Value, real: &Value, path: &str, differences: &mut Vec<String>) {
    const SAID: [&str; 6] = [
        "type",
        "format",
        "default",
        "x-kubernetes-map-type",
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
    ];
    for word in SAID.iter().filter(|word| own.get(word) != real.get(word)) {
        differences.push(format!("{path}: {word} is {:?} and not {:?}", own.get(word), real.get(word)));
    }
    let nothing = Map::new();
    let properties =
        |schema: &Value| schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing).clone();
    let (ours, theirs) = (properties(own), properties(real));
    let required = |schema: &Value| -> Vec<String> {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let names = names.filter_map(|name| name.as_str().map(str::to_owned));
        names.filter(|name| ours.contains_key(name)).collect()
    };
    if required(own) != required(real) {
        differences.push(format!("{path}: {:?} and not {:?} are required", required(own), required(real)));
    }
    for (name, schema) in &ours {
        match theirs.get(name) {
            Some(real) => part_of(schema, real, &format!("{path}.{name}"), differences),
            None => differences.push(format!("{path}: {name} is not known")),
        }
    }
    for below in ["items", "additionalProperties"] {
        match (own.get(below), real.get(below)) {
            (Some(own), Some(real)) => part_of(own, real, &format!("{path}.{below}"), differences),
            (Some(_), None) => differences.push(format!("{path}: there are no {below}")),
            (None, _) => {}
        }
    }
}

#[test]
fn what_is_no_part_is_told() -> Result<()> {
    let definition =
        |fields| anyhow::Ok(serde_json::to_value(weights_and_biases_with(StoredVersion::V2, fields)?)?);
    let (selectors, values) =
        (definition(OidcFields::Selectors)?, definition(OidcFields::ValuesOrSelectors)?);
    assert_eq!(compare(&selectors, &selectors), Vec::<String>::new());
    assert!(
        compare(&values, &selectors).iter().any(|text| text.contains("clientId: valueFrom is not known"))
    );
    assert!(compare(&selectors, &values).iter().any(|text| text.contains("x-kubernetes-map-type")));
    let fewer = definition(OidcFields::Values)?;
    assert_eq!(compare(&fewer, &values), Vec::<String>::new());
    assert_eq!(compare(&values, &fewer).len(), 12);
    let other = json!({"spec": {"versions": [{"name": "v3"}]}});
    assert!(compare(&selectors, &other).iter().any(|text| text.contains("no schema of \"v2\"")));
    Ok(())
}
