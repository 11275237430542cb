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

/// Every one of them.
pub fn libraries(packages: &Packages) -> Result<Vec<Library>> {
    let rust = output(rustc().arg("-vV"))?;
    let rust = rust.lines().find_map(|line| line.strip_prefix("release: "));
    let gcc = output(Command::new("cc").args(["-dumpfullversion", "-dumpversion"]))?;
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
            version: glibc_version()?,
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

/// The version of the machine's glibc, which Debian and others keep equal to that of its static form.
pub fn glibc_version() -> Result<String> {
    let words = output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    words.trim().strip_prefix("glibc ").map(str::to_owned).context("this machine has no glibc")
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
    fn versions_are_compared_as_numbers() {
        assert_eq!(major_and_minor("2.36"), Some((2, 36)));
        assert!(major_and_minor("2.4") < major_and_minor("2.34"));
        assert_eq!(major_and_minor("unknown"), None);
    }
}
