//! What becomes of the Secret.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    api::{DeleteParams, Patch, PatchParams, PropagationPolicy},
    core::DynamicObject,
    runtime::{conditions, wait::await_condition},
};
use serde_json::json;
use test_support::{ApiProxy, ControlPlane, Workspace, condition};
use wandb_auth_operator::api_server::READ_LIMIT;

use crate::world::{
    Corp, PASSWORD, PATIENCE, certificate, directory, eventually, garbage_collector_knows_ldap_configs,
    ldap_config, oidc_provider, operator, program, provider, put_references, workspace,
};

/// Waits until the Secret satisfies the test.
async fn secret(
    workspace: &Workspace,
    name: &str,
    wanted: impl Fn(&Secret) -> bool + Send,
) -> Result<Secret> {
    let waiting =
        await_condition(workspace.secrets(), name, |secret: Option<&Secret>| secret.is_some_and(&wanted));
    let found = tokio::time::timeout(PATIENCE, waiting).await;
    found.with_context(|| format!("the Secret {name} did not get there"))??.context("the Secret vanished")
}

fn text<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    std::str::from_utf8(&secret.data.as_ref()?.get(key)?.0).ok()
}

#[tokio::test]
async fn both_kinds_become_ready_and_publish() -> Result<()> {
    let Corp { certificate, directory, workspace, operator: _operator } = Corp::ready("").await?;
    let provider = provider(&certificate)?;
    workspace.apply(&oidc_provider(provider.issuer(), "")).await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    let status = workspace.status("LdapConfig", "corp").await?;
    assert!(condition(&status, "Stalled").is_none() && condition(&status, "Reconciling").is_none());
    assert_eq!(status["secretRef"]["name"], "corp-ldap");
    let ldap = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(text(&ldap, "LOCAL_LDAP_ADDRESS").context("published")?, directory.ldaps_url()?);
    assert_eq!(text(&ldap, "LDAP_BIND_PW"), Some(PASSWORD));
    assert_eq!(text(&ldap, "ca.crt"), Some(certificate.authority_pem.as_str()));
    assert_eq!(ldap.type_.as_deref(), Some("Opaque"));
    let owner = &ldap.metadata.owner_references.as_ref().context("owned")?[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("LdapConfig", "corp"));
    let oidc = workspace.secrets().get("main-oidc").await?;
    assert_eq!(text(&oidc, "GORILLA_OIDC_ISSUER"), Some(provider.issuer()));
    let table = workspace.table("ldapconfigs").await?;
    assert_eq!(
        table.rows()[0],
        ["NAME", "ADDRESS", "READY", "REASON", "WARNINGS", "SECRET", "LAST CHECK", "AGE"]
    );
    assert_eq!(table.rows()[1][..6], ["corp", &directory.ldaps_url()?, "True", "Ready", "0", "corp-ldap"]);
    let table = workspace.table("oidcproviders").await?;
    assert_eq!(table.rows()[1][..4], ["main", provider.issuer(), "True", "Ready"]);
    // The good news of a run are one event.
    eventually("the event", || async {
        let events = workspace.events().await?;
        let told = ["\"Published\"", "Wrote the current values to the Secret", "No check failed."];
        Ok(told.iter().all(|words| events.contains(words)).then_some(()))
    })
    .await?;
    ensure!(!workspace.events().await?.contains("\"Verified\""), "it is told by the same event");
    Ok(())
}

