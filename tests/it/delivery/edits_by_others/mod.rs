//! Other tools and people change the target, too: the entries are there again or the conflict is told, and
//! nobody fights.

mod replaced;
pub mod tools;
mod undone;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use test_support::{ControlPlane, pods::WandbWorkload};

use super::{Stage, TARGET, eventually, other_resources::message_of, silence};

/// Every entry that the resource has for the container.
const ENTRIES: usize = super::workloads::NAMES.len();

/// How long nothing is written where nothing changes.
const SILENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn gitops_tools_and_the_operator_share_the_deployment() -> Result<()> {
    let workload = WandbWorkload::deployment("wandb");
    let stage = Stage::open(&workload).await?;
    tools::apply_client_side(&stage, &workload.manifest()).await?;
    stage.ready(TARGET).await?;
    let before = written(&stage).await?;
    for round in 0..2 {
        let changed = workload.clone().variable("ROUND", &round.to_string());
        for manager in ["argocd-controller", "kustomize-controller"] {
            tools::apply_server_side(&stage, manager, &workload.manifest()).await?;
            tools::apply_server_side(&stage, manager, &changed.manifest()).await?;
        }
        tools::apply_client_side(&stage, &workload.manifest()).await?;
        tools::apply_client_side(&stage, &changed.manifest()).await?;
        expect_all(&stage, "corp-ldap-1").await?;
    }
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, before, "there was nothing to write");
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_literal_in_the_manifest_stays_until_the_manifest_gives_it_up() -> Result<()> {
    let workload = WandbWorkload::deployment("wandb");
    let with_literal = workload.clone().variable("LOCAL_LDAP_BASE_DN", "dc=by,dc=hand");
    let stage = Stage::open(&workload).await?;
    tools::apply_client_side(&stage, &with_literal.manifest()).await?;
    stage.apply(TARGET).await?;
    let message = conflict(&stage).await?;
    for part in ["LOCAL_LDAP_BASE_DN", "kubectl-client-side-apply", "spec.target.adopt"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    ensure!(!message.contains("dc=by,dc=hand"), "{message}");
    ensure!(stage.entries().await?.is_empty() && stage.revisions("corp-ldap").await?.is_empty());
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, 0);

    tools::apply_client_side(&stage, &workload.manifest()).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_all(&stage, "corp-ldap-1").await?;
    tools::apply_client_side(&stage, &workload.manifest()).await?;
    expect_silence(&stage).await?;
    expect_all(&stage, "corp-ldap-1").await?;
    assert_eq!(written(&stage).await?, 1);
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn edits_by_hand_are_mended_or_told() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    stage.ready(&format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    let before = written(&stage).await?;

    tools::edit(&stage, &json!([{"name": "LOCAL_LDAP_BIND_DN", "$patch": "delete"}])).await?;
    until_all(&stage, "corp-ldap-2").await?;
    expect_written(&stage, before + 1).await.context("an entry that was removed")?;
    // It is told by an event and a line of the log of its own.
    eventually("an event", async || {
        let events = stage.workspace.events().await?;
        let words = "out of Deployment/wandb or changed them; the operator restored them";
        Ok((events.contains("\"Repaired\"") && events.contains(words)).then_some(()))
    })
    .await?;
    let log = stage.operator.as_ref().context("an operator")?.log().read()?;
    assert_eq!(log.matches("\"reason\":\"Repaired\"").count(), 1, "{log}");

    let of_revision_1 = json!({"name": "corp-ldap-1", "key": "LOCAL_LDAP_ATTRIBUTES"});
    tools::edit(
        &stage,
        &json!([{"name": "LOCAL_LDAP_ATTRIBUTES", "valueFrom": {"secretKeyRef": of_revision_1}}]),
    )
    .await?;
    until_all(&stage, "corp-ldap-2").await?;
    expect_written(&stage, before + 2).await.context("one entry of an earlier revision")?;

    let literal = json!({"name": "LOCAL_LDAP_ADDRESS", "value": "ldap://by-hand", "valueFrom": null});
    let elsewhere = json!({"secretKeyRef": {"name": "ldap-bind", "key": "password"}});
    let elsewhere = json!({"name": "LOCAL_LDAP_ADDRESS", "value": null, "valueFrom": elsewhere});
    for foreign in [literal, elsewhere] {
        tools::edit(&stage, &json!([foreign])).await?;
        let message = conflict(&stage).await?;
        for part in ["LOCAL_LDAP_ADDRESS", "kubectl-edit", "spec.target.adopt"] {
            ensure!(message.contains(part), "{part}: {message}");
        }
        ensure!(!message.contains("by-hand"), "{message}");
        expect_silence(&stage).await?;
        assert_eq!(written(&stage).await?, before + 2, "an entry of somebody else");
        let others = stage.entries().await?;
        ensure!(others.values().filter(|(secret, _)| secret == "corp-ldap-2").count() == ENTRIES - 1);
    }

    // The person takes it out again.
    tools::edit(&stage, &json!([{"name": "LOCAL_LDAP_ADDRESS", "$patch": "delete"}])).await?;
    until_all(&stage, "corp-ldap-2").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, before + 3);

    // While the resource is suspended, whatever others do stays.
    let suspended = |is_suspended: bool| json!({"spec": {"suspend": is_suspended}});
    stage.workspace.patch("LdapConfig", "corp", &suspended(true)).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Ready", "Suspended").await?;
    tools::edit(&stage, &json!([{"name": "LOCAL_LDAP_BIND_DN", "$patch": "delete"}])).await?;
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, before + 3, "it is suspended");
    ensure!(!stage.entries().await?.contains_key("LOCAL_LDAP_BIND_DN"));
    stage.workspace.patch("LdapConfig", "corp", &suspended(false)).await?;
    until_all(&stage, "corp-ldap-2").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_written(&stage, before + 4).await?;
    stage.expect_one_ready_always().await?;
    stage.expect_no_broken_reference()
}

