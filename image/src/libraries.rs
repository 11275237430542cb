//! What is linked into the program beside crates, and which version of it.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use crate::{
    command::{output, rustc},
    packages::Packages,
};

/// A library that is no crate of the program's own.
pub struct Library {
    /// The name that lists of vulnerabilities use.
    pub name: &'static str,
    /// The version of its authors.
    pub version: String,
    /// Its licence as an SPDX expression.
    pub license: &'static str,
    /// Its package URL without the version.
    pub package_url: &'static str,
    /// What it is for.
    pub description: &'static str,
}

/// Every one of them, as this C compiler links them.
pub fn libraries(packages: &Packages, compiler: &str) -> Result<Vec<Library>> {
    let rust = output(rustc().arg("-vV"))?;
    let rust = rust.lines().find_map(|line| line.strip_prefix("release: "));
    let gcc = output(Command::new(compiler).args(["-dumpfullversion", "-dumpversion"]))?;
    Ok(vec![
        Library {
            name: "aws-lc",
            version: aws_lc_version(packages)?,
            license: "ISC AND (Apache-2.0 OR ISC) AND Apache-2.0 AND MIT AND BSD-3-Clause",
            package_url: "pkg:github/aws/aws-lc",
            description: "cryptography; its sources come with the crate aws-lc-sys",
        },
        Library {
            name: "glibc",
            version: glibc_version(compiler)?,
            license: "LGPL-2.1-or-later",
            package_url: "pkg:generic/glibc",
            description: "the C library, linked statically from the machine that built the image",
        },
        Library {
            name: "libgcc",
            version: gcc.trim().to_owned(),
            license: "GPL-3.0-or-later WITH GCC-exception-3.1",
            package_url: "pkg:generic/gcc",
            description: "unwinding, linked statically from the machine that built the image",
        },
        Library {
            name: "rust",
            version: rust.context("rustc does not say its version")?.to_owned(),
            license: "MIT OR Apache-2.0",
            package_url: "pkg:generic/rust",
            description: "the standard library of the compiler",
        },
    ])
}

/// The version of the glibc that this C compiler links, which Debian and others keep equal to that of its static form.
pub fn glibc_version(compiler: &str) -> Result<String> {
    let macros = ["-include", "features.h", "-dM", "-E", "-x", "c", "/dev/null"];
    let macros = output(Command::new(compiler).args(macros))?;
    version_in(&macros).with_context(|| format!("{compiler} has no glibc"))
}

/// The version that the macros of a C compiler name.
fn version_in(macros: &str) -> Option<String> {
    let number = |name: &str| macros.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
    Some(format!("{}.{}", number("__GLIBC__")?, number("__GLIBC_MINOR__")?))
}

/// The first two numbers of a version.
pub fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn aws_lc_version(packages: &Packages) -> Result<String> {
    let crate_of_it = packages.linked.keys().find(|(name, _)| name == "aws-lc-sys");
    let sources = crate_of_it.and_then(|identity| packages.sources.get(identity));
    let header = sources.context("aws-lc-sys is not linked")?.join("aws-lc/include/openssl/base.h");
    let text = fs::read_to_string(&header).with_context(|| format!("{} cannot be read", header.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("#define AWSLC_VERSION_NUMBER_STRING "));
    Ok(line.context("AWS-LC does not say its version")?.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_glibc_is_that_of_its_headers() {
        let macros =
            "#define __GLIBC_USE(F) __GLIBC_USE_ ## F\n#define __GLIBC_MINOR__ 36\n#define __GLIBC__ 2\n";
        assert_eq!(version_in(macros).as_deref(), Some("2.36"));
        assert_eq!(version_in("#define __linux__ 1\n"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(major_and_minor("2.36"), Some((2, 36)));
        assert!(major_and_minor("2.4") < major_and_minor("2.34"));
        assert_eq!(major_and_minor("unknown"), None);
    }
}
