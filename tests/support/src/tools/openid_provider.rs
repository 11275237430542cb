//! The certified OpenID Provider `oidc-provider`, from npm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, find_program};
use crate::{process::run_to_completion, progress::Waiting};

const PACKAGE: &str = include_str!("../../openid-provider/package.json");
const PACKAGE_LOCK: &str = include_str!("../../openid-provider/package-lock.json");
const SERVER: &str = include_str!("../../openid-provider/server.mjs");

/// The OpenID Provider's script and what runs it.
#[derive(Debug, Clone)]
pub struct OpenIdProviderInstallation {
    /// The Node.js program.
    pub node: PathBuf,
    /// The script that serves the provider.
    pub script: PathBuf,
}

/// The OpenID Provider, with its packages installed into the cache.
pub fn openid_provider() -> Result<OpenIdProviderInstallation> {
    let node = find_program("node")
        .context("Node.js 20 or newer is needed to run the OpenID Provider: node is not on the PATH")?;
    let directory = cache::component(
        "openid-provider",
        &[PACKAGE, PACKAGE_LOCK, SERVER],
        "installing the OpenID Provider from npm (a few seconds, once a machine)",
        build,
    )?;
    Ok(OpenIdProviderInstallation { node, script: directory.join("server.mjs") })
}

fn build(directory: &Path, _: &Waiting) -> Result<()> {
    let npm =
        find_program("npm").context("npm is needed to install the OpenID Provider: it is not on the PATH")?;
    fs::write(directory.join("package.json"), PACKAGE)?;
    fs::write(directory.join("package-lock.json"), PACKAGE_LOCK)?;
    fs::write(directory.join("server.mjs"), SERVER)?;

    let mut command = Command::new(npm);
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(directory);
    run_to_completion("npm ci", &command, &directory.join("install.log"))?;
    Ok(())
}
