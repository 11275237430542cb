//! etcd, kube-apiserver and kube-controller-manager: the machine's own, or built from the Go module proxy.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::{Context, Error, Result};

use super::{
    go::{GoModule, Priority, program},
    installed,
};
use crate::progress;

pub(super) const GO_MOD: &str = include_str!("../../tools/kubernetes/go.mod");
pub(super) const GO_SUM: &str = include_str!("../../tools/kubernetes/go.sum");
/// The same version as `k8s.io/kubernetes` in `go.mod`; a release build of Kubernetes sets it this way too.
pub(super) const LINKER_FLAGS: &str = "-X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";

const NEEDED_TO_BUILD: &str = "Go 1.26 or newer is needed to build it: install Go from your distribution, or point \
    KUBEBUILDER_ASSETS at the programs";

const API_SERVER: GoModule = GoModule {
    name: "kube-apiserver",
    announcement: "building kube-apiserver 1.36.3 and etcd (about 6 minutes, once a machine)",
    files: &[("go.mod", GO_MOD), ("go.sum", GO_SUM)],
    packages: &["go.etcd.io/etcd/server/v3", "k8s.io/kubernetes/cmd/kube-apiserver"],
    linker_flags: LINKER_FLAGS,
    remedy: NEEDED_TO_BUILD,
};

const CONTROLLER_MANAGER: GoModule = GoModule {
    name: "kube-controller-manager",
    announcement: "building kube-controller-manager 1.36.3 (about 2 minutes, once a machine)",
    files: &[("go.mod", GO_MOD), ("go.sum", GO_SUM)],
    packages: &["k8s.io/kubernetes/cmd/kube-controller-manager"],
    linker_flags: LINKER_FLAGS,
    remedy: NEEDED_TO_BUILD,
};

/// The programs of a Kubernetes control plane.
#[derive(Debug, Clone)]
pub struct KubernetesBinaries {
    /// The store of the API server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection, namespace deletion, deployments; an API alone does without.
    pub kube_controller_manager: Option<PathBuf>,
}

/// The control plane's programs: those of `KUBEBUILDER_ASSETS` if all of them are there in supported versions, else
/// built and cached.
///
/// People who write operators have that variable set for `setup-envtest`, which fetches no controller manager.
pub fn kubernetes() -> Result<KubernetesBinaries> {
    if let Some(found) = &*ASSETS_WITH_CONTROLLERS {
        return Ok(found.clone());
    }
    let controller_manager = program(&CONTROLLER_MANAGER.build()?, "kube-controller-manager")?;
    let api_server = build_api_server(Priority::Usual)?;
    Ok(KubernetesBinaries { kube_controller_manager: Some(controller_manager), ..api_server })
}

/// The programs of a Kubernetes API alone: those that the machine has, else built and cached. Who asks for them has
/// something to show meanwhile, which the processor is left to.
///
/// Tests need the pinned version and its controllers, and take [`kubernetes`].
pub fn api_server() -> Result<KubernetesBinaries> {
    if let Some(directory) = assets() {
        return installed::in_directory(&directory).context(IS_SET);
    }
    match installed::find() {
        Some(found) => Ok(found),
        None => build_api_server(Priority::Low),
    }
}

const IS_SET: &str = "KUBEBUILDER_ASSETS is set";

fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Looked at once a process, so that it is said once that they are of no use.
static ASSETS_WITH_CONTROLLERS: LazyLock<Option<KubernetesBinaries>> = LazyLock::new(|| {
    let found = installed::with_controllers(&assets()?);
    found.inspect_err(|error| progress::aside(|| say_that_assets_are_not_used(error))).ok()
});

/// Past the test runner, which shows what a test prints only where that fails.
fn say_that_assets_are_not_used(error: &Error) {
    // A closed stderr is no reason to fail a test.
    let _ = writeln!(
        io::stderr(),
        "KUBEBUILDER_ASSETS is not used, and the tests build what they need: {error:#}"
    );
}

fn build_api_server(priority: Priority) -> Result<KubernetesBinaries> {
    let directory = API_SERVER.build_with(priority)?;
    Ok(KubernetesBinaries {
        // Go names a program after the last element of its package.
        etcd: program(&directory, "server")?,
        kube_apiserver: program(&directory, "kube-apiserver")?,
        kube_controller_manager: None,
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
