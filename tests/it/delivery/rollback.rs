//! A configuration that is verified and does not work in the pods all the same.

use anyhow::{Result, ensure};
use serde_json::json;
use test_support::pods::{Life, WandbWorkload};

use super::{
    Stage, TARGET,
    other_resources::{rolled_back, rotate_password, runs_with},
    refers_to,
};

#[tokio::test]
async fn a_crashing_configuration_is_rolled_back() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: "panic: no such attribute".to_owned() }
        } else {
            Life::Ready
        }
    });
    stage.apply(&format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    for part in ["revision 1", "revision 2", "exit code 3", "kubectl logs --previous", "-c wandb"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    // What a program wrote may hold secrets.
    ensure!(!message.contains("no such attribute") && !status.to_string().contains("no such attribute"));
    let revision = stage.workspace.secrets().get("corp-ldap-2").await?;
    ensure!(!serde_json::to_string(&revision.metadata)?.contains("no such attribute"));
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(1), &json!(1)));
    assert!(stage.entries().await?.values().all(|(secret, _)| secret == "corp-ldap-1"));
    stage.expect_two_ready_always().await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [1, 2]);

    // A changed input is another attempt, too.
    rotate_password(&stage.workspace, &stage.directory, "the-next-password").await?;
    let status = runs_with(&stage.workspace, 3).await?;
    assert_eq!(status["previousRevision"], 1);
    let pods = stage.pods().await?;
    ensure!(pods.len() == 2 && pods.iter().all(|pod| refers_to(pod, "corp-ldap-3")), "{pods:#?}");
    stage.expect_two_ready_always().await?;
    stage.expect_no_broken_reference()
}
