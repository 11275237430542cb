//! Pods that do not become available, and what it takes to try a failed revision again.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::{
    AuditEvent, ControlPlane,
    pods::{Life, WandbWorkload},
};

use super::{Stage, TARGET, eventually, other_resources::rolled_back, refers_to, silence};

/// How long nothing is written where nothing changes.
const SILENCE: Duration = Duration::from_secs(3);

pub async fn requests(stage: &Stage) -> Result<Vec<AuditEvent>> {
    let events = ControlPlane::shared().await?.audit_in(stage.workspace.namespace())?;
    Ok(events.into_iter().filter(|event| event.user == "operator").collect())
}

/// Changes the target in a way that means nothing, and waits until the operator has looked at it.
async fn touch(stage: &Stage, times: usize) -> Result<()> {
    let looks = || async {
        let requests = requests(stage).await?;
        let looks = requests.iter().filter(|event| event.verb == "get" && event.resource == "deployments");
        anyhow::Ok(looks.count())
    };
    for number in 0..times {
        let before = looks().await?;
        let label = format!("{before}-{number}");
        let patch = json!({"metadata": {"labels": {"touched": label}}});
        stage.api::<Deployment>().patch("wandb", &PatchParams::default(), &Patch::Merge(patch)).await?;
        eventually("a look at the target", || async { Ok((looks().await? > before).then_some(())) }).await?;
    }
    Ok(())
}

async fn writes(stage: &Stage) -> Result<Vec<AuditEvent>> {
    let is_write = |event: &AuditEvent| {
        ["create", "update", "patch", "delete", "deletecollection"].contains(&event.verb.as_str())
    };
    Ok(requests(stage).await?.into_iter().filter(is_write).collect())
}

async fn expect_back_at(stage: &Stage, secret: &str) -> Result<()> {
    let secrets: BTreeSet<_> = stage.entries().await?.into_values().map(|(secret, _)| secret).collect();
    ensure!(secrets == BTreeSet::from([secret.to_owned()]), "{secrets:?}");
    let pods = stage.pods().await?;
    ensure!(pods.len() == 2 && pods.iter().all(|pod| refers_to(pod, secret)));
    Ok(())
}

#[tokio::test]
async fn a_failed_revision_is_tried_again_when_a_person_changes_something() -> Result<()> {
    let workload = WandbWorkload::deployment("wandb");
    let stage = Stage::open(&workload).await?;
    stage.ready(TARGET).await?;
    // Only what fails is given so little time.
    stage.workspace.apply(&workload.clone().progress_deadline(3).manifest()).await?;
    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-2") {
            Life::NeverReady
        } else if refers_to(pod, "corp-ldap-3") {
            Life::ConfigError("couldn't find key LOCAL_LDAP_BIND_PW".to_owned())
        } else {
            Life::Ready
        }
    });
    // Kubernetes may forget its own deadline when a rollout comes back to pods that it had before.
    let spec = |timeout: &str, name: &str| {
        format!(
            "{TARGET}\nrolloutTimeout: {timeout}\nattributes: {{email: mail, group: gidNumber, name: {name}}}"
        )
    };
    stage.apply(&spec("15s", "cn")).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    for part in
        ["went back to revision 1", "revision 2 is not tried again", "2 wanted, 1 new", "The wait began at"]
    {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(1), &json!(1)));
    expect_back_at(&stage, "corp-ldap-1").await?;

    // The end of the run that went back comes before the second look, and its last events after that.
    touch(&stage, 2).await?;
    silence(SILENCE, || async { Ok(writes(&stage).await?.len()) }).await?;
    let before = writes(&stage).await?;
    touch(&stage, 3).await?;
    silence(SILENCE, || async { Ok(writes(&stage).await?.len()) }).await?;
    let after = writes(&stage).await?;
    ensure!(before.len() == after.len(), "{:#?}", after.iter().skip(before.len()).collect::<Vec<_>>());
    expect_back_at(&stage, "corp-ldap-1").await?;

    // The annotation asks for it to be tried, with the same outcome at first.
    let mark = |stage: &Stage| {
        let secrets = stage.workspace.secrets();
        async move {
            let secret = secrets.get("corp-ldap-2").await?;
            let annotations = secret.metadata.annotations.unwrap_or_default();
            anyhow::Ok(annotations.get("auth.wandb.com/rollout").cloned().unwrap_or_default())
        }
    };
    let first = mark(&stage).await?;
    stage.workspace.recheck("LdapConfig", "corp", "once").await?;
    eventually("another failure", || async {
        let mark = mark(&stage).await?;
        Ok((mark != first && mark.contains("rolledBack") && mark.contains("arrived")).then_some(()))
    })
    .await?;
    rolled_back(&stage.workspace).await?;
    expect_back_at(&stage, "corp-ldap-1").await?;
    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-3") {
            Life::ConfigError("couldn't find key LOCAL_LDAP_BIND_PW".to_owned())
        } else {
            Life::Ready
        }
    });
    stage.workspace.apply(&workload.progress_deadline(600).manifest()).await?;
    stage.workspace.patch("LdapConfig", "corp", &json!({"spec": {"rolloutTimeout": "10m"}})).await?;
    stage.workspace.recheck("LdapConfig", "corp", "twice").await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "RolledOut").await?;
    expect_back_at(&stage, "corp-ldap-2").await?;

    // A container that cannot be made is given less time, and another spec is a new attempt.
    stage.apply(&spec("10m", "sn")).await?;
    let (_, message) = rolled_back(&stage.workspace).await?;
    for part in
        ["went back to revision 2", "CreateContainerConfigError", "couldn't find key LOCAL_LDAP_BIND_PW"]
    {
        ensure!(message.contains(part), "{part}: {message}");
    }
    expect_back_at(&stage, "corp-ldap-2").await?;
    stage.ready(&spec("10m", "uid")).await?;
    expect_back_at(&stage, "corp-ldap-4").await?;
    stage.expect_two_ready_always().await?;
    stage.expect_no_broken_reference()
}