#[tokio::test]
async fn an_edited_or_deleted_secret_is_repaired() -> Result<()> {
    let Corp { directory, workspace, operator, .. } = Corp::ready("").await?;
    let right = workspace.secrets().get("corp-ldap").await?;
    // A changed value, a foreign key, a lost label and a lost owner.
    let edit = json!({
        "stringData": {"LDAP_ADDRESS": "ldap://elsewhere", "FOREIGN": "x"},
        "metadata": {"labels": {"app.kubernetes.io/managed-by": null}, "ownerReferences": null},
    });
    workspace.secrets().patch("corp-ldap", &PatchParams::default(), &Patch::Merge(edit)).await?;
    let same = |secret: &Secret| {
        secret.data == right.data
            && secret.metadata.labels == right.metadata.labels
            && secret.metadata.owner_references == right.metadata.owner_references
    };
    secret(&workspace, "corp-ldap", same).await?;
    workspace.secrets().delete("corp-ldap", &DeleteParams::default()).await?;
    secret(&workspace, "corp-ldap", |secret| same(secret) && secret.metadata.uid != right.metadata.uid)
        .await?;
    assert_eq!(directory.bind_attempts(test_support::Slapd::SERVICE_DN)?, 1, "a repair needs no new bind");
    // Each is told by an event and a line of the log of its own.
    for words in ["was changed by the field manager ", "was deleted, and was made again"] {
        eventually("an event", async || {
            let events = workspace.events().await?;
            Ok((events.contains("\"Repaired\"") && events.contains(words)).then_some(()))
        })
        .await?;
        let log = operator.log().read()?;
        let mut lines = log.lines().filter(|line| line.contains("\"reason\":\"Repaired\""));
        ensure!(lines.any(|line| line.contains(words)), "{words}: {log}");
    }
    Ok(())
}

#[tokio::test]
async fn somebody_elses_secret_is_left_alone() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.put_secret("corp-ldap", &[("theirs", "precious")]).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Published", "SecretNotOwned").await?;
    assert_eq!(condition(&status, "Verified").context("Verified")?["status"], "True");
    assert_eq!(condition(&status, "Stalled").context("Stalled")?["status"], "True");
    let theirs = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(theirs.data.context("its data")?.into_keys().collect::<Vec<_>>(), ["theirs"]);
    workspace.secrets().delete("corp-ldap", &DeleteParams::default()).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    Ok(())
}

#[tokio::test]
async fn values_that_fail_never_replace_values_that_passed() -> Result<()> {
    let Corp { directory: _directory, workspace, operator: _operator, .. } = Corp::ready("").await?;
    let verified = workspace.secrets().get("corp-ldap").await?;
    let broken = json!({"spec": {"baseDN": "dc=nowhere"}});
    workspace.patch("LdapConfig", "corp", &broken).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Published", "HoldingLastVerified").await?;
    assert_eq!(condition(&status, "Verified").context("Verified")?["reason"], "BaseDnNotFound");
    assert_eq!(
        workspace.secrets().get("corp-ldap").await?.metadata.resource_version,
        verified.metadata.resource_version
    );
    // Events are written after the status.
    eventually("an event", || async {
        Ok(workspace.events().await?.contains("HoldingLastVerified").then_some(()))
    })
    .await?;
    // What is held is repaired, too.
    workspace.secrets().delete("corp-ldap", &DeleteParams::default()).await?;
    secret(&workspace, "corp-ldap", |secret| secret.data == verified.data).await?;
    // A reference that breaks holds just as well.
    workspace.secrets().delete("ldap-bind", &DeleteParams::default()).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "ResolvedRefs", "SecretNotFound").await?;
    assert_eq!(condition(&status, "Verified").context("Verified")?["status"], "Unknown");
    assert_eq!(condition(&status, "Published").context("Published")?["reason"], "HoldingLastVerified");
    Ok(())
}

#[tokio::test]
async fn always_publishes_what_parses_but_enforces_login_only_once_verified() -> Result<()> {
    let certificate = certificate()?;
    let mut directory = directory(&certificate)?;
    directory.stop()?;
    let workspace = workspace().await?;
    let first = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace
        .apply(&ldap_config(&directory.ldaps_url()?, "publishPolicy: Always\nfailureThreshold: 1"))
        .await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Published", "PublishedUnverified").await?;
    let published = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(text(&published, "LOCAL_LDAP_LOGIN"), Some("false"));
    // A restart proves nothing.
    drop(first);
    let _second = operator(&workspace)?;
    workspace.recheck("LdapConfig", "corp", "still down").await?;
    let is_told = |status: &serde_json::Value| {
        status["checkedInputs"].as_str().is_some_and(|inputs| inputs.contains("still down"))
    };
    let status = workspace.wait_for("LdapConfig", "corp", is_told).await?;
    assert_eq!(condition(&status, "Published").context("Published")?["reason"], "PublishedUnverified");
    let unchanged = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(unchanged.metadata.resource_version, published.metadata.resource_version);
    directory.start()?;
    workspace.recheck("LdapConfig", "corp", "up").await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    secret(&workspace, "corp-ldap", |secret| text(secret, "LOCAL_LDAP_LOGIN") == Some("true")).await?;
    directory.stop()?;
    workspace.recheck("LdapConfig", "corp", "down").await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    let published = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(text(&published, "LOCAL_LDAP_LOGIN"), Some("true"));
    Ok(())
}

