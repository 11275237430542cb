//! Helm, built from the Go module proxy.

use std::path::PathBuf;

use anyhow::Result;

use super::go::{GoModule, program};

/// The module that Helm shares with the programs of a node.
pub(super) const GO_MOD: &str = include_str!("../../tools/cluster/go.mod");
pub(super) const GO_SUM: &str = include_str!("../../tools/cluster/go.sum");

const HELM: GoModule = GoModule {
    name: "helm",
    announcement: "building helm 4.3.1 (about 4 minutes, once a machine)",
    files: &[("go.mod", GO_MOD), ("go.sum", GO_SUM)],
    packages: &["helm.sh/helm/v4/cmd/helm"],
    linker_flags: "-X helm.sh/helm/v4/internal/version.version=v4.3.1",
    remedy: "Go 1.26 or newer is needed to build helm: install it from your distribution",
};

/// The `helm` program.
pub fn helm() -> Result<PathBuf> {
    program(&HELM.build()?, "helm")
}
