//! `crd`: prints the custom resource definitions, or writes them into files.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use kube::ResourceExt;

use super::{CommandVerdict, yaml};
use crate::api::custom_resource_definitions;

/// Arguments of `crd`.
#[derive(Debug, Args)]
pub struct CrdArguments {
    /// Write each definition into a file of this directory instead, named like ldapconfigs.auth.wandb.com.yaml; may be repeated.
    #[arg(long = "directory", value_name = "DIR")]
    directories: Vec<PathBuf>,
}

/// Prints every definition as one YAML stream, or writes a file for each.
pub(super) fn crd(arguments: &CrdArguments) -> anyhow::Result<CommandVerdict> {
    if arguments.directories.is_empty() {
        print()?;
    }
    for directory in &arguments.directories {
        write(directory)?;
    }
    Ok(CommandVerdict::Passed)
}

fn print() -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    for definition in custom_resource_definitions() {
        write!(output, "---\n{}", yaml::write(&definition)?)?;
    }
    Ok(())
}

fn write(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for definition in custom_resource_definitions() {
        let file = directory.join(format!("{}.yaml", definition.name_any()));
        fs::write(&file, yaml::write(&definition)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
