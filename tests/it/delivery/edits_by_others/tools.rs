//! What other tools do to a Deployment, by the requests that they make.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::delivery::{Stage, entries_of};

const NAME: &str = "wandb";

/// Where `kubectl apply` keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `kubectl rollout undo`: the pod template of the `ReplicaSet` whose entries come from this Secret, or
/// which has none.
pub async fn rollout_undo(stage: &Stage, secret: Option<&str>) -> Result<()> {
    let sets = stage.api::<ReplicaSet>().list(&ListParams::default()).await?;
    let is_meant = |set: &&ReplicaSet| {
        let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        let entries =
            template.and_then(|template| template.spec.as_ref()).map(entries_of).unwrap_or_default();
        match secret {
            Some(secret) => entries.values().any(|(name, _)| name == secret),
            None => entries.is_empty(),
        }
    };
    let set = sets.iter().find(is_meant).with_context(|| format!("no ReplicaSet refers to {secret:?}"))?;
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone());
    let mut template = serde_json::to_value(template.context("a ReplicaSet without a template")?)?;
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), "replace".into());
    }
    strategic(stage, "kubectl-rollout", &json!({"spec": {"template": template}})).await
}

/// `kubectl edit`: these changes to entries of the container.
pub async fn edit(stage: &Stage, entries: &Value) -> Result<()> {
    strategic(stage, "kubectl-edit", &of_container(&json!({"name": NAME, "env": entries}))).await
}

/// Server-side apply as tools like Argo CD and Flux do it.
pub async fn apply_server_side(stage: &Stage, manager: &str, manifest: &str) -> Result<()> {
    let manifest: Value = serde_json::from_str(manifest)?;
    let parameters = PatchParams::apply(manager).force();
    deployments(stage).patch(NAME, &parameters, &Patch::Apply(manifest)).await?;
    Ok(())
}

/// `kubectl apply`: what the manifest has, and away with what it had at the last time and has no more.
pub async fn apply_client_side(stage: &Stage, manifest: &str) -> Result<()> {
    let present = deployments(stage).get(NAME).await?;
    let before =
        present.annotations().get(LAST_APPLIED).map(|text| serde_json::from_str(text)).transpose()?;
    let before: Vec<Value> = before.as_ref().map(environment).unwrap_or_default();
    let wanted: Value = serde_json::from_str(manifest)?;
    let live = environment(&serde_json::to_value(&present)?);
    let names: Vec<Value> = environment(&wanted).iter().map(|entry| entry["name"].clone()).collect();
    let mut changes: Vec<Value> =
        environment(&wanted).into_iter().filter(|entry| !live.contains(entry)).collect();
    let gone = before.iter().map(|entry| &entry["name"]).filter(|name| !names.contains(name));
    changes.extend(gone.map(|name| json!({"$patch": "delete", "name": name})));
    let order: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let mut patch = of_container(&json!({"name": NAME, "$setElementOrder/env": order, "env": changes}));
    if let Some(fields) = patch.as_object_mut() {
        fields.insert("metadata".to_owned(), json!({"annotations": {LAST_APPLIED: manifest}}));
    }
    strategic(stage, "kubectl-client-side-apply", &patch).await
}

/// `kubectl replace`: the manifest and nothing else.
pub async fn replace(stage: &Stage, manifest: &str) -> Result<()> {
    let manifest: Deployment = serde_json::from_str(manifest)?;
    let parameters =
        PostParams { field_manager: Some("kubectl-replace".to_owned()), ..PostParams::default() };
    deployments(stage).replace(NAME, &parameters, &manifest).await?;
    Ok(())
}

fn deployments(stage: &Stage) -> Api<Deployment> {
    stage.api()
}

async fn strategic(stage: &Stage, manager: &str, patch: &Value) -> Result<()> {
    let parameters = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    deployments(stage).patch(NAME, &parameters, &Patch::Strategic(patch)).await?;
    Ok(())
}

/// The patch with these changes of the container.
fn of_container(changes: &Value) -> Value {
    json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": NAME}],
        "containers": [changes],
    }}}})
}

fn environment(deployment: &Value) -> Vec<Value> {
    let entries = deployment.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
    entries.cloned().unwrap_or_default()
}
