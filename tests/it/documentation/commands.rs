//! The commands of the page that is read at night, with the real kubectl: nobody corrects a typo then.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use test_support::{ControlPlane, User, pods::WandbWorkload, tools};

use super::Page;
use crate::world::workspace;

/// What a command with this in it needs is not here: pods that run, the W&B operator's definition, files.
const LEFT_OUT: [&str; 5] =
    ["kubectl logs", "rollout status", "rollout undo", "patch weightsandbiases", "--from-file"];

/// The commands of the shell blocks, each on one line.
fn commands(page: &Page) -> Vec<String> {
    let blocks: String = page.blocks("sh").collect();
    let joined = blocks.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| line.starts_with("kubectl ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_commands_for_the_night_work() -> Result<()> {
    let page = Page::read("docs/operate/nobody-can-log-in.md")?;
    let workspace = workspace().await?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    for (kind, spec) in [
        ("LdapConfig", "{address: 'ldaps://ldap.example.com', baseDN: 'dc=example,dc=org'}"),
        ("OidcProvider", "{issuer: 'https://a.example.com', clientID: a, host: 'https://b.example.com'}"),
    ] {
        let head = format!("apiVersion: auth.wandb.com/v1alpha1\nkind: {kind}\nmetadata: {{name: corp}}\n");
        workspace.apply(&format!("{head}spec: {spec}\n")).await?;
    }
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let kubectl = tools::kubectl()?;
    let folder = kubectl.parent().context("kubectl is in a folder")?.display();
    let mut count = 0;
    for command in commands(&page).into_iter().filter(|line| !LEFT_OUT.iter().any(|part| line.contains(part)))
    {
        count += 1;
        let namespaced = command.replace(" -n wandb", &format!(" -n {}", workspace.namespace()));
        ensure!(namespaced != command, "it names no namespace: {command}");
        let output = Command::new("sh")
            .args(["-c", &format!("PATH={folder}:$PATH; {}", namespaced.replace("NAME", "corp"))])
            .env("KUBECONFIG", kubeconfig)
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        // A search that finds nothing is no mistake.
        ensure!(output.status.success() || command.contains("| grep"), "{command}\n{error}");
        ensure!(!error.contains("error"), "{command}\n{error}");
    }
    ensure!(count >= 8, "only {count} commands of the page were run");
    Ok(())
}
