//! crane, which pushes and pulls what registries hold, built from the Go module proxy.

use std::path::PathBuf;

use anyhow::Result;

use super::go::{GoModule, program};

const CRANE: GoModule = GoModule {
    name: "crane",
    announcement: "building crane 0.22.1 (half a minute, once a machine)",
    files: &[
        ("go.mod", include_str!("../../tools/registry/go.mod")),
        ("go.sum", include_str!("../../tools/registry/go.sum")),
    ],
    packages: &["github.com/google/go-containerregistry/cmd/crane"],
    linker_flags: "",
    remedy: "Go 1.26 or newer is needed to build crane: install it from your distribution",
};

/// The `crane` program.
pub fn crane() -> Result<PathBuf> {
    program(&CRANE.build()?, "crane")
}
