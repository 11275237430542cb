//! `helm upgrade --install --wait` of a chart that has one of our resources.

use std::{
    fs,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use test_support::{ChildProcess, Workspace, condition, free_port, tools};

use super::kubeconfig;
use crate::world::{
    PASSWORD, certificate, directory, eventually, ldap_config, operator, put_authority, put_references,
    workspace,
};

/// Much longer than anything here takes, so that what ends sooner has not waited for it.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How long Helm waits for what does not come: longer than it takes until it has seen what is wrong.
const SHORT_TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn it_waits_for_what_is_right_and_fails_at_once_with_our_message_for_what_is_wrong() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    let right = ldap_config(&directory.ldaps_url()?, "");

    upgrade(&workspace, &right, TIMEOUT).await?.map_err(anyhow::Error::msg)?;
    let status = workspace.status("LdapConfig", "corp").await?;
    assert_eq!(condition(&status, "Ready").context("Ready")?["status"], "True", "it waited");

    let wrong = right.replace("baseDN: dc=", "baseDN: ou=nowhere,dc=");
    let started = Instant::now();
    let output = upgrade(&workspace, &wrong, TIMEOUT).await?.err().context("it says that all is well")?;
    ensure!(started.elapsed() < TIMEOUT, "it waited in vain");
    let status = workspace.status("LdapConfig", "corp").await?;
    let stalled = condition(&status, "Stalled").context("Stalled")?;
    for part in ["LdapConfig", "Failed", stalled["message"].as_str().context("message")?] {
        ensure!(output.contains(part), "{part}: {output}");
    }

    // What may pass by itself is waited for.
    let down = ldap_config(&format!("ldaps://127.0.0.1:{}", free_port()?), "");
    let output = upgrade(&workspace, &down, SHORT_TIMEOUT).await?.err().context("nobody is there")?;
    for part in ["LdapConfig", "InProgress", "TcpConnects", "context deadline exceeded"] {
        ensure!(output.contains(part), "{part}: {output}");
    }
    upgrade(&workspace, &right, TIMEOUT).await?.map_err(anyhow::Error::msg)
}

/// Helm creates what belongs together in an order of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_what_arrives_a_moment_later() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = Arc::new(workspace().await?);
    let _operator = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    let place = Arc::clone(&workspace);
    let arrival = tokio::spawn(async move {
        let resources = place.resources("LdapConfig")?;
        eventually("the resource", || async { Ok(resources.get_opt("corp").await?) }).await?;
        place.wait_for_reason("LdapConfig", "corp", "ResolvedRefs", "SecretNotFound").await?;
        place.put_secret("ldap-bind", &[("password", PASSWORD)]).await
    });
    let installed = upgrade(&workspace, &ldap_config(&directory.ldaps_url()?, ""), TIMEOUT).await?;
    arrival.await??;
    installed.map_err(anyhow::Error::msg)
}

/// Installs or upgrades the release; what it says where it fails.
async fn upgrade(
    workspace: &Workspace,
    manifest: &str,
    timeout: Duration,
) -> Result<std::result::Result<(), String>> {
    let chart = TempDir::new()?;
    fs::write(chart.path().join("Chart.yaml"), "apiVersion: v2\nname: corp\nversion: 0.1.0\n")?;
    fs::create_dir(chart.path().join("templates"))?;
    fs::write(chart.path().join("templates/corp.yaml"), manifest)?;
    let mut command = Command::new(tools::helm()?);
    command.args(["upgrade", "--install", "corp"]).arg(chart.path());
    command.arg("--kubeconfig").arg(kubeconfig().await?).args(["--namespace", workspace.namespace()]);
    command.arg("--wait").arg(format!("--timeout={}s", timeout.as_secs()));
    for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(home, chart.path().join(home));
    }
    let mut helm = ChildProcess::spawn("helm", &command, &chart.path().join("log"))?;
    let is_well = helm.wait(2 * TIMEOUT)?.success();
    Ok(if is_well { Ok(()) } else { Err(helm.log().read()?) })
}
