//! Programs from the distribution's packages, unpacked into the cache: nothing is installed into the system,
//! and no rights are needed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{cache, find_program};
use crate::process::run_to_completion;

/// Unpacked packages.
#[derive(Debug, Clone)]
pub(super) struct Unpacked {
    /// What would be the root directory of a system with them.
    pub root: PathBuf,
    /// Where their libraries are.
    pub libraries: Vec<PathBuf>,
}

/// These packages and the libraries that the system lacks for them.
pub(super) fn unpack(component: &str, packages: &[&str]) -> Result<Unpacked> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let announcement = format!(
        "fetching {} from the distribution's packages (a few seconds, once a machine)",
        packages.join(", ")
    );
    let mut pins = vec![release.as_str(), env::consts::ARCH];
    pins.extend(packages);
    let directory =
        cache::component(component, &pins, &announcement, |directory, _| fetch(directory, packages))?;
    let root = directory.join("root");
    let libraries = library_directories(&root)?;
    Ok(Unpacked { root, libraries })
}

/// Debian keeps libraries in a directory for each architecture.
fn library_directories(root: &Path) -> Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    for parent in ["usr/lib", "lib"].map(|parent| root.join(parent)) {
        let Ok(entries) = fs::read_dir(&parent) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().contains("-linux-gnu") {
                directories.push(entry.path());
            }
        }
    }
    Ok(directories)
}

/// Downloads the packages and the libraries that the system lacks, and unpacks them.
fn fetch(directory: &Path, packages: &[&str]) -> Result<()> {
    let remedy = format!(
        "{} could not be fetched: install them from your distribution (no service of theirs is needed)",
        packages.join(", ")
    );
    for tool in ["apt-get", "dpkg"] {
        find_program(tool)
            .with_context(|| format!("{tool} is not on the PATH"))
            .with_context(|| remedy.clone())?;
    }
    let configuration = directory.join("apt.conf");
    for state in ["lists/partial", "cache/archives/partial", "packages"] {
        fs::create_dir_all(directory.join(state))?;
    }
    fs::write(&configuration, apt_configuration(directory))?;

    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .arg("--config-file")
            .arg(&configuration)
            .args(arguments)
            .current_dir(directory.join("packages"));
        let name = format!("apt-get {}", arguments.join(" "));
        run_to_completion(&name, &command, &directory.join("apt.log")).with_context(|| remedy.clone())
    };
    apt(&["update"])?;
    let plan = apt(&[&["install", "--simulate", "--no-install-recommends"], packages].concat())?;
    let wanted = missing(&plan, packages);
    ensure!(packages.iter().all(|package| wanted.contains(package)), "apt-get does not offer them:\n{plan}");
    apt(&[&["download"], wanted.as_slice()].concat())?;

    for package in fs::read_dir(directory.join("packages"))? {
        let mut command = Command::new("dpkg");
        command.arg("-x").arg(package?.path()).arg(directory.join("root"));
        run_to_completion("dpkg -x", &command, &directory.join("dpkg.log"))?;
    }
    for leftover in ["lists", "cache", "packages"] {
        fs::remove_dir_all(directory.join(leftover))?;
    }
    Ok(())
}

/// The packages themselves, installed or not, and the libraries among those that an installation would add;
/// the others are for maintainer scripts, which never run here.
fn missing<'a>(plan: &'a str, packages: &[&'a str]) -> Vec<&'a str> {
    let added = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| line.split_whitespace().next());
    let libraries = added.filter(|package| !packages.contains(package) && package.starts_with("lib"));
    packages.iter().copied().chain(libraries).collect()
}

/// An apt that an ordinary user can run: its own state, and none of the hooks that distributions
/// run after an update of the system's.
fn apt_configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "Dir::State::Lists \"{directory}/lists\";\n\
         Dir::Cache \"{directory}/cache\";\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         #clear APT::Update::Pre-Invoke;\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n"
    )
}
