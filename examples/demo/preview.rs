//! What can be shown while the Kubernetes API is still being built: `check` needs none.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::Parser;
use test_support::progress;
use tokio::runtime::Handle;
use wandb_auth_operator::cli::{self, CommandVerdict};

use crate::{report::heading, samples, servers::Servers, step};

/// One resource that is right, and two with a mistake.
const SHOWN: [&str; 3] = ["corp", "attribute-map-as-base-dn", "trailing-slash"];

/// Runs `wandb-auth-operator check` on three of the samples, one after the other, and says that the rest follows. Returns
/// what did not turn out as expected, a sentence each.
pub fn show(servers: &Servers) -> Result<Vec<String>> {
    step("Checking three of the samples, as `wandb-auth-operator check` does without any cluster");
    let directory = tempfile::tempdir()?;
    let mut differences = Vec::new();
    for name in SHOWN {
        let file = directory.path().join(format!("{name}.yaml"));
        fs::write(&file, samples::documents(servers, &[name])?.join("---\n"))?;
        let arguments = arguments(&file)?;
        let verdict = progress::aside(|| {
            heading(&format!("wandb-auth-operator check -f {name}.yaml"));
            // The check prints by itself, so nothing may be drawn until it is over.
            tokio::task::block_in_place(|| Handle::current().block_on(cli::execute(arguments)))
        })?;
        differences.extend(difference(name, verdict));
    }
    progress::say(
        "\nThe rest follows when the Kubernetes API is up: all eleven samples as custom resources, what \
         `kubectl get`\nshows of them, and what the operator publishes.\n",
    );
    Ok(differences)
}

/// How the check of that sample ended, where that is not as expected.
fn difference(name: &str, verdict: CommandVerdict) -> Option<String> {
    let (expected, is_met) = if samples::is_right(name) {
        ("passes", verdict <= CommandVerdict::PassedWithWarnings)
    } else {
        ("fails", verdict == CommandVerdict::Failed)
    };
    (!is_met)
        .then(|| format!("check -f {name}.yaml: expected that it {expected}, but its verdict is {verdict:?}"))
}

fn arguments(file: &Path) -> Result<cli::Arguments> {
    let file = file.to_str().context("the directory for temporary files has a name that is not text")?;
    Ok(cli::Arguments::try_parse_from(["wandb-auth-operator", "check", "-f", file])?)
}
