//! What a pod finds becomes the status, and what it does not find is not published.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use test_support::{Slapd, free_port};

use super::{check, expect_nothing_published, from_pods, made, nothing_is_left, open, said};
use crate::{
    delivery::{eventually, other_resources::rotate_password},
    world::PASSWORD,
};

/// The server's pods still have the authorities of the values before, and lose them with the new ones.
#[tokio::test]
async fn authorities_that_go_with_the_change_prove_nothing() -> Result<()> {
    let stage = open(&[]).await?;
    stage.ready(&from_pods("")).await?;
    let without = json!({"spec": {"tls": null}});
    stage.workspace.patch("LdapConfig", "corp", &without).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "UnknownAuthority").await?;
    assert_eq!(said(&status, "Published"), "False HoldingLastVerified");
    let check = check(&status, "TlsVerifies").context("no TlsVerifies")?;
    assert_eq!(check["from"], "ServerPod");
    Ok(())
}

#[tokio::test]
async fn values_that_a_pod_has_proven_are_published_and_proven_again_after_the_rollout() -> Result<()> {
    let stage = open(&[]).await?;
    let users = "testUsers: [{filter: '(uid=alice)', expect: {email: alice@example.org}}]";
    let status = stage.ready(&from_pods(users)).await?;
    for name in ["TlsVerifies", "Bind", "BaseDnExists", "TestUser/0"] {
        let check = check(&status, name).with_context(|| format!("no {name} in {status:#}"))?;
        ensure!(check["from"] == "ServerPod" && check["result"] == "Passed", "{check:#}");
    }
    ensure!(check(&status, "SecretValues").context("no SecretValues")?["from"].is_null());
    // After the rollout a second pod looks at the same values.
    let is_proven = |status: &serde_json::Value| status["serverPod"]["revision"] == 1;
    let status = stage.workspace.wait_for("LdapConfig", "corp", is_proven).await?;
    assert_eq!(said(&status, "Ready"), "True Ready");
    assert_eq!(status["serverPod"]["name"], super::NAME);
    nothing_is_left(&stage).await?;
    assert_eq!(made(&stage).await?, 2);
    // The operator itself has not connected to the directory.
    assert_eq!(stage.directory.bind_attempts(Slapd::SERVICE_DN)?, 2);
    // Another password is proven before it is published, and the pods of the Deployment stay ready all the time.
    rotate_password(&stage.workspace, &stage.directory, "the-next-password").await?;
    let is_there = |status: &serde_json::Value| {
        status["serverPod"]["revision"] == 2 && said(status, "Ready") == "True Ready"
    };
    stage.workspace.wait_for("LdapConfig", "corp", is_there).await?;
    nothing_is_left(&stage).await?;
    assert_eq!(made(&stage).await?, 4);
    stage.expect_two_ready_always().await
}

/// The operator reaches the directory, and the server's pods do not.
#[tokio::test]
async fn what_only_the_operator_reaches_is_not_published() -> Result<()> {
    let closed = format!("ldaps://127.0.0.1:{}", free_port()?);
    let place = [("LOCAL_LDAP_ADDRESS", closed.as_str()), ("LDAP_ADDRESS", closed.as_str())];
    let stage = open(&place).await?;
    stage.apply(&from_pods("")).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    let refused = check(&status, "TcpConnects").context("no TcpConnects")?;
    ensure!(refused["result"] == "Failed" && refused["from"] == "ServerPod", "{refused:#}");
    assert_eq!(said(&status, "Ready"), "False ConnectionRefused");
    expect_nothing_published(&stage).await?;
    // The operator's own checks see nothing wrong.
    stage.ready("checkFrom: Operator\ntarget: {deployment: {name: wandb}}").await?;
    nothing_is_left(&stage).await
}

