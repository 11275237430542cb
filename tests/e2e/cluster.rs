//! The cluster of the story, as a person sees it with kubectl and helm.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{
    AuditEvent, Helm, Node, User,
    helm::{Installation, RELEASE},
    node::services::WANDB_PORT,
    stand_in_server::log_in,
    wait_until,
};

/// The release's namespace, which admits restricted pods only.
pub const OPERATOR: &str = "wandb-auth";
/// The namespace of W&B Server and of the resources.
pub const WANDB: &str = "wandb";
/// How long anything may take that is expected to happen.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The node with what is installed on it.
pub struct Cluster {
    pub node: Node,
    helm: Helm,
}

impl Cluster {
    pub fn new(node: Node) -> Result<Self> {
        Ok(Self { node, helm: Helm::new()? })
    }

    /// Applies manifests as `kubectl apply -f` does.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.node.kubectl(&["apply", "-f", "-"], manifests).map(drop)
    }

    /// What `kubectl get` finds, as the API has it.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let found = self.node.kubectl(&[&["get", "--output=json"], arguments].concat(), "")?;
        serde_json::from_str(&found).context("kubectl prints no JSON")
    }

    /// The same for lists, of which it returns the items.
    pub fn list(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        Ok(self.get(arguments)?["items"].as_array().cloned().unwrap_or_default())
    }

    /// Installs or upgrades the chart, and waits as `--wait` does.
    pub fn upgrade(&self, values: &Value) -> Result<()> {
        self.helm.upgrade_install(self.installation(), values, &["--wait", "--timeout=2m"])?;
        Ok(())
    }

    pub fn uninstall(&self) -> Result<()> {
        self.helm.uninstall(self.installation(), &["--wait"])?;
        Ok(())
    }

    fn installation(&self) -> Installation<'_> {
        Installation { kubeconfig: self.node.control_plane().kubeconfig(User::Admin), namespace: OPERATOR }
    }

    /// The operator's pods that are not being deleted.
    pub fn operator_pods(&self) -> Result<Vec<Value>> {
        let label = format!("--selector=app.kubernetes.io/instance={RELEASE}");
        let mut pods = self.list(&["pods", "--namespace", OPERATOR, &label])?;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(pods)
    }

    /// The identity that the Lease names, which is a pod's name.
    pub fn leader(&self) -> Result<String> {
        let lease = self.get(&["lease", RELEASE, "--namespace", OPERATOR])?;
        Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the leader has checked all resources at least once since it leads.
    pub fn wait_for_checks(&self, resources: &[&str]) -> Result<()> {
        wait_until(PATIENCE, "first check of every resource", || {
            let leader = self.leader()?;
            let pods = self.operator_pods()?;
            let Some(pod) = pods.iter().find(|pod| pod["metadata"]["name"] == leader.as_str()) else {
                return Ok(false);
            };
            let Ok(metrics) = self.metrics(pod) else { return Ok(false) };
            Ok(resources.iter().all(|name| {
                let label = format!("name=\"{name}\"");
                let checked = |line: &str| {
                    line.starts_with("wandb_auth_last_check_timestamp_seconds{") && line.contains(&label)
                };
                metrics.lines().any(checked)
            }))
        })
    }

    fn metrics(&self, pod: &Value) -> Result<String> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{OPERATOR}/pods/{name}:8080/proxy/metrics");
        self.node.kubectl(&["get", "--raw", &path], "")
    }

    /// The version of each Secret of W&B's namespace: any write is another one.
    pub fn secrets(&self) -> Result<BTreeMap<String, String>> {
        let field =
            |secret: &Value, name: &str| secret["metadata"][name].as_str().unwrap_or_default().to_owned();
        let secrets = self.list(&["secrets", "--namespace", WANDB])?;
        Ok(secrets.iter().map(|secret| (field(secret, "name"), field(secret, "resourceVersion"))).collect())
    }

    /// The requests of the operator so far.
    pub fn requests(&self) -> Result<Vec<AuditEvent>> {
        let user = format!("system:serviceaccount:{OPERATOR}:{RELEASE}");
        let mut events = self.node.control_plane().audit()?;
        events.retain(|event| event.user == user);
        Ok(events)
    }

    /// The pods of W&B Server that are not being deleted.
    pub fn wandb_pods(&self, name: &str) -> Result<Vec<Value>> {
        let label = format!("--selector=app={name}");
        let mut pods = self.list(&["pods", "--namespace", WANDB, &label])?;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(pods)
    }

    /// Logs a person in at W&B Server, and returns the HTTP status.
    pub fn log_in(&self, email: &str, password: &str) -> Result<u16> {
        let pods = self.wandb_pods(WANDB)?;
        let pod = pods.first().context("W&B Server has no pod")?;
        let address: IpAddr = pod["status"]["podIP"].as_str().unwrap_or_default().parse()?;
        log_in(SocketAddr::from((address, WANDB_PORT)), email, password)
    }
}

/// A process of the operator in its container, as the kernel sees it.
pub struct OperatorProcess {
    directory: PathBuf,
}

impl OperatorProcess {
    /// Those that run.
    pub fn all() -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let directory = entry?.path();
            let command = fs::read(directory.join("cmdline")).unwrap_or_default();
            if command.starts_with(b"/usr/bin/wandb-auth-operator\0") {
                found.push(Self { directory });
            }
        }
        Ok(found)
    }

    /// A line of its status, such as `Uid`.
    pub fn status(&self, name: &str) -> Result<String> {
        let status = fs::read_to_string(self.directory.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("the kernel does not tell {name}"))?.trim().to_owned())
    }

    /// How its root is mounted.
    pub fn root_options(&self) -> Result<String> {
        let mounts = fs::read_to_string(self.directory.join("mounts"))?;
        let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let options = root.into_iter().find(|fields| fields.get(1) == Some(&"/"));
        let options = options.and_then(|fields| fields.get(3).copied().map(str::to_owned));
        options.context("it has no root")
    }

    /// Ends it at once, as the kernel does with one that takes too much memory.
    pub fn kill(&self) -> Result<()> {
        let id = self.directory.file_name().and_then(|name| name.to_str()).context("it has no id")?;
        let status = std::process::Command::new("kill").args(["-KILL", id]).status()?;
        ensure!(status.success(), "the operator's process {id} cannot be killed");
        Ok(())
    }
}

/// The values of the chart for this cluster.
pub fn values() -> Value {
    json!({
        "image": {"pullPolicy": "Never"},
        "watchNamespaces": [WANDB],
    })
}
