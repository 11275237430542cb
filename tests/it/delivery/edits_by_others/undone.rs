//! `kubectl rollout undo`: a person knows why.

use anyhow::{Result, ensure};
use serde_json::json;
use test_support::pods::{Life, WandbWorkload};

use super::{expect_all, expect_silence, tools, until_all, written};
use crate::delivery::{
    Stage, TARGET, eventually,
    other_resources::{message_of, rolled_back},
    refers_to,
};

/// The spec whose values differ from those of all others.
fn spec(number: u32) -> String {
    format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: attribute{number}}}")
}

#[tokio::test]
async fn what_a_person_undid_stays_until_the_spec_changes() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    for number in 1..=3 {
        stage.ready(&spec(number)).await?;
    }
    let before = written(&stage).await?;
    tools::rollout_undo(&stage, Some("corp-ldap-1")).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    for part in ["kubectl-rollout", "revision 1", "revision 3", "auth.wandb.com/recheck"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(status["revision"], json!(1));
    expect_silence(&stage).await?;
    expect_all(&stage, "corp-ldap-1").await?;
    ensure!(written(&stage).await? <= before + 1, "the entries are shared, and not moved");

    // What comes next does not work, so the way back leads to where the person had put it.
    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-4") {
            Life::CrashLooping { exit_code: 3, message: "panic".to_owned() }
        } else {
            Life::Ready
        }
    });
    stage.apply(&spec(4)).await?;
    let status = stage
        .workspace
        .wait_for("LdapConfig", "corp", |status| {
            message_of(status, "RolledOut").contains("revision 4 is not tried again")
        })
        .await?;
    assert_eq!(status["revision"], json!(1), "{status:#}");
    expect_all(&stage, "corp-ldap-1").await?;
    ensure!(stage.revisions("corp-ldap").await?.contains(&1), "what is in use is never collected");

    let status = stage.ready(&spec(5)).await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(5), &json!(1)));
    expect_all(&stage, "corp-ldap-5").await?;
    stage.expect_two_ready_always().await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn an_undo_to_before_the_first_delivery_takes_no_entry_away() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    tools::rollout_undo(&stage, None).await?;
    until_all(&stage, "corp-ldap-1").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, 2);

    // With the revision that was there, a person may go forward as well as back.
    stage.ready(&spec(2)).await?;
    tools::rollout_undo(&stage, Some("corp-ldap-1")).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "RolledBack").await?;
    tools::rollout_undo(&stage, Some("corp-ldap-2")).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    eventually("pods of revision 2", || async {
        let pods = stage.pods().await?;
        Ok((pods.len() == 2 && pods.iter().all(|pod| refers_to(pod, "corp-ldap-2"))).then_some(()))
    })
    .await?;
    expect_silence(&stage).await?;
    expect_all(&stage, "corp-ldap-2").await?;
    stage.expect_no_broken_reference()
}
