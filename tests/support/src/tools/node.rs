//! What a Kubernetes node runs: from the Go module proxy, and from the distribution's packages.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::debian::{self, Unpacked};
use super::go::{GoModule, program};
use super::helm;
use super::kubernetes::{GO_MOD, GO_SUM, LINKER_FLAGS};

const GO_IS_NEEDED: &str =
    "Go 1.26.6 or newer is needed to build a Kubernetes node: install it from your distribution";

const KUBERNETES: GoModule = GoModule {
    name: "kubernetes-node",
    announcement: "building kubelet 1.36.3, kube-proxy, kube-scheduler and kubectl (about 4 minutes, once a machine)",
    files: &[("go.mod", GO_MOD), ("go.sum", GO_SUM)],
    packages: &[
        "k8s.io/kubernetes/cmd/kube-proxy",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubectl",
        "k8s.io/kubernetes/cmd/kubelet",
    ],
    linker_flags: LINKER_FLAGS,
    remedy: GO_IS_NEEDED,
};

/// The programs are named after the last element of their packages.
const CLUSTER: GoModule = GoModule {
    name: "container-runtime",
    announcement: "building containerd 2.4.2, the CNI plugins and CoreDNS 1.15.0 (about 4 minutes, once a machine)",
    files: &[
        ("go.mod", helm::GO_MOD),
        ("go.sum", helm::GO_SUM),
        ("coredns/main.go", include_str!("../../tools/cluster/coredns/main.go")),
    ],
    packages: &[
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/ctr",
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
        "github.com/containernetworking/plugins/plugins/main/bridge",
        "github.com/containernetworking/plugins/plugins/main/loopback",
        "github.com/containernetworking/plugins/plugins/meta/portmap",
        "./coredns",
    ],
    linker_flags: "",
    remedy: GO_IS_NEEDED,
};

/// What the node takes from the distribution.
const PACKAGES: &[&str] = &["busybox-static", "conntrack", "iproute2", "iptables", "runc"];
/// One program under these names.
const IPTABLES: [&str; 6] =
    ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

/// The programs of a node.
#[derive(Debug, Clone)]
pub struct NodeBinaries {
    /// The agent.
    pub kubelet: PathBuf,
    /// Services' addresses.
    pub kube_proxy: PathBuf,
    /// Decides on which node a pod runs.
    pub kube_scheduler: PathBuf,
    /// The command line that people use.
    pub kubectl: PathBuf,
    /// Runs the containers.
    pub containerd: PathBuf,
    /// The container runtime's own command line.
    pub ctr: PathBuf,
    /// The directory of the CNI plugins.
    pub network_plugins: PathBuf,
    /// Names of Services.
    pub coredns: PathBuf,
    /// A static program that can wait, for the sandbox of each pod.
    pub busybox: PathBuf,
    distribution: Unpacked,
    runtime: PathBuf,
}

/// The command line that people use, built once a machine.
pub fn kubectl() -> Result<PathBuf> {
    program(&KUBERNETES.build()?, "kubectl")
}

/// The programs of a node, built and fetched once a machine.
pub fn node() -> Result<NodeBinaries> {
    let kubernetes = KUBERNETES.build()?;
    let runtime = CLUSTER.build()?;
    let distribution = debian::unpack("node", PACKAGES)?;
    link_iptables(&distribution.root)?;
    Ok(NodeBinaries {
        kubelet: program(&kubernetes, "kubelet")?,
        kube_proxy: program(&kubernetes, "kube-proxy")?,
        kube_scheduler: program(&kubernetes, "kube-scheduler")?,
        kubectl: program(&kubernetes, "kubectl")?,
        containerd: program(&runtime, "containerd")?,
        ctr: program(&runtime, "ctr")?,
        network_plugins: runtime.clone(),
        coredns: program(&runtime, "coredns")?,
        busybox: program(&distribution.root.join("bin"), "busybox")?,
        distribution,
        runtime,
    })
}

impl NodeBinaries {
    /// The environment in which the node's programs find each other and the libraries of the distribution's.
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let root = &self.distribution.root;
        let own = ["usr/sbin", "sbin", "usr/bin", "bin"].map(|directory| root.join(directory));
        let system = env::var_os("PATH").unwrap_or_default();
        let path = own.into_iter().chain([self.runtime.clone()]).chain(env::split_paths(&system));
        let libraries = &self.distribution.libraries;
        let extensions =
            libraries.iter().map(|directory| directory.join("xtables")).find(|path| path.is_dir());
        Ok(vec![
            ("PATH", env::join_paths(path)?),
            ("LD_LIBRARY_PATH", env::join_paths(libraries)?),
            ("XTABLES_LIBDIR", extensions.context("iptables has no extensions")?.into()),
        ])
    }

    /// `ip`, which makes network devices.
    pub fn ip(&self) -> Result<PathBuf> {
        let root = &self.distribution.root;
        program(&root.join("sbin"), "ip").or_else(|_| program(&root.join("usr/sbin"), "ip"))
    }

    /// `iptables`, as kube-proxy finds it.
    pub fn iptables(&self) -> Result<PathBuf> {
        program(&self.distribution.root.join("usr/sbin"), "iptables")
    }
}

/// Debian's package leaves these names to its maintainer scripts.
fn link_iptables(root: &Path) -> Result<()> {
    let directory = root.join("usr/sbin");
    for name in IPTABLES {
        let link = directory.join(name);
        if fs::symlink_metadata(&link).is_err() {
            match symlink("xtables-nft-multi", &link) {
                // Another test process was faster.
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}
