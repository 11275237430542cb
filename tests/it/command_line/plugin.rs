//! The program as a plugin of kubectl, and the manifest by which krew installs it.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use test_support::{ControlPlane, User, tools};

use crate::world::{ldap_config, program, workspace};

/// The fields that krew knows, as far as it requires them or this manifest has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plugin {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    version: String,
    short_description: String,
    #[serde(rename = "description")]
    _description: String,
    #[serde(rename = "caveats")]
    _caveats: String,
    #[serde(rename = "homepage")]
    _homepage: String,
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    selector: Selector,
    uri: String,
    sha256: String,
    bin: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: Labels,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    os: String,
    arch: String,
}

#[test]
fn the_manifest_is_one_that_krew_takes() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/krew/wandb-auth.yaml");
    let plugin: Plugin = serde_yaml::from_str(&fs::read_to_string(&path)?)?;
    assert_eq!(plugin.api_version, "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(plugin.kind, "Plugin");
    // krew finds a manifest by the name of its file.
    assert_eq!(path.file_stem().and_then(|name| name.to_str()), Some(plugin.metadata.name.as_str()));
    assert_eq!(plugin.spec.version, format!("v{}", env!("CARGO_PKG_VERSION")));
    ensure!(plugin.spec.short_description.lines().count() == 1);
    let platforms: Vec<_> = plugin
        .spec
        .platforms
        .iter()
        .map(|platform| {
            (platform.selector.match_labels.os.as_str(), platform.selector.match_labels.arch.as_str())
        })
        .collect();
    // Those for which images are made.
    assert_eq!(platforms, [("linux", "amd64"), ("linux", "arm64")]);
    for platform in &plugin.spec.platforms {
        ensure!(platform.uri.starts_with("https://") && platform.uri.contains(&plugin.spec.version));
        ensure!(platform.uri.contains(&platform.selector.match_labels.arch), "{}", platform.uri);
        ensure!(platform.sha256.len() == 64 && platform.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(Some(platform.bin.as_str()), program().file_name().and_then(|name| name.to_str()));
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_finds_the_program_by_the_name_of_a_plugin() -> Result<()> {
    let workspace = workspace().await?;
    workspace.apply(&ldap_config("ldaps://127.0.0.1:1", "")).await?;
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let (kubectl, home) = (tools::kubectl()?, tempfile::tempdir()?);
    symlink(program(), home.path().join("kubectl-wandb_auth"))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let call = |words: &[&str]| {
        Command::new(&kubectl)
            .args(words)
            .env("PATH", format!("{}:{path}", home.path().display()))
            .env("HOME", home.path())
            .env("KUBECONFIG", kubeconfig)
            .output()
            .context("kubectl runs")
    };
    let shown = call(&["wandb-auth", "status", "-n", workspace.namespace()])?;
    let text = String::from_utf8(shown.stdout)?;
    ensure!(text.contains("LdapConfig/corp"), "{text}{}", String::from_utf8_lossy(&shown.stderr));
    assert_eq!(shown.status.code(), Some(1), "no operator has looked at it");
    // It calls itself as a person calls it.
    let help = String::from_utf8(call(&["wandb-auth", "status", "--help"])?.stdout)?;
    ensure!(help.contains("Usage: kubectl wandb-auth status"), "{help}");
    Ok(())
}
