//! The real client of the W&B server, the `wandb` package from Python's package index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, find_program};
use crate::{process::run_to_completion, progress::Waiting};

const REQUIREMENTS: &str = include_str!("../../wandb-client/requirements.txt");
const SCRIPT: &str = include_str!("../../wandb-client/client.py");

/// The client's script and what runs it.
#[derive(Debug, Clone)]
pub struct WandbClientInstallation {
    /// A Python interpreter that has the `wandb` package.
    pub python: PathBuf,
    /// The script that speaks with a server.
    pub script: PathBuf,
}

/// The client, with its packages installed into the cache.
pub fn wandb_client() -> Result<WandbClientInstallation> {
    let directory = cache::component(
        "wandb-client",
        &[REQUIREMENTS, SCRIPT],
        "installing the W&B client with pip (half a minute, once a machine)",
        build,
    )?;
    Ok(WandbClientInstallation {
        python: directory.join("venv/bin/python"),
        script: directory.join("client.py"),
    })
}

fn build(directory: &Path, _: &Waiting) -> Result<()> {
    let python = find_program("python3")
        .context("Python 3.10 or newer is needed to run the W&B client: python3 is not on the PATH")?;
    fs::write(directory.join("requirements.txt"), REQUIREMENTS)?;
    fs::write(directory.join("client.py"), SCRIPT)?;
    let log = directory.join("install.log");

    let mut command = Command::new(python);
    command.args(["-m", "venv"]).arg(directory.join("venv"));
    run_to_completion("python3 -m venv", &command, &log).context(
        "Python's venv and pip are needed to install the W&B client: on Debian they are in python3-venv",
    )?;

    // The directory is moved when it is finished, which the interpreter can bear and pip's own
    // script, with its path to the interpreter, cannot.
    let mut command = Command::new(directory.join("venv/bin/python"));
    command
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--requirement",
        ])
        .arg(directory.join("requirements.txt"));
    run_to_completion("pip install", &command, &log)?;
    Ok(())
}