/// How often the operator has written the Deployment.
pub async fn written(stage: &Stage) -> Result<usize> {
    let events = ControlPlane::shared().await?.audit_in(stage.workspace.namespace())?;
    let by_operator =
        events.iter().filter(|event| event.user == "operator" && event.resource == "deployments");
    let reads = ["get", "list", "watch"];
    Ok(by_operator.filter(|event| !reads.contains(&event.verb.as_str()) && event.code < 300).count())
}

/// Waits until there were so many writes, which are in the audit a moment after they are seen.
async fn expect_written(stage: &Stage, times: usize) -> Result<()> {
    let found = eventually("a write in the audit", || async {
        let found = written(stage).await?;
        Ok((found >= times).then_some(found))
    })
    .await?;
    ensure!(found == times, "{found} writes instead of {times}");
    Ok(())
}

/// Fails where the operator goes on writing the Deployment.
pub async fn expect_silence(stage: &Stage) -> Result<()> {
    silence(SILENCE, || written(stage)).await.context("a tug-of-war")
}

/// What `RolledOut` says of the conflict.
async fn conflict(stage: &Stage) -> Result<String> {
    let status = stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "FieldConflict").await?;
    Ok(message_of(&status, "RolledOut"))
}

async fn has_all(stage: &Stage, secret: &str) -> Result<bool> {
    let entries = stage.entries().await?;
    Ok(entries.len() == ENTRIES && entries.iter().all(|(name, (of, key))| of == secret && key == name))
}

pub async fn expect_all(stage: &Stage, secret: &str) -> Result<()> {
    ensure!(has_all(stage, secret).await?, "{:#?}", stage.entries().await?);
    Ok(())
}

async fn until_all(stage: &Stage, secret: &str) -> Result<()> {
    eventually("the entries", || async { Ok(has_all(stage, secret).await?.then_some(())) }).await
}
