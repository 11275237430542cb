//! A revision that does not work in the pods, while what was there before does not work at the servers any more.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use test_support::pods::{Life, WandbWorkload};

use super::{
    Stage, TARGET, eventually,
    neighbours::{message_of, rolled_back, rotate_password, runs_with},
    refers_to,
};
use crate::world::{PASSWORD, operator};

/// What became of a revision.
async fn mark(stage: &Stage, secret: &str) -> Result<String> {
    let secret = stage.api::<Secret>().get(secret).await?;
    let annotations = secret.metadata.annotations.unwrap_or_default();
    Ok(annotations.get("auth.wandb.com/rollout").cloned().unwrap_or_default())
}

/// How often the directory refused a password.
fn refusals(stage: &Stage) -> Result<usize> {
    Ok(stage.directory.log().read()?.lines().filter(|line| line.contains("err=49")).count())
}

fn crash_from(stage: &Stage, first_bad: u64) {
    stage.player.change_script(move |pod| {
        if (first_bad..=9).any(|number| refers_to(pod, &format!("corp-ldap-{number}"))) {
            Life::CrashLooping { exit_code: 3, message: String::new() }
        } else {
            Life::Ready
        }
    });
}

async fn stays(stage: &Stage) -> Result<String> {
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "NoWorkingRevision").await?;
    Ok(message_of(&status, "RolledOut"))
}

#[tokio::test]
async fn a_password_that_was_rotated_and_revoked_is_no_way_back() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    crash_from(&stage, 2);
    rotate_password(&stage.workspace, &stage.directory, "the-next-password").await?;
    let message = stays(&stage).await?;
    for part in [
        "Revision 2 does not work in the pods of Deployment/wandb",
        "it stays",
        "exit code 3",
        "Revision 1 does not work any more: Bind: ",
    ] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    ensure!(!message.contains(PASSWORD) && !message.contains("the-next-password"), "{message}");
    ensure!(stage.entries().await?.values().all(|(secret, _)| secret == "corp-ldap-2"));
    ensure!(mark(&stage, "corp-ldap-1").await?.contains("refused"));
    ensure!(refusals(&stage)? == 1, "the old password was sent {} times", refusals(&stage)?);

    // Neither another process nor another attempt sends it again.
    stage.operator = None;
    stage.operator = Some(operator(&stage.workspace)?);
    stage.workspace.recheck("LdapConfig", "corp", "once").await?;
    let is_news = |text: &String| text.contains("recheck=once");
    eventually("another verdict", || async { Ok(Some(mark(&stage, "corp-ldap-2").await?).filter(is_news)) })
        .await?;
    stays(&stage).await?;
    ensure!(refusals(&stage)? == 1, "the old password was sent {} times", refusals(&stage)?);

    // It is looked at on: a late success counts, and is a way back for what comes next.
    stage.player.change_script(|_| Life::Ready);
    runs_with(&stage.workspace, 2).await?;
    crash_from(&stage, 3);
    stage.apply(&format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    ensure!(status["revision"] == 2 && message.contains("went back to revision 2"), "{message}");
    ensure!(refusals(&stage)? == 1, "the old password was sent {} times", refusals(&stage)?);
    stage.expect_two_ready_always().await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_directory_that_is_down_keeps_nobody_from_going_back() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    stage
        .player
        .change_script(|pod| if refers_to(pod, "corp-ldap-2") { Life::NeverReady } else { Life::Ready });
    let next = "attributes: {email: mail, group: gidNumber, name: cn}";
    stage.apply(&format!("{TARGET}\n{next}")).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "Progressing").await?;
    stage.directory.stop()?;
    crash_from(&stage, 2);
    let (status, message) = rolled_back(&stage.workspace).await?;
    ensure!(status["revision"] == 1, "{status:#}");
    ensure!(message.contains("Whether revision 1 still works was not checked: TcpConnects"), "{message}");
    stage.expect_two_ready_always().await
}
