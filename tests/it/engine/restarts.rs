//! What a new process does with what an earlier one has proven.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::{AuditEvent, ControlPlane, Operator, Slapd, Workspace};

use super::requests::is_write;
use crate::world::{
    ARGUMENTS, PASSWORD, certificate, directory, events_are_written, eventually, jwt_issuer, ldap_config,
    oidc_provider, operator, program, provider, put_references, silence, workspace,
};

/// How many resources of each kind there are.
const OF_EACH_KIND: usize = 10;

/// An interval in which no resource's own time comes while a test runs.
const LONG: &str = "checkInterval: 8760h";

/// How many checks the process has made so far, by its own metrics.
fn checks(operator: &Operator) -> Result<f64> {
    let (_, metrics) = operator.get("/metrics")?;
    let counts = metrics.lines().filter(|line| line.starts_with("wandb_auth_check_duration_seconds_count"));
    Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Waits until the process has a verdict on so many resources.
async fn wait_for_verdicts(operator: &Operator, resources: usize) -> Result<()> {
    eventually("a verdict on every resource", || async {
        let (_, metrics) = operator.get("/metrics")?;
        let verdicts = metrics.lines().filter(|line| line.starts_with("wandb_auth_ready{")).count();
        Ok((verdicts == resources).then_some(()))
    })
    .await
}

fn by_operator(workspace: &Workspace, plane: &ControlPlane) -> Result<Vec<AuditEvent>> {
    let events = plane.audit_in(workspace.namespace())?;
    Ok(events.into_iter().filter(|event| event.user == "operator" && is_write(event)).collect())
}

fn named(manifest: &str, name: &str) -> String {
    let first = |line: &str| line.starts_with("metadata:");
    let lines = manifest
        .lines()
        .map(|line| if first(line) { format!("metadata: {{name: {name}}}\n") } else { format!("{line}\n") });
    lines.collect()
}

#[tokio::test]
async fn a_restart_makes_no_check_that_is_not_due_and_writes_nothing() -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    let (plane, workspace) = (ControlPlane::shared().await?, workspace().await?);
    put_references(&workspace, &certificate).await?;
    workspace.put_secret("other-bind", &[("password", PASSWORD)]).await?;
    let first = operator(&workspace)?;
    let kinds = ["LdapConfig", "OidcProvider", "JwtIssuer"];
    for number in 0..OF_EACH_KIND {
        let name = format!("number-{number}");
        workspace.apply(&named(&ldap_config(&directory.ldaps_url()?, LONG), &name)).await?;
        workspace.apply(&named(&oidc_provider(provider.issuer(), LONG), &name)).await?;
        workspace.apply(&named(&jwt_issuer(provider.issuer(), LONG), &name)).await?;
    }
    let other = ldap_config(&directory.ldaps_url()?, LONG).replace("name: ldap-bind", "name: other-bind");
    workspace.apply(&named(&other, "other")).await?;
    let broken = ldap_config("ldaps://127.0.0.1:1", LONG);
    workspace.apply(&named(&broken, "broken")).await?;
    for kind in kinds {
        for number in 0..OF_EACH_KIND {
            workspace.wait_until_ready(kind, &format!("number-{number}")).await?;
        }
    }
    workspace.wait_until_ready("LdapConfig", "other").await?;
    workspace.wait_for_reason("LdapConfig", "broken", "Verified", "ConnectionRefused").await?;
    // Events are written after the status.
    events_are_written(&workspace).await?;
    let writes = || by_operator(&workspace, plane);
    silence(Duration::from_secs(2), || async { Ok(writes()?.len()) }).await?;
    drop(first);
    // Once this one is gone, everything that is left was proven with the same inputs.
    workspace.resources("LdapConfig")?.delete("broken", &kube::api::DeleteParams::default()).await?;
    let (before, binds) = (writes()?.len(), directory.bind_attempts(Slapd::SERVICE_DN)?);

    let all = kinds.len() * OF_EACH_KIND + 1;
    let second = operator(&workspace)?;
    wait_for_verdicts(&second, all).await?;
    silence(Duration::from_secs(2), || async { Ok(writes()?.len()) }).await?;
    ensure!(writes()?.len() == before, "written: {:#?}", writes()?.split_off(before));
    ensure!(checks(&second)? == 0.0, "{} checks were made", checks(&second)?);
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, binds);
    let (_, metrics) = second.get("/metrics")?;
    let shown = |line: &str| line.starts_with("wandb_auth_check_result{") && line.contains("check=\"Bind\"");
    assert!(metrics.lines().any(shown), "what was found is shown:\n{metrics}");

    // The contents that were proven are in no memory, and the Secret is repaired all the same.
    let secrets = workspace.secrets();
    let proven = secrets.get("number-0-ldap").await?;
    let edit = json!({"stringData": {"LDAP_ADDRESS": "ldap://elsewhere"}});
    secrets.patch("number-0-ldap", &PatchParams::default(), &Patch::Merge(edit)).await?;
    eventually("the Secret's repair", || async {
        Ok((secrets.get("number-0-ldap").await?.data == proven.data).then_some(()))
    })
    .await?;
    ensure!(checks(&second)? == 0.0, "a repair asks nobody");

    // Whoever asks for a check gets one, and so does what changed while nobody looked.
    workspace.recheck("LdapConfig", "number-1", "now").await?;
    eventually("the check that was asked for", || async {
        Ok((directory.bind_attempts(Slapd::SERVICE_DN)? == binds + 1).then_some(()))
    })
    .await?;
    let told = |status: &serde_json::Value| status["checkedInputs"].to_string().contains("recheck=now");
    workspace.wait_for("LdapConfig", "number-1", told).await?;
    drop(second);
    workspace.put_secret("other-bind", &[("password", "not the password")]).await?;
    let third = operator(&workspace)?;
    workspace.wait_for_reason("LdapConfig", "other", "Verified", "InvalidCredentials").await?;
    wait_for_verdicts(&third, all).await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, binds + 2);
    Ok(())
}

