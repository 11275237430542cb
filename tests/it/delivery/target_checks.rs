//! What a look at the target tells people.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use test_support::{condition, pods::WandbWorkload};

use super::{
    Stage, TARGET,
    other_resources::{check_of, message_of, oidc_provider, provider},
};
use crate::world::REDIRECT_URI;

/// Changes the Deployment as `kubectl set env` and `kubectl patch` do.
async fn patch_target(stage: &Stage, patch: &Value) -> Result<()> {
    let deployments: Api<Deployment> = stage.api();
    deployments.patch("wandb", &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(())
}

fn environment(entries: &Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "wandb", "env": entries}]}}}})
}

fn is_found(status: &Value, name: &str, result: &str, reason: &str) -> bool {
    check_of(status, name).is_some_and(|check| check["result"] == result && check["reason"] == reason)
}

#[tokio::test]
async fn switches_hosts_and_strategies_are_looked_at() -> Result<()> {
    let workload = WandbWorkload::deployment("wandb").variable("LOCAL_RESTORE", "true");
    let stage = Stage::open(&workload).await?;
    patch_target(&stage, &environment(&json!([{"name": "HOST", "value": "https://elsewhere.example.com"}])))
        .await?;
    patch_target(&stage, &json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}})).await?;
    let provider = provider(&stage, "login-authority").await?;
    stage.workspace.apply(&oidc_provider(&provider, "login-authority", TARGET)).await?;
    let status = stage.workspace.wait_until_ready("OidcProvider", "main").await?;
    ensure!(is_found(&status, "RestoreMode", "Warning", "RestoreModeOn"), "{status:#}");
    ensure!(is_found(&status, "RolloutStrategy", "Warning", "RolloutInterrupts"), "{status:#}");
    ensure!(is_found(&status, "HostMatches", "Warning", "HostMismatch"), "{status:#}");
    let mismatch =
        check_of(&status, "HostMatches").map(|check| check["message"].to_string()).unwrap_or_default();
    ensure!(
        mismatch.contains(REDIRECT_URI) && mismatch.contains("https://elsewhere.example.com"),
        "{mismatch}"
    );
    let verified = message_of(&status, "Verified");
    for part in ["RestoreMode", "HostMatches", "RolloutStrategy"] {
        ensure!(verified.contains(part), "{part}: {verified}");
    }
    assert_eq!(condition(&status, "Verified").map(|verified| &verified["status"]), Some(&json!("True")));

    // The checks follow the target, without a change of the resource.
    let generation = stage.workspace.resources("OidcProvider")?.get("main").await?.metadata.generation;
    patch_target(
        &stage,
        &environment(&json!([
            {"name": "HOST", "value": "https://wandb.example.com"},
            {"name": "LOCAL_RESTORE", "$patch": "delete"},
        ])),
    )
    .await?;
    patch_target(&stage, &json!({"spec": {"strategy": {"type": "RollingUpdate"}}})).await?;
    let status = stage
        .workspace
        .wait_for("OidcProvider", "main", |status| {
            is_found(status, "HostMatches", "Passed", "Passed")
                && is_found(status, "RestoreMode", "Passed", "Passed")
                && is_found(status, "RolloutStrategy", "Passed", "Passed")
        })
        .await?;
    ensure!(!message_of(&status, "Verified").contains("RestoreMode"), "{status:#}");
    assert_eq!(stage.workspace.resources("OidcProvider")?.get("main").await?.metadata.generation, generation);
    Ok(())
}

#[tokio::test]
async fn a_variable_of_somebody_else_stays_and_is_named() -> Result<()> {
    let theirs = "ldap://the-old-directory.example.com";
    let workload = WandbWorkload::deployment("wandb").variable("LOCAL_LDAP_ADDRESS", theirs);
    let stage = Stage::open(&workload).await?;
    let before: Deployment = stage.api().get("wandb").await?;
    stage.apply(TARGET).await?;
    let status = stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "FieldConflict").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("set spec.target.adopt") && !message.contains("set env"), "{message}");
    ensure!(!status.to_string().contains(theirs), "the value may be secret: {status:#}");
    assert_eq!(condition(&status, "Stalled").map(|stalled| &stalled["status"]), Some(&json!("True")));
    let after: Deployment = stage.api().get("wandb").await?;
    assert_eq!(after.spec.context("spec")?.template, before.spec.context("spec")?.template);
    ensure!(stage.revisions("corp-ldap").await?.is_empty());

    // As the message says.
    let adopt = json!({"spec": {"target": {"adopt": "Replace"}}});
    stage.workspace.patch("LdapConfig", "corp", &adopt).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    assert_eq!(stage.entries().await?["LOCAL_LDAP_ADDRESS"].0, "corp-ldap-2");
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn settings_that_the_server_may_not_read_are_told() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let spec = format!(
        "{TARGET}\ngroupSync: true\ngroupAllowList: [\"cn=wandb,ou=groups,dc=example,dc=org\"]\nuserSearch: {{baseDN: \"ou=people,dc=example,dc=org\"}}"
    );
    stage.apply(&spec).await?;
    let told = |settings: &'static str, list: &'static str| {
        move |status: &Value| {
            let has = |name: &str, reason: &str| {
                let result = if reason == "Passed" { "Passed" } else { "Warning" };
                is_found(status, name, result, reason)
            };
            has("SettingsDocumented", settings) && has("AllowListRead", list)
        }
    };
    let resources = &stage.workspace;
    let status = resources.wait_for("LdapConfig", "corp", told("SettingUndocumented", "Passed")).await?;
    let message = check_of(&status, "SettingsDocumented").map(|check| check["message"].to_string());
    ensure!(message.is_some_and(|message| message.contains("LDAP_USER_BASE_DN.")), "{status:#}");
    resources.wait_until_ready("LdapConfig", "corp").await?;
    assert_eq!(stage.entries().await?["GORILLA_LDAP_GROUP_SYNC"].0, "corp-ldap-1");

    // Split services have names for it all, and may not read the list.
    let image = json!([{"name": "wandb", "image": "wandb/megabinary:0.76.1"}]);
    patch_target(&stage, &json!({"spec": {"template": {"spec": {"containers": image}}}})).await?;
    resources.wait_for("LdapConfig", "corp", told("Passed", "AllowListUnproven")).await?;
    stage.apply(&format!("{spec}\ntestUsers: [{{filter: (uid=carol), expect: {{allowed: false}}}}]")).await?;
    resources.wait_for("LdapConfig", "corp", told("Passed", "Passed")).await?;
    resources.wait_until_ready("LdapConfig", "corp").await?;
    Ok(())
}
