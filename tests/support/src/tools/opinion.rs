//! The program with the libraries that W&B Server is built with, from the Go module proxy.

use std::path::PathBuf;

use anyhow::Result;

use super::go::{GoModule, program};

const OPINION: GoModule = GoModule {
    name: "opinion",
    announcement: "building Go's opinion of certificates, documents, manifests and tokens (half a minute, once a machine)",
    files: &[
        ("go.mod", include_str!("../../tools/opinion/go.mod")),
        ("go.sum", include_str!("../../tools/opinion/go.sum")),
        ("main.go", include_str!("../../tools/opinion/main.go")),
        ("certificates.go", include_str!("../../tools/opinion/certificates.go")),
        ("directories.go", include_str!("../../tools/opinion/directories.go")),
        ("documents.go", include_str!("../../tools/opinion/documents.go")),
        ("manifests.go", include_str!("../../tools/opinion/manifests.go")),
        ("proxies.go", include_str!("../../tools/opinion/proxies.go")),
    ],
    packages: &["."],
    linker_flags: "",
    remedy: "Go 1.26 or newer is needed to ask Go's libraries for their opinion: install it from your distribution",
};

/// The program.
pub(crate) fn opinion() -> Result<PathBuf> {
    program(&OPINION.build()?, "opinion")
}
