//! One authority per target: the oldest has it, and the next one takes over when it gives way.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use test_support::{ControlPlane, condition, pods::WandbWorkload};

use super::{
    Stage, TARGET, eventually,
    history::History,
    other_resources::{apply_ldap_config, finalizers, is_gone, message_of, oidc_provider, outlive, provider},
    workloads::NAMES,
};

/// The names of both dialects that the `OidcProvider` has values for, sorted.
const PROVIDER_NAMES: [&str; 12] = [
    "DISABLE_SSO_PROVISIONING",
    "GORILLA_AUTH_METHOD",
    "GORILLA_DISABLE_SSO_PROVISIONING",
    "GORILLA_OIDC_CLIENT_ID",
    "GORILLA_OIDC_ISSUER",
    "GORILLA_OIDC_SECRET",
    "GORILLA_SESSION_LENGTH",
    "OIDC_AUTH_METHOD",
    "OIDC_CLIENT_ID",
    "OIDC_ISSUER",
    "OIDC_SECRET",
    "SESSION_LENGTH",
];

/// Fails where the loser ever wrote to the target, or the winner did not.
async fn expect_writes_of(stage: &Stage, winner: &str, loser: &str) -> Result<()> {
    let deployment: Deployment = stage.api().get("wandb").await?;
    let audit = ControlPlane::shared().await?.audit_in(stage.workspace.namespace())?;
    let writes = |name: &str| {
        let manager = format!("wandb-auth-operator/{name}");
        let parameter = format!("fieldManager={}", manager.replace('/', "%2F"));
        let requests = audit.iter().filter(|event| event.resource == "deployments" && event.verb == "patch");
        let mut fields = deployment.managed_fields().iter();
        let is_there = fields.any(|entry| entry.manager.as_ref() == Some(&manager));
        let codes = requests.filter(|event| event.request_uri.contains(&parameter)).map(|event| event.code);
        (is_there, codes.collect::<Vec<_>>())
    };
    let (is_there, codes) = writes(loser);
    ensure!(!is_there && codes.is_empty(), "{loser}: {codes:?}");
    // Kubernetes' own writes of the status may come between a look and a write, which is then refused.
    let (is_there, mut codes) = writes(winner);
    codes.retain(|code| *code != 409);
    ensure!(is_there && codes == [200], "{winner}: {codes:?}");
    Ok(())
}

/// Waits until every entry comes from this Secret.
pub async fn entries_come_from(stage: &Stage, secret: &str) -> Result<()> {
    eventually(&format!("entries from {secret}"), || async {
        let entries = stage.entries().await?;
        Ok((!entries.is_empty() && entries.values().all(|(name, _)| name == secret)).then_some(()))
    })
    .await
}

/// Fails where the container was ever without an entry or a pod of it without a Secret, or where the one that
/// gave way has left anything.
pub async fn expect_handed_over(stage: &Stage, history: &History) -> Result<()> {
    history.expect_always(&NAMES).await?;
    eventually("one volume with authorities", || async {
        let pod = history.templates().await?.pop();
        let volumes = pod.map(|pod| pod.volumes.iter().flatten().count());
        Ok((volumes == Some(1)).then_some(()))
    })
    .await?;
    stage.expect_one_ready_always().await?;
    stage.expect_no_broken_reference()
}

/// A server with the entries of `corp`, for which a younger resource of the kind competes; the status of that one.
async fn contested() -> Result<(Stage, History, Value)> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    let history = History::begin(&stage).await?;
    outlive(&stage, "LdapConfig", "corp").await?;
    apply_ldap_config(&stage, "rival", TARGET).await?;
    let status = stage.workspace.wait_for_reason("LdapConfig", "rival", "Accepted", "Superseded").await?;
    Ok((stage, history, status))
}

