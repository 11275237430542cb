//! Helm, built from the Go module proxy.

use std::path::PathBuf;

use anyhow::Result;

use super::go::{GoModule, program};

const HELM: GoModule = GoModule {
    name: "helm",
    announcement: "building helm 4.3.1 (about 4 minutes, once a machine) …",
    files: &[
        ("go.mod", include_str!("../../tools/helm/go.mod")),
        ("go.sum", include_str!("../../tools/helm/go.sum")),
    ],
    packages: &["helm.sh/helm/v4/cmd/helm"],
    linker_flags: "-X helm.sh/helm/v4/internal/version.version=v4.3.1",
    remedy: "Go 1.26 or newer is needed to build helm: install it from your distribution",
};

/// The `helm` program.
pub fn helm() -> Result<PathBuf> {
    program(&HELM.build()?, "helm")
}
