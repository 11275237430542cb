//! Nothing is left of a check that is over or not wanted any more.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::DeleteParams;
use serde_json::json;
use test_support::pods::Life;

use super::{NAME, from_pods, made, nothing_is_left, open, start};
use crate::delivery::{Stage, TARGET, eventually};

/// A check of which the pod does not answer.
async fn under_way(stage: &Stage) -> Result<()> {
    stage.player.change_script(|_| Life::NeverReady);
    stage.apply(&from_pods("")).await?;
    eventually("the pod and its Secret", || async {
        let pod = stage.api::<Pod>().get_opt(NAME).await?;
        let secret = stage.api::<Secret>().get_opt(NAME).await?;
        Ok(pod.zip(secret).map(drop))
    })
    .await
}

#[tokio::test]
async fn who_goes_back_to_the_operators_own_checks_leaves_nothing() -> Result<()> {
    let stage = open(&[]).await?;
    under_way(&stage).await?;
    stage.player.change_script(|_| Life::Ready);
    let status = stage.ready(&format!("checkFrom: Operator\n{TARGET}")).await?;
    nothing_is_left(&stage).await?;
    ensure!(
        status["checks"].as_array().is_some_and(|checks| checks.iter().all(|check| check["from"].is_null()))
    );
    stage.workspace.wait_for("LdapConfig", "corp", |status| status["serverPod"].is_null()).await?;
    Ok(())
}

#[tokio::test]
async fn the_next_process_finds_what_nobody_wants_any_more() -> Result<()> {
    let mut stage = open(&[]).await?;
    under_way(&stage).await?;
    stage.operator = None;
    stage.player.change_script(|_| Life::Ready);
    stage.apply(&format!("checkFrom: Operator\n{TARGET}")).await?;
    start(&mut stage, &[])?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    nothing_is_left(&stage).await
}

#[tokio::test]
async fn a_suspended_resource_has_no_pod_and_a_deleted_one_takes_it_along() -> Result<()> {
    let stage = open(&[]).await?;
    under_way(&stage).await?;
    stage.workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": true}})).await?;
    nothing_is_left(&stage).await?;
    stage.workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": false}})).await?;
    eventually("another pod", || async { Ok(stage.api::<Pod>().get_opt(NAME).await?) }).await?;
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    nothing_is_left(&stage).await
}

#[tokio::test]
async fn another_target_has_a_pod_of_its_own() -> Result<()> {
    let stage = open(&[]).await?;
    under_way(&stage).await?;
    let first = stage.api::<Pod>().get(NAME).await?;
    let other = test_support::pods::WandbWorkload::deployment("wandb").manifest();
    stage.workspace.apply(&other.replace("\"wandb\"", "\"other\"")).await?;
    super::act(&stage, &[]);
    stage.ready("checkFrom: ServerPod\ntarget: {deployment: {name: other}}").await?;
    nothing_is_left(&stage).await?;
    ensure!(made(&stage).await? >= 2);
    assert_eq!(first.metadata.labels.unwrap_or_default()["app"], "wandb");
    Ok(())
}

/// After a restart nothing is proven again that is not due.
#[tokio::test]
async fn a_restart_makes_no_pod_that_is_not_due() -> Result<()> {
    let mut stage = open(&[]).await?;
    stage.ready(&from_pods("")).await?;
    stage.workspace.wait_for("LdapConfig", "corp", |status| status["serverPod"]["revision"] == 1).await?;
    nothing_is_left(&stage).await?;
    let before = made(&stage).await?;
    for round in ["1", "2"] {
        stage.operator = None;
        start(&mut stage, &[])?;
        // The next process answers for the resource once it has handled something else of it.
        let patch = json!({"spec": {"rolloutTimeout": format!("{round}1m")}});
        stage.workspace.patch("LdapConfig", "corp", &patch).await?;
        stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    }
    assert_eq!(made(&stage).await?, before);
    Ok(())
}
