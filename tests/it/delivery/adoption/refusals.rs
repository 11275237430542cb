//! What is not taken over is not touched, and the message says all of it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use test_support::{condition, pods::WandbWorkload};

use super::{Environment, Running, by_hand, live, published, target};
use crate::delivery::{
    Stage,
    edits_by_others::{expect_silence, tools, written},
    eventually,
    other_resources::{apply_ldap_config, finalizers, message_of},
    workloads::NAMES,
};

/// Fails where anything of the target or of its surroundings was touched.
async fn expect_untouched(running: &Running) -> Result<()> {
    let stage = &running.stage;
    expect_silence(stage).await?;
    assert_eq!(written(stage).await?, 0);
    assert_eq!(running.history.templates().await?.len(), 1);
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    ensure!(finalizers(stage, "LdapConfig", "corp").await?.is_empty());
    running.until_pods_have(&running.before).await
}

async fn conflict(stage: &Stage) -> Result<String> {
    let status = stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "FieldConflict").await?;
    Ok(message_of(&status, "RolledOut"))
}

fn expect_no_value(message: &str, values: &Environment) -> Result<()> {
    for value in values.values().filter(|value| value.len() > 6) {
        ensure!(!message.contains(value.as_str()), "{value}: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn with_never_every_entry_is_named_and_none_is_touched() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let before = published(&stage).await?;
    assert_eq!(before.len(), NAMES.len());
    let running = Running::start(stage, WandbWorkload::deployment("wandb"), before).await?;
    for policy in ["target: {deployment: {name: wandb}}".to_owned(), target("Never")] {
        running.stage.apply(&policy).await?;
        let message = conflict(&running.stage).await?;
        for part in NAMES.iter().copied().chain(["spec.target.adopt", "Equal", "Replace"]) {
            ensure!(message.contains(part), "{part}: {message}");
        }
        for part in ["more", "set env", "Remove"] {
            ensure!(!message.contains(part), "{part}: {message}");
        }
        expect_no_value(&message, &running.before)?;
        expect_untouched(&running).await?;
    }
    Ok(())
}

#[tokio::test]
async fn with_equal_what_differs_is_named_and_nothing_is_touched() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let mut before = published(&stage).await?;
    before.insert("LOCAL_LDAP_BASE_DN".to_owned(), "dc=old,dc=example".to_owned());
    before.insert("LOCAL_LDAP_BIND_PW".to_owned(), "an-old-password".to_owned());
    let running = Running::start(stage, WandbWorkload::deployment("wandb"), before).await?;
    running.stage.apply(&target("Equal")).await?;
    let message = conflict(&running.stage).await?;
    ensure!(message.contains("LOCAL_LDAP_BASE_DN, LOCAL_LDAP_BIND_PW."), "{message}");
    expect_no_value(&message, &running.before)?;
    expect_untouched(&running).await
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_over() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let field = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    let workload = WandbWorkload::deployment("wandb")
        .environment_entry(json!({"name": "LOCAL_LDAP_BASE_DN", "valueFrom": field}));
    let mut before = by_hand();
    before.remove("LOCAL_LDAP_BASE_DN");
    let running = Running::start(stage, workload, before).await?;
    running.stage.apply(&target("Replace")).await?;
    let message = conflict(&running.stage).await?;
    ensure!(message.contains("LOCAL_LDAP_BASE_DN (it comes from a field of the pod or a file)"), "{message}");
    expect_untouched(&running).await
}

/// Whether a check found that nobody listens.
fn is_refused(status: &Value) -> bool {
    let checks = status["checks"].as_array();
    checks.is_some_and(|checks| checks.iter().any(|check| check["reason"] == "ConnectionRefused"))
}

#[tokio::test]
async fn nothing_is_taken_over_while_the_directory_is_down() -> Result<()> {
    let mut running = Running::by_hand().await?;
    // Its values passed before, so that they are published. What an old check found does not count, and it is old when
    // a later check of another resource has been repeated.
    running.stage.ready("").await?;
    apply_ldap_config(&running.stage, "later", "checkInterval: 10s").await?;
    running.stage.workspace.wait_until_ready("LdapConfig", "later").await?;
    running.stage.directory.stop()?;
    running.stage.workspace.wait_for("LdapConfig", "later", is_refused).await?;
    running.stage.apply(&target("Replace")).await?;
    let waits = |status: &Value| {
        is_refused(status) && message_of(status, "RolledOut").contains("once every check has passed")
    };
    running.stage.workspace.wait_for("LdapConfig", "corp", waits).await?;
    expect_untouched(&running).await?;
    running.stage.directory.start()?;
    running.stage.workspace.recheck("LdapConfig", "corp", "up").await?;
    running.stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    running.expect_never_without().await
}

#[tokio::test]
async fn a_literal_that_is_put_back_all_the_time_is_left_in_place_within_three_rounds() -> Result<()> {
    let running = Running::by_hand().await?;
    let stage = &running.stage;
    stage.ready(&target("Replace")).await?;
    let theirs = json!({"name": "LOCAL_LDAP_BASE_DN", "value": "dc=theirs", "valueFrom": null});
    let mut rounds = 0;
    loop {
        tools::edit(stage, &json!([theirs])).await?;
        rounds += 1;
        let is_conflict = eventually("an answer", || async {
            let status = stage.workspace.status("LdapConfig", "corp").await?;
            let rolled_out = condition(&status, "RolledOut");
            if rolled_out.is_some_and(|rolled_out| rolled_out["reason"] == "FieldConflict") {
                return Ok(Some(true));
            }
            let ours = stage.entries().await?;
            Ok(ours.get("LOCAL_LDAP_BASE_DN").map(|_| false))
        })
        .await?;
        if is_conflict {
            break;
        }
    }
    assert_eq!(rounds, 3);
    let message = conflict(stage).await?;
    for part in
        ["kubectl-edit", "keeps setting other values", "docs/delivery/adopting", "auth.wandb.com/recheck"]
    {
        ensure!(message.contains(part), "{part}: {message}");
    }
    expect_silence(stage).await?;
    let deployment = live(stage, "Deployment").await?;
    ensure!(deployment.to_string().contains("dc=theirs"), "{deployment:#}");
    running.expect_never_without().await?;

    // The tool is gone.
    stage.workspace.recheck("LdapConfig", "corp", "now").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    ensure!(stage.entries().await?.contains_key("LOCAL_LDAP_BASE_DN"));
    running.expect_never_without().await
}
