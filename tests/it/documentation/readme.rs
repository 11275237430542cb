//! What the README begins with leads to a resource that is Ready, with the real kubectl.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use test_support::{ControlPlane, Slapd, User, tools};

use super::Page;
use crate::world::{PASSWORD, certificate, directory, operator, workspace};

#[tokio::test]
async fn the_first_commands_lead_to_a_resource_that_is_ready() -> Result<()> {
    let page = Page::read("README.md")?;
    let block = page.blocks("sh").next().context("the README begins with commands")?;
    // The operator runs already; no pod does here.
    let (_, commands) = block.split_once("--wait\n").context("helm installs the operator")?;
    ensure!(block.lines().count() <= 18, "the way to the first resource is long: {block}");

    let workspace = workspace().await?;
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let _operator = operator(&workspace)?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("ca.crt"), &certificate.authority_pem)?;
    fs::write(folder.path().join("password"), PASSWORD)?;
    // What people put in; all else stands as it is.
    let mut mine = commands.to_owned();
    for (theirs, ours) in [
        ("-n wandb", format!("-n {}", workspace.namespace())),
        ("ldaps://ldap.example.com:636", directory.ldaps_url()?),
    ] {
        ensure!(mine.contains(theirs), "the README does not say {theirs}: {commands}");
        mine = mine.replace(theirs, &ours);
    }
    ensure!(mine.contains(Slapd::SUFFIX) && mine.contains(Slapd::SERVICE_DN), "{mine}");

    let kubectl = tools::kubectl()?;
    let tools = kubectl.parent().context("kubectl is in a folder")?.display();
    let output = Command::new("sh")
        .args(["-e", "-c", &format!("PATH={tools}:$PATH\n{mine}")])
        .env("KUBECONFIG", ControlPlane::shared().await?.kubeconfig(User::Admin))
        .current_dir(folder.path())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && said.contains("condition met"), "{mine}\n{said}");
    Ok(())
}
