//! What the documentation has people apply to a cluster of their own.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::world::{program, workspace};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The documents of a file in the repository.
fn documents(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    Ok(documents.collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn every_sample_is_taken_up_and_says_what_is_missing() -> Result<()> {
    let workspace = workspace().await?;
    let _operator = workspace.start_operator(program(), &[])?;
    let mut resources = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join("deploy/samples"))? {
        let path = entry?.path();
        // As `kubectl apply -f` without `--recursive` does.
        if path.is_dir() {
            continue;
        }
        for document in documents(&path)? {
            workspace.apply(&document.to_string()).await?;
            if document["apiVersion"] == "auth.wandb.com/v1alpha1" {
                resources.push(document);
            }
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut kinds: Vec<_> = resources.iter().map(|resource| text(&resource["kind"])).collect();
    kinds.sort();
    assert_eq!(kinds, ["JwtIssuer", "LdapConfig", "OidcProvider", "ServiceAccount"]);
    for resource in &resources {
        let (kind, name) = (text(&resource["kind"]), text(&resource["metadata"]["name"]));
        workspace.wait_for_reason(&kind, &name, "Ready", "NameNotResolved").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_sample_beside_programs_is_taken_up_and_says_what_is_missing() -> Result<()> {
    let workspace = workspace().await?;
    let _operator = workspace.start_operator(program(), &[])?;
    let sample = documents(&Path::new(ROOT).join("deploy/samples/training/research.yaml"))?;
    for document in &sample {
        workspace.apply(&document.to_string()).await?;
    }
    workspace.wait_for_reason("JwtIssuer", "programs", "Ready", "NameNotResolved").await?;
    let status = workspace.wait_for_reason("ServiceAccount", "programs", "Ready", "NameNotResolved").await?;
    let job = sample.iter().find(|document| document["kind"] == "Job").context("no program")?;
    let secret = &job["spec"]["template"]["metadata"]["labels"]["auth.wandb.com/credentials"];
    ensure!(*secret == "programs-wsa", "the Job names another Secret than that of {status:#}");
    Ok(())
}

#[test]
fn the_documentation_names_the_cluster_that_kind_makes() -> Result<()> {
    let documents = documents(&Path::new(ROOT).join("kind-config.yaml"))?;
    let [cluster] = documents.as_slice() else { anyhow::bail!("kind reads one document only") };
    assert_eq!(
        (&cluster["kind"], &cluster["apiVersion"]),
        (&"Cluster".into(), &"kind.x-k8s.io/v1alpha4".into())
    );
    let nodes = cluster["nodes"].as_array().context("nodes")?;
    ensure!(nodes.iter().any(|node| node["role"] == "control-plane"));
    let page = fs::read_to_string(Path::new(ROOT).join("docs/get-started/kind.md"))?;
    ensure!(page.contains("kind create cluster --config kind-config.yaml"));
    let name = cluster["name"].as_str().context("a name")?;
    let loads: Vec<_> = page.lines().filter(|line| line.starts_with("kind load ")).collect();
    assert_eq!(loads.len(), 2);
    for load in loads {
        ensure!(load.contains(&format!(" --name {name} ")), "the image is loaded elsewhere: {load}");
    }
    Ok(())
}
