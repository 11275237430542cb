//! A password that was refused is sent once, also by pods.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::{Slapd, pods::Life};

use super::{NAME, act, ended, from_pods, made, nothing_is_left, open, start};
use crate::delivery::{eventually, other_resources::apply_ldap_config};

async fn put_wrong_password(stage: &crate::delivery::Stage) -> Result<()> {
    stage.workspace.put_secret("ldap-bind", &[("password", "a-wrong-password")]).await
}

#[tokio::test]
async fn a_wrong_password_is_sent_by_one_pod_for_all_who_have_it() -> Result<()> {
    let mut stage = open(&[]).await?;
    put_wrong_password(&stage).await?;
    stage.apply(&from_pods("checkInterval: 10s")).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "InvalidCredentials").await?;
    nothing_is_left(&stage).await?;
    // Neither another resource nor another process sends it again.
    apply_ldap_config(&stage, "other", "checkInterval: 10s").await?;
    stage.workspace.wait_for_reason("LdapConfig", "other", "Verified", "InvalidCredentials").await?;
    stage.operator = None;
    start(&mut stage, &[])?;
    stage.workspace.resources("LdapConfig")?;
    apply_ldap_config(&stage, "third", &from_pods("checkInterval: 10s")).await?;
    stage.workspace.wait_for_reason("LdapConfig", "third", "Verified", "InvalidCredentials").await?;
    assert_eq!(made(&stage).await?, 1);
    assert_eq!(stage.directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    // A person asks for one more try.
    stage.workspace.recheck("LdapConfig", "corp", "again").await?;
    let is_tried = |status: &serde_json::Value| status["lastHandledRecheck"] == "again";
    stage.workspace.wait_for("LdapConfig", "corp", is_tried).await?;
    assert_eq!((made(&stage).await?, stage.directory.bind_attempts(Slapd::SERVICE_DN)?), (2, 2));
    // The right one is another one.
    stage.workspace.put_secret("ldap-bind", &[("password", crate::world::PASSWORD)]).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    Ok(())
}

/// The operator is killed after the pod has answered and before it has read that.
#[tokio::test]
async fn who_is_killed_before_the_answer_is_read_leaves_it_to_the_next() -> Result<()> {
    let mut stage = open(&[]).await?;
    stage.player.change_script(|_| Life::NeverReady);
    put_wrong_password(&stage).await?;
    stage.apply(&from_pods("checkInterval: 10s")).await?;
    let pod = eventually("the pod", || async { Ok(stage.api::<Pod>().get_opt(NAME).await?) }).await?;
    stage.operator = None;
    act(&stage, &[]);
    eventually("the answer of the pod", || async {
        let pod = stage.api::<Pod>().get(NAME).await?;
        let phase = pod.status.and_then(|status| status.phase);
        Ok(phase.is_some_and(|phase| phase != "Running" && phase != "Pending").then_some(()))
    })
    .await?;
    start(&mut stage, &[])?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "InvalidCredentials").await?;
    nothing_is_left(&stage).await?;
    ensure!(pod.metadata.uid.is_some());
    assert_eq!((made(&stage).await?, stage.directory.bind_attempts(Slapd::SERVICE_DN)?), (1, 1));
    Ok(())
}

/// What else changed while the pod was sending the password does not have it sent twice.
#[tokio::test]
async fn what_a_pod_of_earlier_inputs_learnt_of_the_password_counts() -> Result<()> {
    let stage = open(&[]).await?;
    stage.player.change_script(|_| Life::NeverReady);
    put_wrong_password(&stage).await?;
    stage.apply(&from_pods("")).await?;
    let pod = eventually("a pod that runs", || async {
        let pod = stage.api::<Pod>().get_opt(NAME).await?;
        let runs =
            |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        Ok(pod.filter(runs))
    })
    .await?;
    // The authority is another input, and nobody asked to try the password again by changing it.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"},
        "data": {"ca.crt": crate::world::certificate()?.authority_pem}});
    stage.workspace.apply(&map.to_string()).await?;
    let message = r#"{"v":1,"r":"F","k":[["LdapConfig",0,[["Bind","F","InvalidCredentials","No."]]]]}"#;
    let pods = stage.api::<Pod>();
    pods.patch_status(NAME, &PatchParams::default(), &Patch::Merge(ended(message))).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "InvalidCredentials").await?;
    nothing_is_left(&stage).await?;
    ensure!(pod.metadata.uid.is_some());
    assert_eq!(made(&stage).await?, 1);
    Ok(())
}
