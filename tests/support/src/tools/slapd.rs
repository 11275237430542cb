//! OpenLDAP's `slapd`: the one of the system, or else Debian's packages unpacked into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{self, Unpacked};
use super::{cache, find_program};
use crate::process::run_to_completion;

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
    let Unpacked { root, libraries } = debian::unpack("slapd", &["slapd"])?;
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
        cache::component("slapd-copy", &[&identity], "copying slapd (once a machine)", |directory, _| {
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
