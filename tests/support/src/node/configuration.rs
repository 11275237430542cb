//! The files of a node: what its programs read, what they keep over a reboot, and what they write.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::LogCapture;
use crate::run_directory::RunDirectory;
use crate::tools::NodeBinaries;

pub(super) const NODE_NAME: &str = "node";
/// The bridge of the pods has this address, and so the node: a loopback address would not do for a kubelet.
pub(super) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
const POD_NETWORK: &str = "10.244.0.0/24";
/// Within the range that the control plane gives to Services.
pub(super) const NAME_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// The image of every sandbox, whose program sleeps for ever.
pub const SANDBOX_IMAGE: &str = "wandb-auth-test/sandbox:1";

/// What a node keeps where the system has it otherwise.
const STATE: [&str; 3] = ["/var/log", "/var/lib/kubelet", "/var/lib/cni"];
const LOGS: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];

/// The directory of one node.
#[derive(Debug)]
pub(super) struct NodeDirectory {
    directory: RunDirectory,
}

impl NodeDirectory {
    /// Writes everything that the node reads.
    pub(super) fn create(binaries: &NodeBinaries, kubeconfig: &Path, machine: &str) -> Result<Self> {
        let node = Self { directory: RunDirectory::create("node")? };
        fs::create_dir(node.path("cni"))?;
        // No name of the outside is resolved.
        node.write("resolv.conf", "nameserver 127.0.0.1\n")?;
        node.write("cni/pods.conflist", &network())?;
        node.write("containerd.toml", &node.containerd(binaries))?;
        node.write("kubelet.yaml", &node.kubelet(machine))?;
        node.write("boot.sh", &node.boot(binaries, kubeconfig)?)?;
        Ok(node)
    }

    pub(super) fn write(&self, name: &str, contents: &str) -> Result<PathBuf> {
        self.directory.write(name, contents)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    pub(super) fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    pub(super) fn boot_script(&self) -> PathBuf {
        self.path("boot.sh")
    }

    /// The ends of the logs, for an error message.
    pub(super) fn tails(&self) -> String {
        LOGS.iter()
            .map(|name| match LogCapture::open(&self.log(name)) {
                Ok(log) => format!("{name}: {}\n", log.tail()),
                Err(error) => format!("{name}: {error:#}\n"),
            })
            .collect()
    }

    fn containerd(&self, binaries: &NodeBinaries) -> String {
        let socket = self.containerd_socket();
        // `native` copies images, which works on every file system; the service that pulls images otherwise knows only the
        // usual snapshotters, so this plugin pulls them itself. Without CAP_SYS_RESOURCE, as in many small
        // virtual machines, a sandbox cannot lower its own score, which `restrict_oom_score_adj` is about.
        format!(
            "version = 3\n\
             root = '{root}'\n\
             state = '/run/containerd/state'\n\
             [grpc]\n\
             address = '{socket}'\n\
             [plugins.'io.containerd.cri.v1.images']\n\
             snapshotter = 'native'\n\
             use_local_image_pull = true\n\
             [plugins.'io.containerd.cri.v1.images'.pinned_images]\n\
             sandbox = '{SANDBOX_IMAGE}'\n\
             [plugins.'io.containerd.cri.v1.runtime']\n\
             restrict_oom_score_adj = true\n\
             [plugins.'io.containerd.cri.v1.runtime'.cni]\n\
             bin_dirs = ['{plugins}']\n\
             conf_dir = '{cni}'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n\
             runtime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n\
             SystemdCgroup = false\n",
            root = self.path("containerd").display(),
            socket = socket.display(),
            plugins = binaries.network_plugins.display(),
            cni = self.path("cni").display(),
        )
    }

    fn kubelet(&self, machine: &str) -> String {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": format!("unix://{}", self.containerd_socket().display()),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{machine}"),
            "failCgroupV1": false,
            "failSwapOn": false,
            "localStorageCapacityIsolation": false,
            // A full disk of the machine is no reason to evict pods of a test.
            "evictionHard": {
                "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                "imagefs.available": "0%", "imagefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            // Nobody else is in this network.
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "clusterDNS": [NAME_SERVER_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": self.path("resolv.conf"),
            // Changed Secrets reach the files of pods within this time.
            "syncFrequency": "5s",
        })
        .to_string()
    }

    /// What the first process of the node does. Each program is started again when it ends, as a system would.
    fn boot(&self, binaries: &NodeBinaries, kubeconfig: &Path) -> Result<String> {
        let mut mounts = String::new();
        for directory in STATE {
            let own = self.path(directory.trim_start_matches('/'));
            fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
            writeln!(mounts, "mkdir -p {directory}\nmount --bind '{}' {directory}", own.display())?;
        }
        Ok(format!(
            "set -eu\n\
             mount --make-rshared /\n\
             mount -t tmpfs tmpfs /run\n\
             {mounts}\
             rm -f '{socket}'\n\
             forever() {{ while :; do \"$@\" || true; sleep 1; done; }}\n\
             forever '{containerd}' --config '{directory}/containerd.toml' >>'{containerd_log}' 2>&1 &\n\
             while [ ! -S '{socket}' ]; do sleep 0.1; done\n\
             forever '{kubelet}' --config '{directory}/kubelet.yaml' --kubeconfig '{kubeconfig}' \
             --node-ip {NODE_ADDRESS} --hostname-override {NODE_NAME} >>'{kubelet_log}' 2>&1 &\n\
             forever '{kube_proxy}' --kubeconfig '{kubeconfig}' --proxy-mode iptables \
             --cluster-cidr {POD_NETWORK} --hostname-override {NODE_NAME} --conntrack-max-per-core 0 \
             >>'{kube_proxy_log}' 2>&1 &\n\
             wait\n",
            socket = self.containerd_socket().display(),
            directory = self.directory.path().display(),
            containerd = binaries.containerd.display(),
            containerd_log = self.log("containerd").display(),
            kubelet = binaries.kubelet.display(),
            kubelet_log = self.log("kubelet").display(),
            kube_proxy = binaries.kube_proxy.display(),
            kube_proxy_log = self.log("kube-proxy").display(),
            kubeconfig = kubeconfig.display(),
        ))
    }
}

/// How pods get their addresses.
fn network() -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
    .to_string()
}
