//! What happens to a pod after it was made: nothing of it is the policy's.

use anyhow::{Context, Result, ensure};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{LABEL, Stage, labelled};

impl Stage {
    /// Makes a pod, and leaves it there.
    async fn make(&self, pod: &Value) -> Result<Value> {
        let made = self.pods().create(&PostParams::default(), &serde_json::from_value(pod.clone())?).await?;
        Ok(serde_json::to_value(made)?)
    }

    async fn change(&self, name: &str, patch: &Value) -> Result<Value> {
        let changed = self.pods().patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(serde_json::to_value(changed)?)
    }
}

#[tokio::test]
async fn a_label_that_comes_later_changes_nothing() -> Result<()> {
    let stage = Stage::new().await?;
    let mut pod = labelled("ci-wsa");
    pod["metadata"]["labels"] = json!({});
    let made = stage.make(&pod).await?;
    let changed = stage.change("train", &json!({"metadata": {"labels": {LABEL: "ci-wsa"}}})).await?;
    assert_eq!(changed["spec"], made["spec"]);
    Ok(())
}

#[tokio::test]
async fn an_update_of_a_pod_that_has_them_is_let_through() -> Result<()> {
    let stage = Stage::new().await?;
    let made = stage.make(&labelled("ci-wsa")).await?;
    let patch = json!({
        "metadata": {"labels": {LABEL: "another-wsa"}},
        "spec": {"containers": [{"name": "train", "image": "train:2"}]},
    });
    let mut changed = stage.change("train", &patch).await?;
    assert_eq!(changed["spec"]["containers"][0]["image"], "train:2");
    changed["spec"]["containers"][0]["image"] = json!("train");
    assert_eq!(changed["spec"], made["spec"]);
    Ok(())
}

#[tokio::test]
async fn a_container_for_debugging_has_no_credentials() -> Result<()> {
    let stage = Stage::new().await?;
    stage.make(&labelled("ci-wsa")).await?;
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debugger", "image": "debugger"}]}});
    let pod = stage
        .pods()
        .patch_ephemeral_containers("train", &PatchParams::default(), &Patch::Strategic(&debugger))
        .await?;
    let pod = serde_json::to_value(pod)?;
    let debugger = pod.pointer("/spec/ephemeralContainers/0").context("it is not there")?;
    ensure!(debugger["name"] == "debugger", "{debugger}");
    for field in ["env", "envFrom", "volumeMounts"] {
        ensure!(debugger[field].is_null(), "{debugger}");
    }
    ensure!(pod["spec"]["containers"][0]["envFrom"].is_array(), "{pod:#}");
    Ok(())
}