#[tokio::test]
async fn the_next_of_a_kind_takes_over_without_a_gap() -> Result<()> {
    let (stage, history, status) = contested().await?;
    let workspace = &stage.workspace;
    let message = message_of(&status, "Accepted");
    for part in ["older LdapConfig \"corp\"", "Deployment/wandb", "Delete or suspend one of the two"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(
        condition(&status, "RolledOut").map(|rolled_out| &rolled_out["status"]),
        Some(&json!("Unknown"))
    );
    expect_writes_of(&stage, "ldapconfig/corp", "ldapconfig/rival").await?;
    ensure!(stage.revisions("rival-ldap").await?.is_empty());
    ensure!(workspace.secrets().get_opt("rival-ldap").await?.is_none());
    ensure!(finalizers(&stage, "LdapConfig", "rival").await?.is_empty());

    // Deleted.
    workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    workspace.wait_until_ready("LdapConfig", "rival").await?;
    is_gone(workspace, "LdapConfig", "corp").await?;
    entries_come_from(&stage, "rival-ldap-1").await?;
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    expect_handed_over(&stage, &history).await
}

#[tokio::test]
async fn a_suspended_resource_gives_way_until_it_is_back() -> Result<()> {
    let (stage, history, _) = contested().await?;
    let workspace = &stage.workspace;
    workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": true}})).await?;
    workspace.wait_until_ready("LdapConfig", "rival").await?;
    entries_come_from(&stage, "rival-ldap-1").await?;
    expect_handed_over(&stage, &history).await?;

    // The older one takes its place back.
    workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": false}})).await?;
    let status = workspace.wait_for_reason("LdapConfig", "rival", "Accepted", "Superseded").await?;
    ensure!(message_of(&status, "Accepted").contains("older LdapConfig \"corp\""), "{status:#}");
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    entries_come_from(&stage, "corp-ldap-1").await?;
    expect_handed_over(&stage, &history).await
}

#[tokio::test]
async fn a_directory_and_a_provider_exclude_each_other_but_for_test_mode() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let workspace = &stage.workspace;
    let provider = provider(&stage, "login-authority").await?;
    let main = oidc_provider(&provider, "login-authority", TARGET);
    stage.ready(TARGET).await?;
    outlive(&stage, "LdapConfig", "corp").await?;
    workspace.apply(&main).await?;
    let status = workspace.wait_for_reason("OidcProvider", "main", "Accepted", "Superseded").await?;
    let message = message_of(&status, "Accepted");
    for part in ["older LdapConfig \"corp\" has the sign-in of Deployment/wandb", "Delete or suspend"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    expect_writes_of(&stage, "ldapconfig/corp", "oidcprovider/main").await?;

    // The directory goes, and comes again as the younger one.
    workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    is_gone(workspace, "LdapConfig", "corp").await?;
    entries_come_from(&stage, "main-oidc-1").await?;
    let entries = stage.entries().await?;
    ensure!(entries.iter().all(|(name, (_, key))| name == key), "{entries:#?}");
    assert_eq!(entries.into_keys().collect::<Vec<_>>(), PROVIDER_NAMES);
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    outlive(&stage, "OidcProvider", "main").await?;
    let generation = |deployment: Deployment| deployment.metadata.generation;
    let before = generation(stage.api().get("wandb").await?);
    stage.apply(TARGET).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Accepted", "ConflictsWithOidc").await?;
    let message = message_of(&status, "Accepted");
    for part in ["older OidcProvider \"main\" has the sign-in of Deployment/wandb", "Delete or suspend"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(generation(stage.api().get("wandb").await?), before);

    // In test mode it may stand beside the provider.
    let history = History::begin(&stage).await?;
    stage.ready(&format!("{TARGET}\nlogin: false")).await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    let entries = stage.entries().await?;
    ensure!(entries.values().any(|(secret, _)| secret == "main-oidc-1"));
    assert_eq!(entries["LOCAL_LDAP_LOGIN"].0, "corp-ldap-1");

    stage.apply(&format!("{TARGET}\nlogin: true")).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Accepted", "ConflictsWithOidc").await?;
    workspace.recheck("OidcProvider", "main", "beside a rival").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    let login = stage.workspace.secrets().get("corp-ldap-1").await?.data.unwrap_or_default();
    assert_eq!(login["LOCAL_LDAP_LOGIN"].0, b"false");
    ensure!(stage.revisions("corp-ldap").await? == [1], "nothing that logs in was ever on its way");
    let provider_entries: Vec<_> =
        entries.iter().filter(|(_, (secret, _))| secret == "main-oidc-1").collect();
    let names: Vec<_> = provider_entries.iter().map(|(name, _)| name.as_str()).collect();
    history.expect_always(&names).await?;
    stage.expect_no_broken_reference()
}
