//! etcd, kube-apiserver and kube-controller-manager, built from the Go module proxy.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{cache, find_program, is_program};
use crate::process::run_to_completion;

const GO_MOD: &str = include_str!("../../tools/kubernetes/go.mod");
const GO_SUM: &str = include_str!("../../tools/kubernetes/go.sum");
/// The same as `k8s.io/kubernetes` in `go.mod`; a release build of Kubernetes sets it this way too.
const VERSION: &str = "1.36.3";

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
        return in_directory(Path::new(&directory)).context("KUBEBUILDER_ASSETS is set");
    }
    let announcement = format!(
        "building kube-apiserver {VERSION}, kube-controller-manager and etcd (about 7 minutes, once a machine) …"
    );
    in_directory(&cache::component("kubernetes", &[GO_MOD, GO_SUM], &announcement, build)?)
}

fn in_directory(directory: &Path) -> Result<KubernetesBinaries> {
    let program = |name: &str| {
        let path = directory.join(name);
        ensure!(is_program(&path), "there is no {name} in {}", directory.display());
        Ok(path)
    };
    Ok(KubernetesBinaries {
        etcd: program("etcd")?,
        kube_apiserver: program("kube-apiserver")?,
        kube_controller_manager: program("kube-controller-manager")?,
    })
}

fn build(directory: &Path) -> Result<()> {
    const REMEDY: &str = "Go 1.26 or newer is needed to build kube-apiserver: install it from your \
        distribution, or point KUBEBUILDER_ASSETS at kube-apiserver, etcd and kube-controller-manager";
    let go = find_program("go").context("go is not on the PATH").context(REMEDY)?;
    ensure!(
        GO_MOD.contains(&format!("k8s.io/kubernetes v{VERSION}")),
        "go.mod pins another Kubernetes than {VERSION}"
    );
    fs::write(directory.join("go.mod"), GO_MOD)?;
    fs::write(directory.join("go.sum"), GO_SUM)?;

    let (major, minor) = VERSION.split_once('.').unwrap_or((VERSION, ""));
    let minor = minor.split('.').next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    let linker_flags = format!(
        "-s -w -X {package}.gitVersion=v{VERSION} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    );
    let mut command = Command::new(go);
    command
        .args(["build", "-buildvcs=false", "-trimpath", "-ldflags", &linker_flags, "-o"])
        .arg(directory)
        .arg("tool")
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .current_dir(directory);
    run_to_completion("go build", &command, &directory.join("build.log")).context(REMEDY)?;
    // Go names a program after the last element of its package.
    fs::rename(directory.join("server"), directory.join("etcd"))?;
    Ok(())
}
