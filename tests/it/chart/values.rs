//! The chart's schema and its values say the same, and the README's examples are taken.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_support::Helm;

use super::file;

fn values() -> Result<Value> {
    Ok(serde_yaml::from_str(&file("values.yaml")?)?)
}

/// What the schema takes and refuses beyond the defaults.
#[test]
fn the_schema_knows_every_value_and_no_other() -> Result<()> {
    let schema: Value = serde_json::from_str(&file("values.schema.json")?)?;
    let (mut described, mut given) = (BTreeSet::new(), BTreeSet::new());
    members_of_schema(&schema, "", &mut described);
    members(&values()?, &schema, "", &mut given)?;
    // No default makes sense for the first; the others are old names, which the schema refuses with the new one.
    for unset in ["resources.claims", "replicas", "crds.install"] {
        ensure!(described.remove(unset), "the schema does not know {unset}");
    }
    assert_eq!(described, given, "values.schema.json (left) and values.yaml (right) differ");
    Ok(())
}

fn members_of_schema(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        members_of_schema(member, &path, found);
        found.insert(path);
    }
}

/// The values that the schema is to describe one by one: all but the entries of maps that people fill.
fn members(values: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) -> Result<()> {
    let Some(described) = schema["properties"].as_object() else { return Ok(()) };
    // What a parent chart hands to all of its parts holds more than this chart reads.
    ensure!(
        path == "global" || schema["additionalProperties"] == false,
        "a typo in {path} would not be told"
    );
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        members(value, &described[name], &path, found)?;
        found.insert(path);
    }
    Ok(())
}

#[test]
fn the_readmes_examples_are_taken() -> Result<()> {
    let helm = Helm::new()?;
    let readme = file("README.md")?;
    let examples: Vec<_> = readme.split("```yaml\n").skip(1).collect();
    ensure!(examples.len() >= 4, "the chart's README has examples");
    for example in examples {
        let example = example.split("```").next().unwrap_or_default();
        helm.template(&serde_yaml::from_str(example)?).with_context(|| example.to_owned())?;
    }
    Ok(())
}
