//! 389 Directory Server from Debian's packages, unpacked into the cache.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::debian::{self, Unpacked};

/// Where the server and its parts are.
#[derive(Debug, Clone)]
pub(crate) struct Installation389 {
    /// The server program.
    pub program: PathBuf,
    /// The directory of its plug-ins.
    pub plugins: PathBuf,
    /// The directory of the schema files.
    pub schemas: PathBuf,
    /// The package's own smallest configuration, with names in percent signs for what an instance chooses.
    pub template: PathBuf,
    /// A larger configuration of the package's.
    pub full_template: PathBuf,
    /// The directory of the other configuration files.
    pub configuration: PathBuf,
    /// Where its libraries are.
    pub libraries: Vec<PathBuf>,
}

/// The server. Nothing is installed into the system, and no rights are needed.
pub(crate) fn directory_389() -> Result<Installation389> {
    let Unpacked { root, libraries } = debian::unpack("389-ds", &["389-ds-base", "389-ds-base-libs"])?;
    let own: Vec<_> =
        libraries.iter().map(|directory| directory.join("dirsrv")).filter(|own| own.is_dir()).collect();
    let plugins = own.iter().map(|own| own.join("plugins")).find(|plugins| plugins.is_dir());
    Ok(Installation389 {
        program: root.join("usr/sbin/ns-slapd"),
        plugins: plugins.context("389-ds-base has no directory of plug-ins")?,
        schemas: root.join("usr/share/dirsrv/schema"),
        template: root.join("usr/share/dirsrv/data/template-dse-minimal.ldif"),
        full_template: root.join("usr/share/dirsrv/data/template-dse.ldif"),
        configuration: root.join("etc/dirsrv/config"),
        libraries: [libraries, own].concat(),
    })
}
