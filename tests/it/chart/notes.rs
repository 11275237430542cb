//! What Helm prints after an installation.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_support::{
    ControlPlane, Helm, Installation, User, Workspace, definitions,
    helm::{NAMESPACE, RELEASE},
};
use wandb_auth_operator::api::custom_resource_definitions;

use super::cases;
use crate::world::program;

#[tokio::test]
async fn notes_name_commands_that_work() -> Result<()> {
    let helm = Helm::new()?;
    let plane = ControlPlane::shared().await?;
    let mut known = custom_resource_definitions();
    known.extend(definitions::monitoring()?);
    let workspace = Workspace::create(plane, &known).await?;
    let release = Installation { kubeconfig: plane.kubeconfig(User::Admin), namespace: NAMESPACE };
    for case in cases()? {
        // The definitions are there, and belong to no release.
        let printed =
            helm.upgrade_install(release, &case.values_without_definitions(), &["--dry-run=server"])?;
        let (_, notes) = printed.split_once("\nNOTES:\n").context("no notes")?;
        let manifest = manifest(notes)?;
        ensure!(workspace.complaints(manifest).await? == [""; 0], "{manifest}");
        ensure!(notes.contains("kubectl get wandb-auth --namespace "), "{notes}");
        ensure!(notes.contains("kubectl rollout status deployment/"), "{notes}");
        if ["all_namespaces", "everything", "namespaces"].contains(&case.name.as_str()) {
            insta::assert_snapshot!(case.name.clone(), notes);
        }
    }
    Ok(())
}

/// The manifest of the notes, which a person pastes into a terminal.
fn manifest(notes: &str) -> Result<&str> {
    let (_, manifest) = notes.split_once("<<EOF\n").context("no manifest")?;
    Ok(manifest.split_once("\nEOF\n").context("the manifest has no end")?.0)
}

/// The checks that the notes show run as they are printed; only their server does not exist.
#[test]
fn the_example_gets_a_verdict() -> Result<()> {
    let notes = notes("replicaCount=1")?;
    let (_, command) = notes.split_once("/usr/bin/wandb-auth-operator ").context("no command")?;
    let words = command.split_once(" <<EOF").context("no manifest")?.0.split_whitespace();
    let mut child = Command::new(program())
        .args(words)
        .args(["-o", "json"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(manifest(&notes)?.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.code() == Some(1), "a check fails, and nothing else: {:?}", output.status);
    let printed: Value = serde_json::from_slice(&output.stdout)?;
    let checks = printed[0]["checks"].as_array().context("no checks")?;
    let failed: Vec<_> = checks.iter().filter(|check| check["result"] == "Failed").collect();
    ensure!(failed.len() == 1 && failed[0]["name"] == "DnsResolves", "{printed:#}");
    Ok(())
}

/// What is printed with these values, whether or not there is a cluster.
fn notes(values: &str) -> Result<String> {
    let helm = Helm::new()?;
    let arguments = ["install", RELEASE, helm.chart()?, "--dry-run=client", "--set", values];
    let printed = helm.run(&arguments)?;
    let (_, notes) = printed.split_once("\nNOTES:\n").context("no notes")?;
    Ok(notes.to_owned())
}

#[test]
fn alerts_without_their_metrics_are_told() -> Result<()> {
    let told = "Otherwise WandbAuthOperatorAbsent fires for ever";
    ensure!(notes("prometheusRule.enabled=true")?.contains(told));
    ensure!(!notes("prometheusRule.enabled=true,serviceMonitor.enabled=true")?.contains(told));
    ensure!(!notes("replicaCount=1")?.contains(told));
    Ok(())
}

#[test]
fn definitions_that_go_with_the_release_are_told() -> Result<()> {
    let told = "stay in Terminating for ever";
    ensure!(notes("crds.keep=false")?.contains(told));
    ensure!(!notes("crds.keep=true")?.contains(told));
    Ok(())
}
