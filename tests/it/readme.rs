//! The README tells the truth.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strum::IntoEnumIterator;
use wandb_auth_operator::api::{Reason, names::EventReason};

use crate::world::workspace;

fn readme() -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    fs::read_to_string(path).context("README.md cannot be read")
}

/// The text between a fence of that language and its end.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    text.split(&format!("```{language}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The documented resources of the operator, the first of each kind and name.
pub fn documented_resources() -> Result<Vec<Value>> {
    let readme = readme()?;
    let mut resources: Vec<Value> = Vec::new();
    for manifest in blocks(&readme, "yaml") {
        let manifest: Value = serde_yaml::from_str(manifest)?;
        let name = |of: &Value| (of.get("kind").cloned(), of.pointer("/metadata/name").cloned());
        let is_ours = manifest.get("apiVersion").is_some_and(|version| version == "auth.wandb.com/v1alpha1");
        if is_ours && !resources.iter().any(|other| name(other) == name(&manifest)) {
            resources.push(manifest);
        }
    }
    Ok(resources)
}

/// Where the documented pod of a federated account mounts the Secret that it also takes its variables from.
pub fn documented_mount() -> Result<String> {
    let readme = readme()?;
    let manifests = blocks(&readme, "yaml").into_iter().map(serde_yaml::from_str::<Value>);
    let pod = manifests.filter_map(Result::ok).find(|manifest| manifest["kind"] == "Pod");
    let pod = pod.context("the README shows no pod")?;
    let at = |path: &str| pod.pointer(path).and_then(Value::as_str).with_context(|| path.to_owned());
    let (container, volume) = ("/spec/containers/0", "/spec/volumes/0");
    ensure!(
        at(&format!("{container}/envFrom/0/secretRef/name"))? == at(&format!("{volume}/secret/secretName"))?
    );
    ensure!(at(&format!("{container}/volumeMounts/0/name"))? == at(&format!("{volume}/name"))?);
    ensure!(
        pod.pointer(&format!("{container}/volumeMounts/0/subPath")).is_none(),
        "it would never be renewed"
    );
    Ok(at(&format!("{container}/volumeMounts/0/mountPath"))?.to_owned())
}

#[test]
fn troubleshooting_names_every_reason_that_is_not_good_news() -> Result<()> {
    let readme = readme()?;
    let good = [
        Reason::Valid,
        Reason::Resolved,
        Reason::ChecksPassed,
        Reason::Published,
        Reason::Ready,
        Reason::Passed,
    ];
    let missing: Vec<_> = Reason::iter()
        .filter(|reason| !good.contains(reason) && !readme.contains(&format!("`{reason}`")))
        .collect();
    ensure!(missing.is_empty(), "the README's troubleshooting does not name {missing:?}");
    Ok(())
}

#[test]
fn the_section_on_events_names_each() -> Result<()> {
    let readme = readme()?;
    let section = readme.split("\n## ").find(|section| section.starts_with("Metrics and events\n"));
    let section = section.context("the README has no section on events")?;
    let missing: Vec<_> =
        EventReason::iter().filter(|reason| !section.contains(&format!("`{reason}`"))).collect();
    ensure!(missing.is_empty(), "the README's section on events does not name {missing:?}");
    Ok(())
}

#[tokio::test]
async fn every_manifest_is_accepted_by_the_api_server() -> Result<()> {
    let workspace = workspace().await?;
    let readme = readme()?;
    let manifests = blocks(&readme, "yaml");
    ensure!(manifests.len() >= 8, "the README shows every kind, and pods that use their Secrets");
    for manifest in manifests {
        workspace.apply(manifest).await.with_context(|| manifest.to_owned())?;
    }
    Ok(())
}