#[tokio::test]
async fn deleting_removes_or_retains_the_secret() -> Result<()> {
    let Corp { directory, workspace, operator: _operator, .. } =
        Corp::ready("deletionPolicy: Retain").await?;
    let retained = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(retained.metadata.owner_references, None);
    let resources = workspace.resources("LdapConfig")?;
    resources.delete("corp", &DeleteParams::background()).await?;
    // The same resource again takes its Secret over, and its policy gives it an owner.
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let adopted =
        secret(&workspace, "corp-ldap", |secret| secret.metadata.owner_references.is_some()).await?;
    assert_eq!(adopted.metadata.uid, retained.metadata.uid);
    // Foreground deletion takes the Secret first, which must not be repaired then.
    resources.delete("corp", &DeleteParams::foreground()).await?;
    let gone = await_condition(
        workspace.secrets(),
        "corp-ldap",
        conditions::is_deleted(adopted.metadata.uid.as_deref().unwrap_or_default()),
    );
    tokio::time::timeout(PATIENCE, gone).await.context("the Secret was not collected")??;
    let gone = await_condition(resources, "corp", |object: Option<&DynamicObject>| object.is_none());
    tokio::time::timeout(PATIENCE, gone).await.context("the resource stayed")??;
    assert_eq!(workspace.secrets().get_opt("corp-ldap").await?, None);
    Ok(())
}

/// Has the garbage collector take the Secret's owner away while a run of the resource waits for the Secret at a gate.
/// Tells whether that run went on; what is not answered in time is given up.
async fn loses_its_owner_during_a_run(
    workspace: &Workspace,
    proxy: &ApiProxy,
    address: &str,
    name: &str,
) -> Result<bool> {
    let config = ldap_config(address, "checkInterval: 1h");
    workspace.apply(&config.replace("name: corp", &format!("name: {name}"))).await?;
    workspace.wait_until_ready("LdapConfig", name).await?;

    let (secret_name, path) = (format!("{name}-ldap"), format!("/secrets/{name}-ldap"));
    let gate = Arc::new(Gate::default());
    let at_gate = Arc::clone(&gate);
    proxy.fail(move |method, requested| {
        if method == "GET" && requested.ends_with(&path) {
            at_gate.pass();
        }
        None
    });
    // The resource stays for a while, as with any finalizer of somebody else.
    let finalizers = json!({"metadata": {"finalizers": ["example.com/keeps"]}});
    workspace.patch("LdapConfig", name, &finalizers).await?;
    workspace.recheck("LdapConfig", name, "now").await?;
    let arrived = eventually("a run", || async { Ok(gate.arrived.get().copied()) }).await?;
    let orphaning =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    workspace.resources("LdapConfig")?.delete(name, &orphaning).await?;
    secret(workspace, &secret_name, |secret| secret.metadata.owner_references.is_none()).await?;
    // The answer is still to come, which may take a while.
    let goes_on = arrived.elapsed() < READ_LIMIT / 2;
    gate.is_open.store(true, Ordering::SeqCst);
    // A run that begins later takes as long.
    let later = format!("{name}-later");
    workspace.apply(&config.replace("name: corp", &format!("name: {later}"))).await?;
    workspace.wait_until_ready("LdapConfig", &later).await?;
    workspace.recheck("LdapConfig", &later, "now").await?;
    workspace.wait_for("LdapConfig", &later, |status| status["lastHandledRecheck"] == "now").await?;
    workspace.patch("LdapConfig", name, &json!({"metadata": {"finalizers": null}})).await?;
    let kept = workspace.secrets().get(&secret_name).await?;
    assert_eq!(kept.metadata.owner_references, None);
    Ok(goes_on)
}

