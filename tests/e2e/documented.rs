//! The documented commands, word for word, with the real helm and kubectl.
//!
//! Only Docker and kind have stand-ins, since the node is here already: their part is to bring the image there.

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use test_support::{User, tools, wait_until};

use crate::cluster::{Cluster, PATIENCE, WANDB};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
/// The image as the documented commands name it.
const DOCUMENTED_IMAGE: &str = "wandb-auth-operator:dev";
const OWN_IMAGE: &str = concat!("docker.io/library/wandb-auth-operator:", env!("CARGO_PKG_VERSION"));

/// From a new kind cluster to the samples, and back.
pub fn the_path_with_kind(cluster: &Cluster) -> Result<()> {
    cluster.node.tag_image(OWN_IMAGE, &format!("docker.io/library/{DOCUMENTED_IMAGE}"))?;
    let calls = run(cluster, &block("get-started/kind.md", "kind create cluster")?)?;
    let configuration = fs::read_to_string(Path::new(REPOSITORY).join("kind-config.yaml"))?;
    let configuration: Value = serde_yaml::from_str(&configuration)?;
    let name = configuration["name"].as_str().context("the cluster has no name")?;
    let expected = [
        "kind create cluster --config kind-config.yaml".to_owned(),
        format!("docker build --tag {DOCUMENTED_IMAGE} ."),
        format!("kind load docker-image --name {name} {DOCUMENTED_IMAGE}"),
    ];
    ensure!(calls.lines().eq(expected.iter()), "the documented commands are {calls}");
    wait_until(PATIENCE, "verdict on every sample", || {
        let samples = cluster.list(&["ldap,oidc,jwt,wsa", "--namespace", WANDB])?;
        ensure!(samples.len() >= 4, "there is no sample of each kind: {samples:#?}");
        Ok(samples.iter().all(|sample| {
            let conditions = sample["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| condition["reason"] == "NameNotResolved")
        }))
    })?;
    leave_nothing(cluster)
}

/// The manifests for people without Helm, and back.
pub fn the_path_without_helm(cluster: &Cluster) -> Result<()> {
    run(cluster, &block("get-started/install.md", "deploy/operator.yaml")?)?;
    cluster.node.wait_for(&["deployment/wandb-auth-operator", "--namespace", WANDB], "Available")?;
    leave_nothing(cluster)
}

/// Uninstalls as documented. Of the two ways that the page names, the one that does not apply fails.
fn leave_nothing(cluster: &Cluster) -> Result<()> {
    let commands = block("operate/uninstall.md", "helm uninstall")?;
    let installed_by_helm = cluster.list(&["secrets", "--namespace", WANDB, "--selector=owner=helm"])?;
    let commands = if installed_by_helm.is_empty() { without_helm(&commands)? } else { commands };
    run(cluster, &commands)?;
    ensure!(
        cluster.list(&["ldap,oidc,jwt,wsa", "--all-namespaces"])?.is_empty(),
        "resources are still there"
    );
    run(cluster, &block("operate/uninstall.md", "delete -f crds/")?)?;
    ensure!(cluster.list(&["crds"])?.is_empty(), "the definitions are still there");
    cluster.node.kubectl(&["delete", "namespace", WANDB], "").map(drop)
}

/// The commands with the one that stands beside `helm uninstall` in its place.
fn without_helm(commands: &str) -> Result<String> {
    let line =
        commands.lines().find(|line| line.starts_with("helm uninstall")).context("no helm uninstall")?;
    let (_, other) = line.split_once("# or: ").context("the page names no way without Helm")?;
    Ok(commands.replace(line, other))
}

/// The commands of a page that contain this text.
fn block(page: &str, text: &str) -> Result<String> {
    let path = Path::new(REPOSITORY).join("docs").join(page);
    let text_of_page = fs::read_to_string(&path).with_context(|| format!("docs/{page} cannot be read"))?;
    let mut blocks = text_of_page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains(text));
    Ok(block.with_context(|| format!("no command of docs/{page} has {text}"))?.to_owned())
}

/// Runs the commands as a person in a clone does, who stops where one fails; the calls of docker and kind.
fn run(cluster: &Cluster, commands: &str) -> Result<String> {
    let programs = tempfile::tempdir()?;
    for name in ["docker", "kind"] {
        let program = programs.path().join(name);
        fs::write(&program, format!("#!/bin/sh\necho \"{name} $*\" >> \"$CALLS\"\n"))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    }
    for tool in [tools::helm()?, tools::node()?.kubectl] {
        let name = tool.file_name().context("a tool has no name")?;
        std::os::unix::fs::symlink(&tool, programs.path().join(name))?;
    }
    let calls = programs.path().join("calls");
    fs::write(&calls, "")?;
    let system = env::var_os("PATH").unwrap_or_default();
    let path = [programs.path().to_owned()].into_iter().chain(env::split_paths(&system));
    let output = Command::new("sh")
        .args(["-e", "-c", commands])
        .env("PATH", env::join_paths(path)?)
        .env("KUBECONFIG", cluster.node.control_plane().kubeconfig(User::Admin))
        .env("HOME", programs.path())
        .env("CALLS", &calls)
        .current_dir(REPOSITORY)
        .output()?;
    if !output.status.success() {
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("these documented commands fail:\n{commands}\n{out}\n{error}");
    }
    Ok(fs::read_to_string(calls)?)
}
