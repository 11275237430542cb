//! A real Kubernetes node with real pods, in namespaces of its own on this machine.
//!
//! [`machine`] makes this process run inside a machine of its own: network, mounts and processes that nobody
//! else has and that end with it. In it, a [`Node`] is a control plane with a kubelet, containerd, kube-proxy
//! and a name server, whose pods run any image. [`services`] has pods of the harness's own servers.

mod cgroups;
mod configuration;
mod image;
pub mod machine;
mod machine_pod;
mod name_server;
pub mod services;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

pub use self::configuration::SANDBOX_IMAGE;
use self::configuration::{NODE_ADDRESS, NODE_NAME, NodeDirectory};
use crate::process::{ChildProcess, PATIENCE, run_to_completion};
use crate::tools::{self, NodeBinaries};
use crate::{ControlPlane, User};

/// A running node with its control plane; everything ends when it is dropped.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order: the pods before what they depend on.
    power: Option<ChildProcess>,
    _scheduler: ChildProcess,
    directory: NodeDirectory,
    plane: ControlPlane,
    binaries: NodeBinaries,
}

impl Node {
    /// Starts the control plane and the node, and waits until it is Ready and names resolve.
    ///
    /// This process must be inside a [`machine`].
    pub async fn start() -> Result<Self> {
        let machine = machine::current()?;
        let binaries = tools::node()?;
        make_bridge(&binaries)?;
        let plane = ControlPlane::start_on(NODE_ADDRESS.into()).await?;
        let kubeconfig = plane.kubeconfig(User::Admin);
        let directory = NodeDirectory::create(&binaries, kubeconfig, &machine)?;
        cgroups::create(&machine)?;

        let mut scheduler = Command::new(&binaries.kube_scheduler);
        scheduler.arg("--kubeconfig").arg(kubeconfig).args(["--leader-elect=false", "--secure-port=0"]);
        let scheduler = ChildProcess::spawn("kube-scheduler", &scheduler, &directory.log("kube-scheduler"))?;
        let mut node = Self { power: None, _scheduler: scheduler, directory, plane, binaries };
        node.switch_on()?;
        image::import_all(&node)?;
        node.kubectl(&["apply", "-f", "-"], &name_server::manifest(&node.binaries).to_string())?;
        node.wait_for(&["deployment/coredns", "--namespace=kube-system"], "Available")?;
        Ok(node)
    }

    /// The Kubernetes API.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Loads the images of an OCI image layout in a tar file.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        self.ctr(&["import".as_ref(), archive.as_os_str()])
    }

    /// Gives an image one more name.
    pub fn tag_image(&self, image: &str, name: &str) -> Result<()> {
        self.ctr(&["tag".as_ref(), image.as_ref(), name.as_ref()])
    }

    fn ctr(&self, arguments: &[&OsStr]) -> Result<()> {
        let mut command = Command::new(&self.binaries.ctr);
        command.arg("--address").arg(self.directory.containerd_socket());
        command.args(["--namespace", "k8s.io", "images"]).args(arguments);
        run_to_completion("ctr images", &command, &self.directory.log("ctr")).map(drop)
    }

    /// Runs `kubectl` with every right, with this input; its output.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        let input = self.directory.write("kubectl.input", input)?;
        // The harness's processes have no input of their own.
        let mut command = Command::new("sh");
        command.args(["-c", r#"input=$1; shift; exec "$@" < "$input""#, "sh"]).arg(input);
        command.arg(&self.binaries.kubectl).arg("--kubeconfig").arg(self.plane.kubeconfig(User::Admin));
        command.arg("--cache-dir").arg(self.directory.path("kubectl"));
        command.args(arguments);
        let name = format!("kubectl {}", arguments.join(" "));
        run_to_completion(&name, &command, &self.directory.log("kubectl"))
    }

    /// Changes the firewall through which the pods' traffic goes, as a network policy would: this option with this rule.
    pub fn iptables(&self, option: &str, rule: &[String]) -> Result<()> {
        let mut command = Command::new(self.binaries.iptables()?);
        command.args(["--wait", option]).args(rule).envs(self.binaries.environment()?);
        run_to_completion("iptables", &command, &self.directory.log("iptables")).map(drop)
    }

    /// Waits until objects have a condition.
    pub fn wait_for(&self, objects: &[&str], condition: &str) -> Result<()> {
        let condition = format!("--for=condition={condition}");
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let arguments = [&["wait", condition.as_str(), timeout.as_str()], objects].concat();
        if let Err(error) = self.kubectl(&arguments, "") {
            return Err(error.context(self.state()));
        }
        Ok(())
    }

    /// What a person would look at, for an error message.
    fn state(&self) -> String {
        let pods = self.kubectl(&["get", "pods", "--all-namespaces", "--output=wide"], "");
        let warnings = ["get", "events", "--all-namespaces", "--field-selector=type=Warning"];
        let logs = ["logs", "--all-pods", "--prefix", "--tail=20", "--namespace", services::NAMESPACE];
        let servers = services::Service::ALL.map(|service| {
            let deployment = format!("deployment/{}", service.name());
            self.kubectl(&[&logs[..], &[&deployment]].concat(), "").unwrap_or_default()
        });
        let found = [pods, self.kubectl(&warnings, "")].map(Result::unwrap_or_default);
        format!("{}\n{}", found.concat(), servers.concat())
    }

    /// Turns the node off, with every container on it, and on again; the API server goes on.
    pub fn reboot(&mut self) -> Result<()> {
        // The end of the first process of the node's process namespace is the end of all.
        self.power = None;
        self.switch_on()
    }

    fn switch_on(&mut self) -> Result<()> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--", "sh"]);
        command.arg(self.directory.boot_script()).envs(self.binaries.environment()?);
        let mut power = ChildProcess::spawn("the node", &command, &self.directory.log("node"))?;
        // The API server may still say Ready of the time before a reboot, so the kubelet itself is asked.
        let health = format!("/api/v1/nodes/{NODE_NAME}/proxy/healthz");
        power
            .wait_until_ready(PATIENCE, || self.kubectl(&["get", "--raw", &health], "").is_ok())
            .with_context(|| self.directory.tails())?;
        self.power = Some(power);
        self.wait_for(&[&format!("node/{NODE_NAME}")], "Ready").with_context(|| self.directory.tails())
    }
}

/// The network of the node and its pods, with a default route since kube-proxy wants one.
fn make_bridge(binaries: &NodeBinaries) -> Result<()> {
    let ip = binaries.ip()?;
    let logs = tempfile::tempdir()?;
    let address = format!("{NODE_ADDRESS}/24");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["link", "add", "cni0", "type", "bridge"],
        &["address", "add", &address, "dev", "cni0"],
        &["link", "set", "cni0", "up"],
        &["route", "add", "default", "dev", "cni0"],
    ] {
        let mut command = Command::new(&ip);
        command.args(arguments).envs(binaries.environment()?);
        run_to_completion(&format!("ip {}", arguments.join(" ")), &command, &logs.path().join("log"))?;
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot forward packets of pods")
}
