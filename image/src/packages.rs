//! What the program consists of, as cargo knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    command::{cargo, output},
    program::Target,
    settings::NAME,
};

/// The package of a crate: its name and its version.
pub type Identity = (String, String);

/// Every crate that is linked into the program, and where cargo keeps things.
pub struct Packages {
    /// The crates with what each depends on; crates that only run at compile time are not among them.
    pub linked: BTreeMap<Identity, Package>,
    /// Where the workspace is.
    pub workspace: PathBuf,
    /// Where cargo builds.
    pub target_directory: PathBuf,
    /// Where the sources of each crate are, linked or not.
    pub sources: BTreeMap<Identity, PathBuf>,
}

/// A crate that is linked into the program.
#[derive(Debug, Default)]
pub struct Package {
    /// Its licence as an SPDX expression.
    pub license: String,
    /// The crates that it uses itself.
    pub dependencies: BTreeSet<Identity>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    version: String,
    manifest_path: PathBuf,
}

impl Packages {
    /// Asks cargo, which fetches what is missing.
    pub fn read(target: &Target) -> Result<Self> {
        let arguments =
            ["metadata", "--format-version", "1", "--locked", "--filter-platform", &target.triple];
        let metadata = output(cargo().args(arguments))?;
        let metadata: Metadata =
            serde_json::from_str(&metadata).context("cargo metadata is not understood")?;
        let sources = metadata.packages.into_iter().filter_map(|package| {
            let directory = package.manifest_path.parent()?.to_owned();
            Some(((package.name, package.version), directory))
        });
        Ok(Self {
            linked: linked(target)?,
            workspace: metadata.workspace_root,
            target_directory: metadata.target_directory,
            sources: sources.collect(),
        })
    }

    /// The directories that hold the sources of crates from registries.
    pub fn registries(&self) -> BTreeSet<&Path> {
        let outside = self.sources.values().filter(|directory| !directory.starts_with(&self.workspace));
        outside.filter_map(|directory| directory.parent()).collect()
    }
}

/// The metadata would mix in the features that other members of the workspace ask for; this is what the build
/// of this one package links.
fn linked(target: &Target) -> Result<BTreeMap<Identity, Package>> {
    let mut command = cargo();
    command.args(["tree", "--locked", "--package", NAME, "--target", &target.triple]);
    command.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}|{l}"]);
    parse(&output(&mut command)?)
}

/// Reads lines like `2 serde v1.0.228|MIT OR Apache-2.0`, each below what depends on it.
fn parse(tree: &str) -> Result<BTreeMap<Identity, Package>> {
    let mut packages: BTreeMap<Identity, Package> = BTreeMap::new();
    let mut above: Vec<Identity> = Vec::new();
    for line in tree.lines() {
        let Some((depth, name, version, license)) = split(line) else {
            bail!("cargo tree printed a line that is not understood: {line}");
        };
        let identity = (name.to_owned(), version.to_owned());
        above.truncate(depth);
        if let Some(parent) = above.last() {
            packages.entry(parent.clone()).or_default().dependencies.insert(identity.clone());
        }
        license.clone_into(&mut packages.entry(identity.clone()).or_default().license);
        above.push(identity);
    }
    Ok(packages)
}

fn split(line: &str) -> Option<(usize, &str, &str, &str)> {
    let (package, license) = line.split_once('|')?;
    // A crate whose own dependencies are shown further up is marked.
    let license = license.trim_end_matches(" (*)");
    let mut words = package.split(' ');
    let (depth, name, version) = (words.next()?, words.next()?, words.next()?);
    Some((depth.parse().ok()?, name, version.strip_prefix('v')?, license))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_with_its_edges() {
        let tree =
            "0 a v1.0.0 (/some/where)|Apache-2.0\n1 b v2.0.0|MIT\n2 c v3.0.0|ISC\n1 c v3.0.0|ISC (*)\n";
        let packages = parse(tree).unwrap();
        let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(
            packages.keys().cloned().collect::<Vec<_>>(),
            [id("a", "1.0.0"), id("b", "2.0.0"), id("c", "3.0.0")]
        );
        assert_eq!(packages[&id("a", "1.0.0")].dependencies, [id("b", "2.0.0"), id("c", "3.0.0")].into());
        assert_eq!(packages[&id("b", "2.0.0")].dependencies, [id("c", "3.0.0")].into());
        assert_eq!(packages[&id("c", "3.0.0")].license, "ISC");
        assert!(parse("a v1.0.0").is_err());
    }
}
