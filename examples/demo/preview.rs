//! What can be shown while the Kubernetes API is still being built: `check` needs none.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::Parser;
use test_support::progress;
use tokio::runtime::Handle;
use wandb_auth_operator::cli;

use crate::{report::heading, samples, servers::Servers, step};

/// One resource that is right, and two with a mistake.
const SHOWN: [&str; 3] = ["corp", "attribute-map-as-base-dn", "trailing-slash"];

/// Runs `wandb-auth-operator check` on three of the samples, and says that the rest follows.
pub fn show(servers: &Servers) -> Result<()> {
    step("Checking three of the samples, as `wandb-auth-operator check` does without any cluster");
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("samples.yaml");
    fs::write(&file, samples::documents(servers, &SHOWN)?.join("---\n"))?;
    let arguments = arguments(&file)?;
    progress::aside(|| {
        heading("wandb-auth-operator check -f samples.yaml");
        // The check prints by itself, so nothing may be drawn until it is over.
        tokio::task::block_in_place(|| Handle::current().block_on(cli::execute(arguments)))
    })?;
    progress::say(
        "\nThe rest follows when the Kubernetes API is up: all eleven samples as custom resources, what \
         `kubectl get`\nshows of them, and what the operator publishes.\n",
    );
    Ok(())
}

fn arguments(file: &Path) -> Result<cli::Arguments> {
    let file = file.to_str().context("the directory for temporary files has a name that is not text")?;
    Ok(cli::Arguments::try_parse_from(["wandb-auth-operator", "check", "-f", file])?)
}
