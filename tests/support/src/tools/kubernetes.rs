//! etcd, kube-apiserver and kube-controller-manager, built from the Go module proxy.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::go::{GoModule, program};

pub(super) const GO_MOD: &str = include_str!("../../tools/kubernetes/go.mod");
pub(super) const GO_SUM: &str = include_str!("../../tools/kubernetes/go.sum");
/// The same version as `k8s.io/kubernetes` in `go.mod`; a release build of Kubernetes sets it this way too.
pub(super) const LINKER_FLAGS: &str = "-X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";

const CONTROL_PLANE: GoModule = GoModule {
    name: "kubernetes",
    announcement: "building kube-apiserver 1.36.3, kube-controller-manager and etcd (about 7 minutes, once a machine) …",
    files: &[("go.mod", GO_MOD), ("go.sum", GO_SUM)],
    packages: &[
        "go.etcd.io/etcd/server/v3",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ],
    linker_flags: LINKER_FLAGS,
    remedy: "Go 1.26 or newer is needed to build kube-apiserver: install it from your distribution, or point \
        KUBEBUILDER_ASSETS at kube-apiserver, etcd and kube-controller-manager",
};

/// The programs of a Kubernetes control plane.
#[derive(Debug, Clone)]
pub struct KubernetesBinaries {
    /// The store of the API server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection, namespace deletion, deployments.
    pub kube_controller_manager: PathBuf,
}

/// The control plane's programs: those of `KUBEBUILDER_ASSETS` if set, else built and cached.
pub fn kubernetes() -> Result<KubernetesBinaries> {
    if let Some(directory) = env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) {
        return in_directory(Path::new(&directory), "etcd").context("KUBEBUILDER_ASSETS is set");
    }
    // Go names a program after the last element of its package.
    in_directory(&CONTROL_PLANE.build()?, "server")
}

fn in_directory(directory: &Path, etcd: &str) -> Result<KubernetesBinaries> {
    Ok(KubernetesBinaries {
        etcd: program(directory, etcd)?,
        kube_apiserver: program(directory, "kube-apiserver")?,
        kube_controller_manager: program(directory, "kube-controller-manager")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_pinned_one() {
        assert!(GO_MOD.contains("k8s.io/kubernetes v1.36.3 //"));
    }
}
