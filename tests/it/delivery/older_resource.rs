//! An older resource that comes to a target, where a younger one works already.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use test_support::pods::{Life, WandbWorkload};

use super::{
    Stage, TARGET,
    history::History,
    other_resources::{apply_ldap_config, message_of, outlive},
    precedence::{entries_come_from, expect_handed_over},
    refers_to,
};

/// A target where `corp` works, and an older resource without a target.
async fn two_resources() -> Result<(Stage, History)> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    apply_ldap_config(&stage, "older", "").await?;
    stage.workspace.wait_until_ready("LdapConfig", "older").await?;
    outlive(&stage, "LdapConfig", "older").await?;
    stage.ready(TARGET).await?;
    let history = History::begin(&stage).await?;
    Ok((stage, history))
}

#[tokio::test]
async fn who_fails_without_a_past_gives_way_to_whom_it_displaced() -> Result<()> {
    let (stage, history) = two_resources().await?;
    let workspace = &stage.workspace;
    stage.player.change_script(|pod| {
        if refers_to(pod, "older-ldap-1") {
            Life::CrashLooping { exit_code: 1, message: String::new() }
        } else {
            Life::Ready
        }
    });
    apply_ldap_config(&stage, "older", TARGET).await?;
    let status = workspace.wait_for_reason("LdapConfig", "older", "RolledOut", "RolledBack").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(
        message.contains("they get the values of LdapConfig corp") && message.contains("exit code 1"),
        "{message}"
    );
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    entries_come_from(&stage, "corp-ldap-1").await?;
    expect_handed_over(&stage, &history).await?;

    // It has its place again as soon as a person wants it to try.
    stage.player.change_script(|_| Life::Ready);
    workspace.recheck("LdapConfig", "older", "now").await?;
    workspace.wait_until_ready("LdapConfig", "older").await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Accepted", "Superseded").await?;
    entries_come_from(&stage, "older-ldap-1").await?;
    expect_handed_over(&stage, &history).await
}

#[tokio::test]
async fn what_is_not_verified_displaces_nobody() -> Result<()> {
    let (stage, history) = two_resources().await?;
    let workspace = &stage.workspace;
    workspace.patch("LdapConfig", "older", &json!({"spec": {"baseDN": "dc=nowhere"}})).await?;
    workspace.wait_for_reason("LdapConfig", "older", "Verified", "BaseDnNotFound").await?;
    let target = json!({"spec": {"target": {"deployment": {"name": "wandb"}}}});
    workspace.patch("LdapConfig", "older", &target).await?;
    let is_told =
        |status: &Value| message_of(status, "Accepted").contains("older LdapConfig \"older\" waits");
    workspace.wait_for("LdapConfig", "corp", is_told).await?;
    workspace.wait_for_reason("LdapConfig", "older", "RolledOut", "NotChecked").await?;
    ensure!(stage.revisions("older-ldap").await?.is_empty());
    // Until then the younger one goes on with everything.
    let more = json!({"spec": {"attributes": {"email": "mail", "group": "gidNumber", "name": "cn"}}});
    workspace.patch("LdapConfig", "corp", &more).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    entries_come_from(&stage, "corp-ldap-2").await?;

    workspace.patch("LdapConfig", "older", &json!({"spec": {"baseDN": "dc=example,dc=org"}})).await?;
    workspace.wait_until_ready("LdapConfig", "older").await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Accepted", "Superseded").await?;
    entries_come_from(&stage, "older-ldap-1").await?;
    expect_handed_over(&stage, &history).await
}
