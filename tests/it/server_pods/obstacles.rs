//! No verdict is no verdict: it holds like an outage.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use test_support::pods::Life;

use super::{
    NAME, check, expect_nothing_published, from_pods, is_check, made, nothing_is_left, said, stage, start,
};
use crate::delivery::{eventually, other_resources::message_of};

/// How long a pod may take where the end of that time is awaited: long enough for what happens before, also on a busy
/// machine.
const SHORT_PATIENCE: &str = "30s";

#[tokio::test]
async fn a_pod_that_never_starts_says_so_and_what_was_verified_stays() -> Result<()> {
    let mut stage = stage(&[]).await?;
    start(&mut stage, &[SHORT_PATIENCE])?;
    stage.ready(&from_pods("checkInterval: 10s\nfailureThreshold: 2")).await?;
    nothing_is_left(&stage).await?;
    stage.player.change_script(|pod| {
        if is_check(pod) { Life::ImagePullBackOff("not found".to_owned()) } else { Life::Ready }
    });
    stage
        .apply(&from_pods("checkInterval: 10s\nattributes: {email: mail, group: gidNumber, name: cn}"))
        .await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ServerPodNotStarted").await?;
    assert_eq!(said(&status, "Verified"), "False ServerPodNotStarted");
    assert_eq!(said(&status, "Published"), "False HoldingLastVerified");
    assert_eq!(said(&status, "Reconciling"), "True ProgressingWithRetry");
    let message = message_of(&status, "Ready");
    ensure!(message.contains("ImagePullBackOff") && message.contains(NAME), "{message}");
    // It goes on by itself once the image is there.
    super::act(&stage, &[]);
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    stage.expect_two_ready_always().await
}

#[tokio::test]
async fn a_pod_that_leaves_no_verdict_proves_nothing() -> Result<()> {
    let stage = super::open(&[]).await?;
    stage.player.change_script(|_| Life::NeverReady);
    stage.apply(&from_pods("")).await?;
    eventually("the pod", || async { Ok(stage.api::<Pod>().get_opt(NAME).await?) }).await?;
    let status = super::ended("panicked");
    stage.api::<Pod>().patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ServerPodNoVerdict").await?;
    // It may have sent the password, which is not sent again before a person changes something.
    ensure!(message_of(&status, "Ready").contains("auth.wandb.com/recheck"), "{status:#}");
    nothing_is_left(&stage).await?;
    expect_nothing_published(&stage).await?;
    assert_eq!(made(&stage).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_pod_that_does_not_go_when_it_is_deleted_is_not_awaited_for_ever() -> Result<()> {
    let mut stage = stage(&[]).await?;
    start(&mut stage, &[SHORT_PATIENCE])?;
    stage.player.change_script(|_| Life::NeverReady);
    stage.apply(&from_pods("")).await?;
    let pods = stage.api::<Pod>();
    eventually("the pod", || async { Ok(pods.get_opt(NAME).await?) }).await?;
    let finalizers = |list: serde_json::Value| Patch::Merge(json!({"metadata": {"finalizers": list}}));
    pods.patch(NAME, &PatchParams::default(), &finalizers(json!(["example.com/keeps"]))).await?;
    pods.delete(NAME, &DeleteParams::default()).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ServerPodNoVerdict").await?;
    ensure!(message_of(&status, "Ready").contains("still being deleted"), "{status:#}");
    assert_eq!(made(&stage).await?, 1);
    pods.patch(NAME, &PatchParams::default(), &finalizers(json!(null))).await?;
    nothing_is_left(&stage).await
}

#[tokio::test]
async fn a_secret_that_does_not_go_is_named() -> Result<()> {
    let stage = super::open(&[]).await?;
    stage.player.change_script(|pod| {
        if is_check(pod) { Life::ImagePullBackOff("not found".to_owned()) } else { Life::Ready }
    });
    stage.apply(&from_pods("")).await?;
    eventually("the pod", || async { Ok(stage.api::<Pod>().get_opt(NAME).await?) }).await?;
    let finalizers = |list: serde_json::Value| Patch::Merge(json!({"metadata": {"finalizers": list}}));
    let secrets = stage.workspace.secrets();
    secrets.patch(NAME, &PatchParams::default(), &finalizers(json!(["example.com/keeps"]))).await?;
    // Other values need another pod.
    stage.apply(&from_pods("attributes: {email: mail, group: gidNumber, name: cn}")).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ServerPodNotStarted").await?;
    ensure!(message_of(&status, "Ready").contains("example.com/keeps"), "{status:#}");
    secrets.patch(NAME, &PatchParams::default(), &finalizers(json!(null))).await?;
    super::act(&stage, &[]);
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    nothing_is_left(&stage).await
}

#[tokio::test]
async fn a_quota_an_admission_policy_and_a_foreign_pod_are_named() -> Result<()> {
    let stage = super::open(&[]).await?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "2"}}});
    stage.workspace.apply(&quota.to_string()).await?;
    let used = json!({"status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}});
    let quotas = stage.api::<k8s_openapi::api::core::v1::ResourceQuota>();
    quotas.patch_status("none", &PatchParams::default(), &Patch::Merge(used)).await?;
    stage.apply(&from_pods("")).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ServerPodNotStarted").await?;
    let message = message_of(&status, "Ready");
    ensure!(
        message.contains("exceeded quota") && message.contains("quota, an admission policy"),
        "{message}"
    );
    expect_nothing_published(&stage).await?;
    ensure!(check(&status, "Bind").is_some_and(|bind| bind["result"] == "Skipped"), "{status:#}");
    nothing_is_left(&stage).await?;
    // A pod of somebody else under the name is not touched.
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    quotas.delete("none", &DeleteParams::default()).await?;
    let foreign = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME},
        "spec": {"containers": [{"name": "a", "image": "a"}]}});
    eventually("room for the pod", || async { Ok(stage.workspace.apply(&foreign.to_string()).await.ok()) })
        .await?;
    stage.apply(&from_pods("")).await?;
    let is_named = |status: &serde_json::Value| message_of(status, "Ready").contains("does not belong");
    stage.workspace.wait_for("LdapConfig", "corp", is_named).await?;
    stage.api::<Pod>().get(NAME).await?;
    Ok(())
}

#[tokio::test]
async fn without_the_option_of_the_chart_the_status_says_what_to_set() -> Result<()> {
    let mut stage = stage(&[]).await?;
    stage.operator = Some(crate::world::operator(&stage.workspace)?);
    stage.ready("target: {deployment: {name: wandb}}").await?;
    stage.apply(&from_pods("")).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ServerPodsDisabled").await?;
    // The same values are published already.
    assert_eq!(said(&status, "Published"), "True PublishedUnverified");
    assert_eq!(said(&status, "Ready"), "False ServerPodsDisabled");
    assert_eq!(said(&status, "Stalled"), "True ServerPodsDisabled");
    ensure!(message_of(&status, "Ready").contains("serverPodChecks.enabled"), "{status:#}");
    assert_eq!(made(&stage).await?, 0);
    stage.expect_two_ready_always().await
}