/// The server's pods reach the directory, and the operator does not.
#[tokio::test]
async fn what_only_the_servers_pods_reach_is_published() -> Result<()> {
    let stage = open(&[]).await?;
    let (open, closed) = (stage.directory.ldaps_url()?, format!("ldaps://127.0.0.1:{}", free_port()?));
    super::act(&stage, &[("LOCAL_LDAP_ADDRESS", &open), ("LDAP_ADDRESS", &open)]);
    let config = |more: &str| crate::world::ldap_config(&closed, more);
    stage.workspace.apply(&config("target: {deployment: {name: wandb}}")).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    stage.workspace.apply(&config(&from_pods(""))).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    let published = stage.workspace.secrets().get("corp-ldap").await?.data.context("no data")?;
    assert_eq!(published["LDAP_ADDRESS"].0, closed.as_bytes());
    Ok(())
}

/// While the pod is under way, new values wait and the old ones stay.
#[tokio::test]
async fn the_last_verdict_stays_until_the_pod_has_answered() -> Result<()> {
    let stage = open(&[]).await?;
    stage.ready(&from_pods("")).await?;
    let is_proven = |status: &serde_json::Value| status["serverPod"]["revision"] == 1;
    stage.workspace.wait_for("LdapConfig", "corp", is_proven).await?;
    nothing_is_left(&stage).await?;
    stage.player.change_script(|_| test_support::pods::Life::Ready);
    // A look at the same values: they stay verified, and nobody is told that it is over.
    stage.workspace.recheck("LdapConfig", "corp", "now").await?;
    let pod: Pod =
        eventually("the pod", || async { Ok(stage.api::<Pod>().get_opt(super::NAME).await?) }).await?;
    let status = stage.workspace.status("LdapConfig", "corp").await?;
    assert_eq!(said(&status, "Ready"), "True Ready");
    ensure!(status["lastHandledRecheck"] != "now", "{status:#}");
    // Other values: nothing is known of them yet.
    stage.apply(&from_pods("attributes: {email: mail, group: gidNumber, name: cn}")).await?;
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ServerPodPending").await?;
    assert_eq!(said(&status, "Verified"), "Unknown ServerPodPending");
    assert_eq!(said(&status, "Published"), "False HoldingLastVerified");
    assert_eq!(said(&status, "Reconciling"), "True ProgressingWithRetry");
    let kept = stage.workspace.secrets().get("corp-ldap").await?.data.context("no data")?;
    assert_eq!(kept["LDAP_ATTRIBUTES"].0, b"email=mail,group=gidNumber");
    assert_eq!(kept["LDAP_BIND_PW"].0, PASSWORD.as_bytes());
    ensure!(pod.metadata.uid.is_some());
    stage.expect_two_ready_always().await
}

/// A provider and an issuer are proven so, too, with what their specs say and no variable does.
#[tokio::test]
async fn every_kind_that_a_server_reads_can_be_proven_from_its_pods() -> Result<()> {
    let stage = open(&[]).await?;
    let provider = crate::delivery::other_resources::provider(&stage, "provider-authority").await?;
    stage.player.change_script(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if name.ends_with("-check") {
            test_support::pods::Life::Program {
                program: crate::world::program().to_owned(),
                place: vec![("SSL_CERT_FILE".to_owned(), String::new())],
            }
        } else {
            test_support::pods::Life::Ready
        }
    });
    stage.workspace.put_secret("oidc-client", &[("secret", crate::world::CLIENT_SECRET)]).await?;
    let main =
        crate::delivery::other_resources::oidc_provider(&provider, "provider-authority", &from_pods(""));
    stage.workspace.apply(&main).await?;
    let status = stage.workspace.wait_until_ready("OidcProvider", "main").await?;
    let found = check(&status, "ClientCredentials").context("no ClientCredentials")?;
    assert_eq!(found["from"], json!("ServerPod"));
    // The pods of the Deployment have got the authority with the provider, and the pod of a check has it from them.
    let ci = crate::delivery::other_resources::jwt_issuer(
        &provider,
        "provider-authority",
        "ci",
        &from_pods("keys: {algorithms: [RS256, ES256]}"),
    );
    stage.workspace.apply(&ci).await?;
    let status = stage.workspace.wait_until_ready("JwtIssuer", "ci").await?;
    let found = check(&status, "KeysStrong").context("no KeysStrong")?;
    assert_eq!((&found["from"], &found["result"]), (&json!("ServerPod"), &json!("Passed")));
    Ok(())
}
