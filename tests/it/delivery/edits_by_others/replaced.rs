//! A tool that writes the whole Deployment, without the entries.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::DeleteParams;
use test_support::{condition, pods::WandbWorkload};

use super::{conflict, expect_all, expect_silence, tools, until_all, written};
use crate::delivery::{Stage, TARGET, eventually};

/// The first write, and as often again as it is undone in an hour.
const LIMIT: usize = 1 + 3;

#[tokio::test]
async fn what_one_replacement_took_is_there_again() -> Result<()> {
    let workload = WandbWorkload::deployment("wandb");
    let stage = Stage::open(&workload).await?;
    stage.ready(TARGET).await?;
    tools::replace(&stage, &workload.manifest()).await?;
    until_all(&stage, "corp-ldap-1").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, 2);
    stage.expect_one_ready_always().await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_target_that_is_made_anew_gets_the_entries_every_time() -> Result<()> {
    let workload = WandbWorkload::deployment("wandb");
    let stage = Stage::open(&workload).await?;
    stage.ready(TARGET).await?;
    for _ in 0..=LIMIT {
        let deployments = stage.api::<Deployment>();
        deployments.delete("wandb", &DeleteParams::background()).await?;
        eventually("the end of the Deployment", || async {
            Ok(deployments.get_opt("wandb").await?.is_none().then_some(()))
        })
        .await?;
        stage.workspace.apply(&workload.manifest()).await?;
        eventually("the entries", || async { Ok((!stage.entries().await?.is_empty()).then_some(())) })
            .await?;
    }
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_tool_that_replaces_all_the_time_is_left_alone_and_told_of() -> Result<()> {
    let workload = WandbWorkload::deployment("wandb");
    let stage = Stage::open(&workload).await?;
    stage.ready(TARGET).await?;
    // The tool comes back each time that the entries are there, however long the operator takes.
    for round in 0.. {
        tools::replace(&stage, &workload.manifest()).await?;
        let is_left_alone = eventually("the entries, or the report of a conflict", || async {
            let status = stage.workspace.status("LdapConfig", "corp").await?;
            let conflict = condition(&status, "RolledOut")
                .is_some_and(|condition| condition["reason"] == "FieldConflict");
            Ok((conflict || !stage.entries().await?.is_empty()).then_some(conflict))
        })
        .await?;
        if is_left_alone {
            break;
        }
        ensure!(round < 30, "it goes on after {round} times");
    }
    assert_eq!(written(&stage).await?, LIMIT);
    let message = conflict(&stage).await?;
    for part in ["Deployment/wandb", "LdapConfig corp", "auth.wandb.com/recheck"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    for round in 0..3 {
        let changed = workload.clone().variable("ROUND", &round.to_string());
        tools::replace(&stage, &changed.manifest()).await?;
    }
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, LIMIT, "the tool went on, the operator did not");
    ensure!(stage.entries().await?.is_empty());
    assert_eq!(stage.revisions("corp-ldap").await?, [1]);

    // The tool is gone, and a person does as the message says.
    stage.workspace.recheck("LdapConfig", "corp", "now").await?;
    until_all(&stage, "corp-ldap-1").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_silence(&stage).await?;
    expect_all(&stage, "corp-ldap-1").await?;
    assert_eq!(written(&stage).await?, LIMIT + 1);
    stage.expect_one_ready_always().await?;
    stage.expect_no_broken_reference()
}
