//! `cargo image`: the container image of the operator, made without a container engine.
//!
//! In the order of the work: [`packages`] asks cargo what the program consists of, [`program`] builds it,
//! [`mod@libraries`] and [`bill_of_materials`] list what is in it, [`layout`] says which files the image has, and
//! they are written either as a directory or, by [`layer`] and [`archive`], as an archive that container engines
//! load. [`settings`] is what a container is started with.
//!
//! Invariant: equal sources lead to equal bytes, wherever they lie and whenever they are built. No file has
//! a time, an owner or a path of the machine that built it.

mod archive;
mod bill_of_materials;
mod certificates;
mod command;
#[cfg(test)]
mod dockerfile;
mod layer;
mod layout;
mod libraries;
mod packages;
mod program;
mod settings;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Parser};

use libraries::libraries;
use packages::Packages;
use program::Target;
use settings::Settings;

/// Builds the operator and writes its container image.
#[derive(Debug, Parser)]
#[command(name = "cargo image")]
struct Arguments {
    #[command(flatten)]
    outputs: Outputs,
    /// The time of every file and of the image, in seconds since 1970.
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    source_date_epoch: u64,
    /// What the image is for: x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu. Default: this machine.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// The cargo profile that the program is built by: release, or quick for tests, which differs in the optimiser only.
    #[arg(long, default_value = "release")]
    profile: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Outputs {
    /// Write the image as an archive, for docker load, podman load, kind load image-archive or ctr images import.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the files of the image into this directory, which must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write the bill of materials (CycloneDX), which is in the image, too.
    #[arg(long, value_name = "FILE")]
    bill_of_materials: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let outputs = arguments.outputs;
    let target = Target::choose(arguments.target)?;
    let settings = Settings::new(target.architecture, arguments.source_date_epoch)?;
    let packages = Packages::read(&target)?;
    let program = program::build(&target, &packages, &arguments.profile)?;
    let bill = bill_of_materials::write(&packages, &libraries(&packages, &target.compiler)?, &settings)?;
    let files = layout::files(program, &bill);
    if let Some(file) = outputs.bill_of_materials {
        fs::write(&file, bill).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if let Some(directory) = outputs.directory {
        layout::write(&files, &directory, settings.time)?;
    }
    if let Some(file) = outputs.output {
        let image = archive::image(&files, &settings)?;
        fs::write(&file, image.archive).with_context(|| format!("{} cannot be written", file.display()))?;
        println!("{} {}", Settings::reference(), image.digest);
    }
    Ok(())
}
