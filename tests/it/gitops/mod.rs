//! Helm, Flux and Argo CD, by the libraries that they run on: they read the health of our resources rightly,
//! and share objects with the operator without a fight.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod argo;
mod documented;
mod flux;
mod helm;
mod phases;
mod teams;
mod verdicts;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use test_support::{ControlPlane, User, Workspace};

/// The documents of a file below `gitops/`.
fn shipped(path: &str) -> Result<Vec<Value>> {
    documents(&shipped_text(path)?)
}

fn shipped_text(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("gitops").join(path);
    fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

fn documents(yaml: &str) -> Result<Vec<Value>> {
    serde_yaml::Deserializer::from_str(yaml).map(|document| Ok(Value::deserialize(document)?)).collect()
}

/// The one document, in the workspace's namespace.
fn placed(yaml: &str, workspace: &Workspace) -> Result<Value> {
    Ok(in_namespace(documents(yaml)?.pop().context("there is no document")?, workspace))
}

fn in_namespace(mut manifest: Value, workspace: &Workspace) -> Value {
    manifest["metadata"]["namespace"] = workspace.namespace().into();
    manifest
}

/// What a tool has that may do everything.
pub async fn kubeconfig() -> Result<&'static Path> {
    Ok(ControlPlane::shared().await?.kubeconfig(User::Admin))
}

/// One of the operator's resources as it is now.
async fn live(workspace: &Workspace, kind: &str, name: &str) -> Result<Value> {
    Ok(serde_json::to_value(workspace.resources(kind)?.get(name).await?)?)
}

/// The expressions that users of Flux copy.
fn flux_expressions() -> Result<Value> {
    let with_expressions = shipped("flux/kustomizations.yaml")?
        .into_iter()
        .find_map(|document| document["spec"].get("healthCheckExprs").cloned());
    with_expressions.context("no Kustomization has healthCheckExprs")
}

/// The entries of `argocd-cm` that users of Argo CD copy.
fn argo_settings() -> Result<Value> {
    let map = shipped("argo-cd/argocd-cm.yaml")?.pop().context("there is no ConfigMap")?;
    Ok(map["data"].clone())
}
