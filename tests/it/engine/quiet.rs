//! An unchanged world leads to no writes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use test_support::{AuditEvent, ControlPlane, wait_until};

use crate::world::{
    certificate, directory, ldap_config, oidc_provider, program, provider, put_references, workspace,
};

fn is_write(event: &AuditEvent) -> bool {
    ["create", "update", "patch", "delete", "deletecollection"].contains(&event.verb.as_str())
        && event.resource != "leases"
}

#[tokio::test]
async fn nothing_is_written_in_a_minute_apart_from_the_lease() -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    let plane = ControlPlane::shared().await?;
    let workspace = workspace().await?;
    let _operator =
        workspace.start_operator(program(), &["--allow-egress", "127.0.0.0/8", "--leader-elect"])?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 10s")).await?;
    workspace.apply(&oidc_provider(provider.issuer(), "checkInterval: 10s")).await?;
    let broken = ldap_config(&directory.ldaps_url()?, "checkInterval: 10s")
        .replace("dc=example,dc=org\n", "dc=nowhere\n");
    workspace.apply(&broken.replace("name: corp", "name: broken")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    workspace.wait_for_reason("LdapConfig", "broken", "Verified", "BaseDnNotFound").await?;
    let namespace = workspace.namespace().to_owned();
    let by_operator = move || -> Result<Vec<AuditEvent>> {
        Ok(plane.audit_in(&namespace)?.into_iter().filter(|event| event.user == "operator").collect())
    };
    // Events are written after the status that tests wait for.
    let settled = Instant::now();
    let writes = |events: &[AuditEvent]| events.iter().filter(|event| is_write(event)).count();
    wait_until(Duration::from_secs(20), "the last event", || Ok(settled.elapsed() > Duration::from_secs(2)))?;
    let before = by_operator()?;
    let binds = directory.bind_attempts(test_support::Slapd::SERVICE_DN)?;
    wait_until(Duration::from_secs(90), "a minute", || Ok(settled.elapsed() > Duration::from_secs(62)))?;
    let after = by_operator()?;
    let new: Vec<_> = after.iter().skip(before.len()).filter(|event| is_write(event)).collect();
    ensure!(writes(&before) == writes(&after), "written although nothing changed: {new:#?}");
    let rechecks = directory.bind_attempts(test_support::Slapd::SERVICE_DN)? - binds;
    ensure!(rechecks >= 8, "the checks went on: {rechecks} binds in a minute");
    ensure!(after.iter().all(|event| event.code != 403), "every right that is used is granted");
    Ok(())
}
