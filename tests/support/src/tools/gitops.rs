//! The program with the libraries of Helm, Flux and Argo CD, built from the Go module proxy.

use std::path::PathBuf;

use anyhow::Result;

use super::go::{GoModule, program};

const GITOPS: GoModule = GoModule {
    name: "gitops",
    announcement: "building the libraries of Flux and Argo CD (about 5 minutes, once a machine)",
    files: &[
        ("go.mod", include_str!("../../gitops/go.mod")),
        ("go.sum", include_str!("../../gitops/go.sum")),
        ("main.go", include_str!("../../gitops/main.go")),
        ("request.go", include_str!("../../gitops/request.go")),
        ("kstatus.go", include_str!("../../gitops/kstatus.go")),
        ("flux_apply.go", include_str!("../../gitops/flux_apply.go")),
        ("flux_decode.go", include_str!("../../gitops/flux_decode.go")),
        ("flux_health.go", include_str!("../../gitops/flux_health.go")),
        ("argo_apply.go", include_str!("../../gitops/argo_apply.go")),
        ("argo_diff.go", include_str!("../../gitops/argo_diff.go")),
        ("argo_health.go", include_str!("../../gitops/argo_health.go")),
    ],
    packages: &["."],
    linker_flags: "",
    remedy: "Go 1.26.1 or newer is needed to build the libraries of Flux and Argo CD: install it from your distribution",
};

/// The program.
pub(crate) fn gitops() -> Result<PathBuf> {
    program(&GITOPS.build()?, "gitops")
}
