//! What the chart says of itself.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::Value;
use wandb_auth_operator::api::custom_resource_definitions;

use super::file;

fn chart() -> Result<Value> {
    Ok(serde_yaml::from_str(&file("Chart.yaml")?)?)
}

/// A list that an annotation holds as text.
fn listed(chart: &Value, annotation: &str) -> Result<Vec<Value>> {
    let text = chart["annotations"][annotation].as_str().with_context(|| annotation.to_owned())?;
    Ok(serde_yaml::from_str(text)?)
}

#[test]
fn the_version_is_the_crates() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart = chart()?;
    for field in ["version", "appVersion"] {
        ensure!(
            chart[field] == version,
            "{field} in charts/wandb-auth-operator/Chart.yaml is {}, and the version in Cargo.toml is {version}: write the latter into Chart.yaml",
            chart[field]
        );
    }
    let images = listed(&chart, "artifacthub.io/images")?;
    let image = format!("wandb-auth-operator:{version}");
    ensure!(
        images.iter().all(|each| each["image"] == image),
        "artifacthub.io/images in charts/wandb-auth-operator/Chart.yaml must name {image}"
    );
    Ok(())
}

#[test]
fn the_definitions_are_listed() -> Result<()> {
    let listed = listed(&chart()?, "artifacthub.io/crds")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed: BTreeSet<_> = listed
        .iter()
        .map(|each| (text(&each["name"]), text(&each["kind"]), text(&each["version"])))
        .collect();
    let known: BTreeSet<_> = custom_resource_definitions()
        .into_iter()
        .map(|each| {
            let version = each.spec.versions.first().map(|version| version.name.clone());
            (each.name_any(), each.spec.names.kind, version.unwrap_or_default())
        })
        .collect();
    assert_eq!(listed, known, "artifacthub.io/crds (left) and the definitions (right) differ");
    Ok(())
}