/// A run that began before the deletion must not give the Secret the owner back that the garbage collector has just
/// taken away.
#[tokio::test]
async fn a_secret_that_is_to_outlive_its_resource_gets_no_owner_again() -> Result<()> {
    let certificate = certificate()?;
    let (directory, workspace) = (directory(&certificate)?, workspace().await?);
    put_references(&workspace, &certificate).await?;
    // Otherwise the run would be given up long before the collector comes.
    garbage_collector_knows_ldap_configs(&workspace).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let _operator =
        workspace.start_operator_through(&proxy, program(), &["--allow-egress", "127.0.0.0/8"])?;
    // The collector of a busy machine may come late, but not each time.
    for name in ["first", "second", "third"] {
        if loses_its_owner_during_a_run(&workspace, &proxy, &directory.ldaps_url()?, name).await? {
            return Ok(());
        }
    }
    bail!("no run still waited for the Secret when that had lost its owner")
}

/// Where requests wait until it is open.
#[derive(Default)]
struct Gate {
    /// When the first request came.
    arrived: OnceLock<Instant>,
    is_open: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        self.arrived.get_or_init(Instant::now);
        while !self.is_open.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[tokio::test]
async fn suspending_leaves_everything_as_it_is() -> Result<()> {
    let Corp { directory: _directory, workspace, operator: _operator, .. } = Corp::ready("").await?;
    let before = workspace.secrets().get("corp-ldap").await?;
    workspace
        .patch("LdapConfig", "corp", &json!({"spec": {"suspend": true, "baseDN": "dc=nowhere"}}))
        .await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Ready", "Suspended").await?;
    assert!(status["checks"].as_array().is_some_and(|checks| !checks.is_empty()));
    assert!(condition(&status, "Stalled").is_none() && condition(&status, "Reconciling").is_none());
    assert_eq!(
        workspace.secrets().get("corp-ldap").await?.metadata.resource_version,
        before.metadata.resource_version
    );
    workspace
        .patch("LdapConfig", "corp", &json!({"spec": {"suspend": false, "baseDN": "dc=example,dc=org"}}))
        .await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    Ok(())
}

#[tokio::test]
async fn a_restart_in_an_outage_forgets_nothing() -> Result<()> {
    let Corp { mut directory, workspace, operator: first, .. } =
        Corp::ready("checkInterval: 1h\nfailureThreshold: 1").await?;
    let verified = workspace.secrets().get("corp-ldap").await?;
    directory.stop()?;
    workspace.recheck("LdapConfig", "corp", "down").await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    drop(first);
    workspace.secrets().delete("corp-ldap", &DeleteParams::default()).await?;
    let _second = operator(&workspace)?;
    secret(&workspace, "corp-ldap", |secret| secret.data == verified.data).await?;
    let status = workspace.status("LdapConfig", "corp").await?;
    assert_eq!(condition(&status, "Verified").context("Verified")?["status"], "False", "the outage goes on");
    let edit = json!({"stringData": {"LDAP_ADDRESS": "ldap://elsewhere"}});
    workspace.secrets().patch("corp-ldap", &PatchParams::default(), &Patch::Merge(edit)).await?;
    secret(&workspace, "corp-ldap", |secret| secret.data == verified.data).await?;
    Ok(())
}

#[tokio::test]
async fn the_deletion_policy_applies_whatever_else_is_wrong() -> Result<()> {
    let Corp { workspace, operator: first, directory: _directory, .. } = Corp::ready("").await?;
    let owned = |secret: &Secret| secret.metadata.owner_references.is_some();
    // While suspended.
    workspace
        .patch("LdapConfig", "corp", &json!({"spec": {"suspend": true, "deletionPolicy": "Retain"}}))
        .await?;
    secret(&workspace, "corp-ldap", |secret| !owned(secret)).await?;
    workspace
        .patch("LdapConfig", "corp", &json!({"spec": {"suspend": false, "deletionPolicy": "Remove"}}))
        .await?;
    let verified = secret(&workspace, "corp-ldap", owned).await?;
    // While the last verified values are held, by an operator that never saw them verified.
    drop(first);
    workspace.secrets().delete("ldap-bind", &DeleteParams::default()).await?;
    let _second = operator(&workspace)?;
    workspace.wait_for_reason("LdapConfig", "corp", "Published", "HoldingLastVerified").await?;
    workspace.patch("LdapConfig", "corp", &json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    let held = secret(&workspace, "corp-ldap", |secret| !owned(secret)).await?;
    assert_eq!(held.data, verified.data);
    Ok(())
}
