//! OpenLDAP's `slapd`: the one of the system, or else Debian's packages unpacked into the cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{cache, find_program};
use crate::process::run_to_completion;

const MISSING: &str = "OpenLDAP's slapd is not installed and could not be fetched: \
    install slapd from your distribution (its service is not needed)";

/// Where slapd and its parts are.
#[derive(Debug, Clone)]
pub struct SlapdInstallation {
    /// The server program.
    pub program: PathBuf,
    /// The directory of the overlays and back ends.
    pub modules: PathBuf,
    /// The directory of the schema files.
    pub schemas: PathBuf,
    /// Where the program's own libraries are, when they are not the system's.
    pub libraries: Vec<PathBuf>,
}

/// slapd with the `ppolicy` and `memberof` overlays and the usual schemas.
///
/// Nothing is installed into the system, and no rights are needed.
pub fn slapd() -> Result<SlapdInstallation> {
    if let Some(program) = find_program("slapd") {
        return installation(unconfined(&program)?, Path::new("/"), Vec::new());
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let directory = cache::component(
        "slapd",
        &[&release, env::consts::ARCH],
        "fetching slapd from the distribution's packages (a few seconds, once a machine) …",
        fetch,
    )?;
    let root = directory.join("root");
    let libraries = library_directories(&root)?;
    installation(root.join("usr/sbin/slapd"), &root, libraries)
}

/// A copy of the system's program. Distributions confine it at its usual path to the system's
/// directory data (`AppArmor`); a copy elsewhere is not confined.
///
/// Another process makes it, once: a program that this one has just written cannot be started while
/// a thread is starting something else, which has the written file open for a moment.
fn unconfined(program: &Path) -> Result<PathBuf> {
    let metadata = fs::metadata(program)?;
    let identity = format!("{} {} {:?}", program.display(), metadata.len(), metadata.modified()?);
    let directory =
        cache::component("slapd-copy", &[&identity], "copying slapd (once a machine) …", |directory| {
            let mut command = Command::new("cp");
            command.arg(program).arg(directory.join("slapd"));
            run_to_completion("cp", &command, &directory.join("cp.log")).map(|_| ())
        })?;
    Ok(directory.join("slapd"))
}

fn installation(program: PathBuf, root: &Path, libraries: Vec<PathBuf>) -> Result<SlapdInstallation> {
    let find = |what: &str, file: &str, candidates: &[&str]| {
        candidates
            .iter()
            .map(|candidate| root.join(candidate))
            .find(|directory| directory.join(file).exists())
            .with_context(|| {
                format!("{} has no {what}: none of {candidates:?} has {file}", program.display())
            })
    };
    let modules = ["usr/lib/ldap", "usr/lib64/openldap", "usr/lib/openldap", "usr/libexec/openldap"];
    let schemas = ["etc/ldap/schema", "etc/openldap/schema"];
    Ok(SlapdInstallation {
        modules: find("password policy overlay", "ppolicy.so", &modules)?,
        schemas: find("schema files", "inetorgperson.schema", &schemas)?,
        program,
        libraries,
    })
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

/// Downloads slapd and the libraries that the system lacks, and unpacks them.
fn fetch(directory: &Path) -> Result<()> {
    for tool in ["apt-get", "dpkg"] {
        find_program(tool).with_context(|| format!("{tool} is not on the PATH")).context(MISSING)?;
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
        run_to_completion(&name, &command, &directory.join("apt.log")).context(MISSING)
    };
    apt(&["update"])?;
    let plan = apt(&["install", "--simulate", "--no-install-recommends", "slapd"])?;
    let wanted = missing_packages(&plan);
    ensure!(wanted.contains(&"slapd"), "apt-get does not offer slapd:\n{plan}");
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

/// slapd and the libraries among the packages that an installation would add; the others are for
/// its maintainer scripts, which never run here.
fn missing_packages(plan: &str) -> Vec<&str> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|package| *package == "slapd" || package.starts_with("lib"))
        .collect()
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
