//! When checks run, how often, and what they lead to.

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use test_support::{ApiProxy, ControlPlane, Fault, Slapd, Workspace, condition, hostile::TcpServer};

use crate::world::{
    Corp, PASSWORD, PATIENCE, certificate, directory, ldap_config, oidc_provider, operator, provider,
    put_authority, put_references, workspace,
};

#[tokio::test]
async fn a_refused_bind_is_tried_once() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let first = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    workspace.put_secret("ldap-bind", &[("password", "not the password")]).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 10s")).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "InvalidCredentials").await?;
    // Each of these leads to a run: an annotation, a touched Secret, a Secret with the same password.
    for number in 0..10 {
        let touch = json!({"metadata": {"annotations": {"example.com/touched": number.to_string()}}});
        workspace.patch("LdapConfig", "corp", &touch).await?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ldap-bind",
            "labels": {"touched": number.to_string()}}, "stringData": {"password": "not the password"}});
        workspace.apply(&secret.to_string()).await?;
    }
    wait_for_latest_version(&workspace).await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    // A restart remembers the refusal: what is new to it is a Secret that it does not refer to.
    drop(first);
    let second = operator(&workspace)?;
    second.wait_until_ready()?;
    put_authority(&workspace, &certificate).await?;
    let touch = json!({"metadata": {"annotations": {"example.com/touched": "after the restart"}}});
    workspace.patch("LdapConfig", "corp", &touch).await?;
    workspace.apply(&ldap_config("ldaps://127.0.0.1:1", "").replace("name: corp", "name: later")).await?;
    workspace.wait_for_reason("LdapConfig", "later", "Verified", "ConnectionRefused").await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    let checked = workspace.status("LdapConfig", "corp").await?["checkedInputs"].clone();
    assert!(checked.as_str().is_some_and(|inputs| inputs.contains("ConfigMap/authority=")));
    // The right password is tried at once.
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 2);
    Ok(())
}

/// Waits until the status speaks of the Secret's latest version, so that the run it led to is over.
async fn wait_for_latest_version(workspace: &Workspace) -> Result<()> {
    let secret = workspace.secrets().get("ldap-bind").await?;
    let latest = format!("Secret/ldap-bind={}", secret.metadata.resource_version.context("a version")?);
    let latest =
        |status: &Value| status["checkedInputs"].as_str().is_some_and(|inputs| inputs.contains(&latest));
    workspace.wait_for("LdapConfig", "corp", latest).await.map(|_| ())
}

#[tokio::test]
async fn an_outage_keeps_the_secret_and_passes_by_itself() -> Result<()> {
    let Corp { mut directory, workspace, operator: _operator, .. } =
        Corp::ready("checkInterval: 1h\nfailureThreshold: 2").await?;
    let verified = workspace.secrets().get("corp-ldap").await?;
    directory.stop()?;
    workspace.recheck("LdapConfig", "corp", "first").await?;
    let tolerated = workspace
        .wait_for("LdapConfig", "corp", |status| {
            condition(status, "Verified").is_some_and(|verified| {
                verified["message"].as_str().is_some_and(|text| {
                    text.contains("Failed re-checks in a row: 1; this turns False after 2")
                })
            })
        })
        .await?;
    assert_eq!(condition(&tolerated, "Ready").context("Ready")?["status"], "True");
    workspace.recheck("LdapConfig", "corp", "second").await?;
    let failed = workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    assert_eq!(
        condition(&failed, "Published").context("Published")?["status"],
        "True",
        "the Secret is still right"
    );
    assert_eq!(condition(&failed, "Reconciling").context("Reconciling")?["status"], "True");
    assert!(condition(&failed, "Stalled").is_none());
    directory.start()?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let recovered = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(recovered.metadata.resource_version, verified.metadata.resource_version, "no write at all");
    assert_eq!(recovered.data, verified.data);
    Ok(())
}

