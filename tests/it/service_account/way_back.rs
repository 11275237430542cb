//! A key that was revoked is no way back for the programs that used it.

use anyhow::{Context, Result, ensure};
use test_support::{
    PodPlayer, condition,
    pods::{Life, WandbWorkload},
};

use super::{KIND, Robot};
use crate::delivery::{player_has_ready, refers_to};

#[tokio::test]
async fn a_key_that_was_revoked_is_no_way_back() -> Result<()> {
    let robot = Robot::new().await?;
    let player = PodPlayer::start(&robot.workspace, |_| Life::Ready)?;
    robot.workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    player_has_ready(&player, "wandb", 2).await?;
    robot.apply("", "target: {deployment: {name: wandb}}").await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;

    player.change_script(|pod| {
        if refers_to(pod, "ci-wsa-2") {
            Life::CrashLooping { exit_code: 3, message: String::new() }
        } else {
            Life::Ready
        }
    });
    let keys = robot.server.keys_of("ci");
    let old = keys.iter().find(|key| key.secret == robot.bootstrap).context("the copied key")?;
    let next = robot.server.add_key("ci", "the next one")?;
    robot.server.revoke(&old.id)?;
    robot.workspace.put_secret("sa-key", &[("key", &next.secret)]).await?;
    let status = robot.workspace.wait_for_reason(KIND, "ci", "RolledOut", "NoWorkingRevision").await?;
    let message = condition(&status, "RolledOut").and_then(|condition| condition["message"].as_str());
    let message = message.unwrap_or_default();
    ensure!(message.contains("Revision 1 does not work any more: KeyAccepted: "), "{message}");
    ensure!(!message.contains(&robot.bootstrap) && !message.contains(&next.secret), "{message}");
    ensure!(status["revision"] == 2, "{status:#}");
    Ok(())
}
