//! Real differences between the operator's network and that of the server's pods.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use test_support::{CertificateAuthority, Leaf, Slapd, pods::Life};

use super::{check, expect_nothing_published, from_pods, is_check, nothing_is_left, open, said};
use crate::{
    delivery::Stage,
    own_network,
    world::{PASSWORD, ldap_config, program, put_authority},
};

/// Has the pods of checks run the program by this script, which gets the program and its arguments.
fn act_by(stage: &Stage, folder: &tempfile::TempDir, script: &str) -> Result<()> {
    let path = folder.path().join("place");
    let text = format!("#!/bin/sh\n{}\n", script.replace("PROGRAM", &program().display().to_string()));
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let variables = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
    stage.player.change_script(move |pod: &Pod| {
        if is_check(pod) {
            Life::Program { program: path.clone(), place: variables.clone() }
        } else {
            Life::Ready
        }
    });
    Ok(())
}

/// The network of the server's pods leads nowhere, as behind a network policy that allows nothing.
#[tokio::test]
async fn a_policy_that_cuts_the_servers_pods_off_is_seen_by_their_check_alone() -> Result<()> {
    if !own_network::is_possible() {
        eprintln!("skipped: this machine lets nobody make a network of one's own with `unshare`");
        return Ok(());
    }
    let (stage, folder) = (open(&[]).await?, tempfile::tempdir()?);
    act_by(&stage, &folder, "exec unshare --user --map-root-user --net -- PROGRAM \"$@\"")?;
    stage.apply(&from_pods("")).await?;
    let failed = |status: &serde_json::Value| said(status, "Verified").starts_with("False");
    let status = stage.workspace.wait_for("LdapConfig", "corp", failed).await?;
    let found = check(&status, "TcpConnects").context("no TcpConnects")?;
    ensure!(found["result"] == "Failed" && found["from"] == "ServerPod", "{status:#}");
    expect_nothing_published(&stage).await?;
    assert_eq!(stage.directory.bind_attempts(Slapd::SERVICE_DN)?, 0);
    // Once the policy lets them through, the pods say so by themselves.
    super::act(&stage, &[]);
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    nothing_is_left(&stage).await
}

/// The name of the directory is one of the host aliases in the server's pod template, and is known nowhere else.
#[tokio::test]
async fn names_that_only_the_servers_pods_know_are_found_from_there() -> Result<()> {
    const NAME: &str = "ldap.only-in-the-servers-pods.test";
    if !own_network::is_possible() {
        eprintln!("skipped: this machine lets nobody make mounts of one's own with `unshare`");
        return Ok(());
    }
    let (stage, folder) = (open(&[]).await?, tempfile::tempdir()?);
    let certificate = CertificateAuthority::new("names")?.issue(&Leaf::loopback().only_for(NAME))?;
    let directory = Slapd::builder(PASSWORD).certificate(&certificate).start()?;
    put_authority(&stage.workspace, &certificate).await?;
    let url = directory.ldaps_url()?;
    let port = url.rsplit(':').next().context("no port")?.to_owned();
    let aliases = serde_json::json!({"spec": {"template": {"spec": {"hostAliases": [
        {"ip": "127.0.0.1", "hostnames": [NAME]},
    ]}}}});
    let deployments = stage.api::<k8s_openapi::api::apps::v1::Deployment>();
    let parameters = kube::api::PatchParams::default();
    deployments.patch("wandb", &parameters, &kube::api::Patch::Strategic(aliases)).await?;
    let config = |more: &str| ldap_config(&format!("ldaps://{NAME}:{port}"), more);
    stage.workspace.apply(&config("target: {deployment: {name: wandb}}")).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "NameNotResolved").await?;
    act_by(
        &stage,
        &folder,
        "exec unshare --user --map-root-user --mount -- sh -c 'mount --bind hosts /etc/hosts && exec \"$@\"' sh PROGRAM \"$@\"",
    )?;
    stage.workspace.apply(&config(&from_pods(""))).await?;
    let status = stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    let found = check(&status, "DnsResolves").context("no DnsResolves")?;
    ensure!(found["result"] == "Passed" && found["from"] == "ServerPod", "{found:#}");
    nothing_is_left(&stage).await
}