#[tokio::test]
async fn what_a_resource_refers_to_may_come_later_and_change() -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 1h")).await?;
    workspace.apply(&oidc_provider(provider.issuer(), "checkInterval: 1h")).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "ResolvedRefs", "SecretNotFound").await?;
    let message = condition(&status, "ResolvedRefs").context("ResolvedRefs")?["message"].to_string();
    assert!(
        message.contains("ldap-bind") && message.contains("authority"),
        "both are told at once: {message}"
    );
    workspace.put_secret("ldap-bind", &[("wrong", "x")]).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "ResolvedRefs", "KeyNotFound").await?;
    put_references(&workspace, &certificate).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    // A ConfigMap that changes is noticed without waiting for the interval.
    put_authority(&workspace, &crate::world::certificate()?).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "UnknownAuthority").await?;
    workspace.wait_for_reason("OidcProvider", "main", "Verified", "UnknownAuthority").await?;
    Ok(())
}

/// Only names are said, of what people made: neither contents, nor what the operator published itself.
#[tokio::test]
async fn a_misspelt_reference_is_told_what_is_there() -> Result<()> {
    let corp = Corp::ready("checkInterval: 1h").await?;
    let misspelt = ldap_config(&corp.directory.ldaps_url()?, "checkInterval: 1h")
        .replace("name: corp", "name: misspelt")
        .replace("name: ldap-bind", "name: ldap-bnd")
        .replace("name: authority", "name: autority");
    corp.workspace.apply(&misspelt).await?;
    let status =
        corp.workspace.wait_for_reason("LdapConfig", "misspelt", "ResolvedRefs", "SecretNotFound").await?;
    let message = condition(&status, "ResolvedRefs").context("ResolvedRefs")?["message"].to_string();
    for words in [
        r#"There is no Secret \"ldap-bnd\" in this namespace (spec.bind.passwordSecretRef); there is \"ldap-bind\"."#,
        r#"There is no ConfigMap \"autority\" in this namespace (spec.tls.caBundle); there is \"authority\"."#,
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert!(!message.contains(PASSWORD), "{message}");
    // The published Secret is `corp-ldap`.
    let published = misspelt.replace("name: misspelt", "name: published").replace("ldap-bnd", "corp-ldp");
    corp.workspace.apply(&published).await?;
    let status =
        corp.workspace.wait_for_reason("LdapConfig", "published", "ResolvedRefs", "SecretNotFound").await?;
    let message = condition(&status, "ResolvedRefs").context("ResolvedRefs")?["message"].to_string();
    assert!(!message.contains("corp-ldap"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_value_that_is_none_is_refused_before_it_is_sent() -> Result<()> {
    let corp = Corp::ready("").await?;
    let before = corp.directory.bind_attempts(Slapd::SERVICE_DN)?;
    let twice = BASE64_STANDARD.encode(PASSWORD);
    corp.workspace.put_secret("ldap-bind", &[("password", &twice)]).await?;
    let status = corp.workspace.wait_for_reason("LdapConfig", "corp", "ResolvedRefs", "InvalidValue").await?;
    assert!(!status.to_string().contains(&twice), "{status}");
    assert_eq!(corp.directory.bind_attempts(Slapd::SERVICE_DN)?, before);
    // What worked stays published.
    let published = corp.workspace.secrets().get("corp-ldap").await?.data.context("data")?;
    assert_eq!(published.get("LOCAL_LDAP_BIND_PW").context("the password")?.0, PASSWORD.as_bytes());
    corp.workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    corp.workspace.wait_until_ready("LdapConfig", "corp").await?;
    Ok(())
}

#[tokio::test]
async fn a_value_that_looks_wrong_is_tried_on_request_and_kept() -> Result<()> {
    let certificate = certificate()?;
    let password = BASE64_STANDARD.encode(PASSWORD);
    let directory = Slapd::builder(&password).certificate(&certificate).start()?;
    let workspace = workspace().await?;
    let first = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    workspace.put_secret("ldap-bind", &[("password", "dmVyeS13cm9uZw==")]).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 1h")).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "ResolvedRefs", "InvalidValue").await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 0);
    // It is tried once, and another value needs another request.
    workspace.recheck("LdapConfig", "corp", "first").await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "InvalidCredentials").await?;
    workspace.put_secret("ldap-bind", &[("password", &password)]).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "ResolvedRefs", "InvalidValue").await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    workspace.recheck("LdapConfig", "corp", "second").await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    // What is published is known to work, whatever else changes.
    drop(first);
    let second = operator(&workspace)?;
    second.wait_until_ready()?;
    let change = json!({"metadata": {"annotations": {"auth.wandb.com/recheck": null}}, "spec": {"checkInterval": "2h"}});
    workspace.patch("LdapConfig", "corp", &change).await?;
    let status =
        workspace.wait_for("LdapConfig", "corp", |status| status["observedGeneration"] == json!(2)).await?;
    assert_eq!(condition(&status, "Ready").context("Ready")?["status"], "True", "{status}");
    Ok(())
}

#[tokio::test]
async fn an_address_that_egress_forbids_is_never_connected_to() -> Result<()> {
    let server = TcpServer::black_hole()?;
    let workspace = workspace().await?;
    let _operator = workspace.start_operator(crate::world::program(), &[])?;
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    put_authority(&workspace, &certificate()?).await?;
    workspace.apply(&ldap_config(&format!("ldaps://{}", server.address()), "")).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Verified", "EgressDenied").await?;
    assert_eq!(server.connections(), 0);
    assert_eq!(condition(&status, "Stalled").context("Stalled")?["status"], "True");
    Ok(())
}

/// The operator speaks to a proxy; where the API server itself listens, that one tells.
#[tokio::test]
async fn the_api_servers_own_address_is_closed_and_so_is_all_while_it_is_unknown() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let workspace = workspace().await?;
    let proxy = ApiProxy::start(plane)?;
    proxy.fail(|_, path| (path == "/api").then_some(Fault::Close));
    let _operator = workspace.start_operator_through(&proxy, crate::world::program(), &[])?;
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    put_authority(&workspace, &certificate()?).await?;
    let more = "checkInterval: 10s";
    workspace.apply(&ldap_config(&format!("ldaps://{}", plane.address()), more)).await?;
    let told = async |words: &str| {
        let is_told = |status: &Value| {
            condition(status, "Ready").is_some_and(|told| {
                told["reason"] == "EgressDenied"
                    && told["message"].as_str().is_some_and(|message| message.contains(words))
            })
        };
        workspace.wait_for("LdapConfig", "corp", is_told).await
    };
    told("whose addresses are not known yet").await?;
    proxy.heal();
    told("the address of the Kubernetes API server").await?;
    Ok(())
}

#[tokio::test]
async fn the_log_line_of_a_failed_check_has_fields_for_it() -> Result<()> {
    let workspace = workspace().await?;
    let operator = operator(&workspace)?;
    put_references(&workspace, &certificate()?).await?;
    workspace.apply(&ldap_config("ldaps://127.0.0.1:1", "")).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    // It is written after the status.
    operator.log().wait_for("CheckFailed", PATIENCE)?;
    let log = operator.log().read()?;
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["reason"] == "CheckFailed").context("no line")?;
    assert_eq!((&line["check"], &line["check_reason"]), (&"TcpConnects".into(), &"ConnectionRefused".into()));
    // Who reads it at night needs no other place: what it is about, what was seen and what to do.
    assert_eq!((&line["kind"], &line["name"]), (&"LdapConfig".into(), &"corp".into()));
    assert_eq!((&line["namespace"], &line["condition"]), (&workspace.namespace().into(), &"Verified".into()));
    let message = line["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("TcpConnects: ") && message.contains("127.0.0.1:1"), "{line}");
    Ok(())
}
