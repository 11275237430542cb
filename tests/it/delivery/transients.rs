//! Trouble in a pod that passes, and the same trouble that lasts.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use test_support::{
    Operator, condition,
    pods::{Life, WandbWorkload},
};

use super::{Stage, TARGET, eventually, neighbours::message_of, player_has_ready, refers_to};
use crate::world::program;

/// How long a container must fail in these tests: longer than the trouble that passes, however slow the machine.
const LONG: &str = "60s";
const SHORT: &str = "2s";

/// Each kind of trouble, in the kubelet's words.
fn troubles() -> [Life; 5] {
    let cannot_start = |reason, message: &str| Life::CannotStart { reason, message: message.to_owned() };
    [
        Life::ConfigError("failed to sync secret cache: timed out waiting for the condition".to_owned()),
        Life::ConfigError("couldn't find key LOCAL_LDAP_BIND_PW".to_owned()),
        cannot_start("CreateContainerError", "failed to reserve container name \"wandb_0\": it is reserved"),
        cannot_start("RunContainerError", "context deadline exceeded"),
        Life::CrashLooping {
            exit_code: 1,
            message: "mysql://wandb:pw@mysql:3306: connection refused".to_owned(),
        },
    ]
}

fn operator(stage: &Stage, patience: &str) -> Result<Operator> {
    let arguments = ["--allow-egress", "127.0.0.0/8", "--failure-patience", patience];
    stage.workspace.start_operator(program(), &arguments)
}

/// A stage whose next revision is in this trouble.
async fn in_trouble(trouble: &Life, patience: &str) -> Result<Stage> {
    let mut stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
    player_has_ready(&stage.player, "wandb", 2).await?;
    stage.operator = Some(operator(&stage, patience)?);
    stage.ready(TARGET).await?;
    let trouble = trouble.clone();
    stage.player.change_script(
        move |pod| {
            if refers_to(pod, "corp-ldap-2") { trouble.clone() } else { Life::Ready }
        },
    );
    stage.apply(&format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    Ok(stage)
}

fn reason(status: &Value) -> &str {
    condition(status, "RolledOut").and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}

/// The annotation that tells what became of the second revision.
async fn mark(stage: &Stage) -> Result<String> {
    let secret = stage.workspace.secrets().get("corp-ldap-2").await?;
    let annotations = secret.metadata.annotations.unwrap_or_default();
    Ok(annotations.get("auth.wandb.com/rollout").cloned().unwrap_or_default())
}

#[tokio::test]
async fn what_passes_undoes_nothing() -> Result<()> {
    let rows = troubles().map(|trouble| async move {
        let stage = in_trouble(&trouble, LONG).await?;
        // The trouble shows at once, and is called one that may pass.
        stage
            .workspace
            .wait_for("LdapConfig", "corp", |status| message_of(status, "RolledOut").contains("may pass"))
            .await?;
        let looks = || async {
            let requests = super::deadlines::requests(&stage).await?;
            let pods = requests.iter().filter(|event| event.verb == "list" && event.resource == "pods");
            anyhow::Ok(pods.count())
        };
        let before = looks().await?;
        eventually("looks enough", || async { Ok((looks().await? >= before + 4).then_some(())) }).await?;
        ensure!(mark(&stage).await?.is_empty(), "{trouble:?}: {}", mark(&stage).await?);
        stage.player.change_script(|_| Life::Ready);
        let status = stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
        ensure!(
            status["revision"] == 2 && mark(&stage).await?.contains("rolledOut"),
            "{trouble:?}: {status:#}"
        );
        stage.expect_two_ready_always().await
    });
    try_join_all(rows).await?;
    Ok(())
}

#[tokio::test]
async fn what_lasts_undoes_the_rollout_once() -> Result<()> {
    let rows = troubles().map(|trouble| async move {
        let mut stage = in_trouble(&trouble, SHORT).await?;
        let is_back = |status: &Value| reason(status) == "RolledBack";
        let status = stage.workspace.wait_for("LdapConfig", "corp", is_back).await?;
        ensure!(status["revision"] == 1, "{trouble:?}: {status:#}");
        let message = message_of(&status, "RolledOut");
        ensure!(message.contains("container \"wandb\" of the pod wandb-"), "{message}");
        ensure!(!message.contains("mysql") && message.contains("`kubectl "), "{message}");
        let marked = mark(&stage).await?;
        ensure!(marked.contains("arrived"), "{marked}");
        // Another process decides nothing again.
        stage.operator = None;
        stage.operator = Some(operator(&stage, SHORT)?);
        eventually("a run of the next process", || async {
            let requests = super::deadlines::requests(&stage).await?;
            let lists =
                requests.iter().filter(|event| event.verb == "list" && event.resource == "ldapconfigs");
            Ok((lists.count() >= 2).then_some(()))
        })
        .await?;
        stage.workspace.wait_for("LdapConfig", "corp", is_back).await?;
        ensure!(mark(&stage).await? == marked, "{marked}");
        stage.expect_two_ready_always().await
    });
    try_join_all(rows).await?;
    Ok(())
}