/// The names of the Secrets that resources publish, in the order in which the operator first read them.
fn read_first(workspace: &Workspace, plane: &ControlPlane, before: usize) -> Result<Vec<String>> {
    let events = plane.audit_in(workspace.namespace())?.into_iter().skip(before);
    let reads =
        events.filter(|event| event.user == "operator" && event.verb == "get" && event.resource == "secrets");
    let mut names: Vec<String> = Vec::new();
    for name in reads.map(|event| event.name).filter(|name| name.ends_with("-ldap")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

#[tokio::test]
async fn what_was_not_ready_is_looked_at_before_the_rest() -> Result<()> {
    const READY: usize = 40;
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let (plane, workspace) = (ControlPlane::shared().await?, workspace().await?);
    put_references(&workspace, &certificate).await?;
    // So few at a time that there is a queue.
    let few = [&ARGUMENTS[..], &["--concurrency", "4"]].concat();
    let first = workspace.start_operator(program(), &few)?;
    for number in 0..READY {
        let manifest = ldap_config(&directory.ldaps_url()?, LONG);
        workspace.apply(&named(&manifest, &format!("number-{number}"))).await?;
    }
    let broken = ldap_config("ldaps://127.0.0.1:1", LONG);
    workspace.apply(&named(&broken, "broken")).await?;
    for number in 0..READY {
        workspace.wait_until_ready("LdapConfig", &format!("number-{number}")).await?;
    }
    workspace.wait_for_reason("LdapConfig", "broken", "Verified", "ConnectionRefused").await?;
    drop(first);
    workspace.apply(&named(&ldap_config(&directory.ldaps_url()?, LONG), "new")).await?;
    let before = plane.audit_in(workspace.namespace())?.len();

    let second = workspace.start_operator(program(), &few)?;
    wait_for_verdicts(&second, READY + 2).await?;
    let read = read_first(&workspace, plane, before)?;
    ensure!(read.len() == READY + 2, "{read:?}");
    for name in ["broken-ldap", "new-ldap"] {
        let position = read.iter().position(|read| read == name);
        ensure!(position.is_some_and(|position| position < READY / 4), "{name} at {position:?} of {read:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_suspended_is_checked_at_once_by_the_process_that_goes_on_with_it() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let first = operator(&workspace)?;
    for name in ["corp", "untouched"] {
        workspace.apply(&named(&ldap_config(&directory.ldaps_url()?, LONG), name)).await?;
        workspace.wait_until_ready("LdapConfig", name).await?;
    }
    workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": true}})).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Ready", "Suspended").await?;
    drop(first);
    workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": false}})).await?;
    let binds = directory.bind_attempts(Slapd::SERVICE_DN)?;

    // What was found before the suspension may be weeks old.
    let second = operator(&workspace)?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    wait_for_verdicts(&second, 2).await?;
    silence(Duration::from_secs(1), || async { directory.bind_attempts(Slapd::SERVICE_DN) }).await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, binds + 1, "and the other one is not due");
    Ok(())
}

#[tokio::test]
async fn what_was_not_ready_is_checked_at_once_and_the_rest_in_its_interval() -> Result<()> {
    let certificate = certificate()?;
    let mut directory = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let first = operator(&workspace)?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, LONG)).await?;
    let often = ldap_config(&directory.ldaps_url()?, "checkInterval: 10s")
        .replace("dc=example,dc=org\n", "ou=people,dc=example,dc=org\n");
    workspace.apply(&named(&often, "often")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("LdapConfig", "often").await?;
    directory.stop()?;
    workspace.patch("LdapConfig", "corp", &json!({"spec": {"failureThreshold": 1}})).await?;
    workspace.recheck("LdapConfig", "corp", "now").await?;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    drop(first);
    directory.start()?;
    let binds = directory.bind_attempts(Slapd::SERVICE_DN)?;
    let _second = operator(&workspace)?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("LdapConfig", "often").await?;
    eventually("the checks of the interval", || async {
        Ok((directory.bind_attempts(Slapd::SERVICE_DN)? >= binds + 3).then_some(()))
    })
    .await
}
