//! The cluster of the story, as a person sees it with kubectl and helm.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Deserializer, Value, json};
use test_support::{
    AuditEvent, Helm, Node, OciRegistry, User,
    helm::{Installation, RELEASE},
    node::services::WANDB_PORT,
    stand_in_server::log_in,
    wait_until,
};

pub use test_support::process::PATIENCE;

/// The release's namespace, which admits restricted pods only.
pub const OPERATOR: &str = "wandb-auth";
/// The namespace of W&B Server and of the resources.
pub const WANDB: &str = "wandb";
/// [`PATIENCE`], as helm and kubectl take it.
pub const TIMEOUT: &str = "--timeout=2m";

/// The node with what is installed on it.
pub struct Cluster {
    pub node: Node,
    registry: OciRegistry,
    helm: Helm,
}

impl Cluster {
    pub fn new(node: Node) -> Result<Self> {
        Ok(Self { node, registry: OciRegistry::start()?, helm: Helm::new()? })
    }

    /// Publishes image and chart. From then on the chart comes from the registry, and the node pulls the image there.
    pub fn publish(&mut self, image: &Path) -> Result<()> {
        let output = self.registry.publish("wandb", &[image], &[])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout)?;
        let chart = said.lines().find_map(|line| line.strip_prefix("chart: ")).context("no chart")?;
        self.helm = Helm::with_chart(chart.into())?;
        Ok(())
    }

    /// The image that the node is to pull.
    pub fn published_image(&self) -> String {
        format!("{}/wandb/wandb-auth-operator:{}", self.registry.host(), env!("CARGO_PKG_VERSION"))
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
        self.helm.upgrade_install(self.installation(), values, &["--plain-http", "--wait", TIMEOUT])?;
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

    /// The Lease as it is now.
    pub fn lease(&self) -> Result<Lease> {
        Ok(serde_json::from_value(self.get(&["lease", RELEASE, "--namespace", OPERATOR])?)?)
    }

    /// The versions of the Lease that came after this one, up to a few seconds from now.
    pub fn leases_after(&self, lease: &Lease) -> Result<Vec<Lease>> {
        let version = lease.metadata.resource_version.as_deref().context("the Lease has no version")?;
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{OPERATOR}/leases?watch=true&timeoutSeconds=3\
             &fieldSelector=metadata.name={RELEASE}&resourceVersion={version}"
        );
        let events = self.node.kubectl(&["get", "--raw", &path], "")?;
        let changed = |event: serde_json::Result<Value>| -> Result<Lease> {
            let mut event = event?;
            ensure!(event["type"] == "MODIFIED", "this is no change of the Lease: {event}");
            Ok(serde_json::from_value(event["object"].take())?)
        };
        Deserializer::from_str(&events).into_iter::<Value>().map(changed).collect()
    }

    /// Who holds the Lease; nothing where nobody leads.
    pub fn leader(&self) -> Result<Option<Leader>> {
        Ok(Leader::of(&self.lease()?))
    }

    /// Waits until the leader has checked these resources at least once since it leads.
    pub fn wait_for_checks(&self, resources: &[&str]) -> Result<()> {
        let mut missing = String::new();
        let waited = wait_until(PATIENCE, "check of every resource by the leader", || {
            match self.unchecked(resources) {
                Ok(unchecked) => missing = unchecked.join(", "),
                // A pod that has only just started serves nothing yet.
                Err(error) => missing = format!("{error:#}"),
            }
            Ok(missing.is_empty())
        });
        waited.with_context(|| format!("missing: {missing}"))
    }

    /// Which of these resources the leader has not checked yet.
    fn unchecked<'a>(&self, resources: &[&'a str]) -> Result<Vec<&'a str>> {
        let leader = self.leader()?.context("nobody leads")?;
        let stays = self.operator_pods()?.iter().any(|pod| pod["metadata"]["name"] == leader.pod());
        ensure!(stays, "{} leads, which is about to go", leader.pod());
        let path = format!("/api/v1/namespaces/{OPERATOR}/pods/{}:8080/proxy/metrics", leader.pod());
        let metrics = self.node.kubectl(&["get", "--raw", &path], "")?;
        let is_checked = |name: &str| {
            let label = format!("name=\"{name}\"");
            let mut checks =
                metrics.lines().filter(|line| line.starts_with("wandb_auth_last_check_timestamp_seconds{"));
            checks.any(|line| line.contains(&label))
        };
        Ok(resources.iter().copied().filter(|name| !is_checked(name)).collect())
    }

    /// The version of each Secret of W&B's namespace: any write is another one.
    pub fn secrets(&self) -> Result<BTreeMap<String, String>> {
        let field =
            |secret: &Value, name: &str| secret["metadata"][name].as_str().unwrap_or_default().to_owned();
        let secrets = self.list(&["secrets", "--namespace", WANDB])?;
        Ok(secrets.iter().map(|secret| (field(secret, "name"), field(secret, "resourceVersion"))).collect())
    }

    /// How often the container of each pod was started again, in every namespace.
    pub fn restarts(&self) -> Result<BTreeMap<String, i64>> {
        let pods = self.list(&["pods", "--all-namespaces"])?;
        let restarts = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str()?.to_owned();
            Some((name, pod["status"]["containerStatuses"][0]["restartCount"].as_i64()?))
        };
        Ok(pods.iter().filter_map(restarts).collect())
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

/// A process that leads, by the identity that it has in the Lease.
#[derive(Debug, PartialEq, Eq)]
pub struct Leader(String);

impl Leader {
    /// Who holds this Lease; nothing where nobody leads.
    pub fn of(lease: &Lease) -> Option<Self> {
        let identity = lease.spec.as_ref()?.holder_identity.as_deref()?;
        (!identity.is_empty()).then(|| Self(identity.to_owned()))
    }

    /// Its pod. What follows in the identity tells a restarted container from the one before.
    pub fn pod(&self) -> &str {
        self.0.split_once('_').map_or(self.0.as_str(), |(pod, _)| pod)
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

    /// The one that runs in this pod.
    pub fn of_pod(name: &str) -> Result<Self> {
        let in_pod = |process: &Self| {
            let host = fs::read_to_string(process.directory.join("root/etc/hostname")).unwrap_or_default();
            host.trim() == name
        };
        Self::all()?.into_iter().find(in_pod).with_context(|| format!("no operator runs in {name}"))
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
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = mounts.find(|fields| fields.get(1) == Some(&"/")).context("it has no root")?;
        let options = root.get(3).context("its root has no options")?;
        Ok((*options).to_owned())
    }

    /// Ends it at once, as the kernel does with one that takes too much memory.
    pub fn kill(&self) -> Result<()> {
        let id = self.directory.file_name().and_then(|name| name.to_str()).context("it has no id")?;
        // The shell's own: a small system has no program of this name.
        let status = Command::new("sh").args(["-c", "kill -KILL \"$1\"", "sh", id]).status()?;
        ensure!(status.success(), "the operator's process {id} cannot be killed");
        Ok(())
    }
}

/// The values of the chart for this cluster.
pub fn values() -> Value {
    json!({
        "watchNamespaces": [WANDB],
        "tokenRequest": [{"namespace": WANDB, "serviceAccounts": ["trainer"]}],
        "injection": {"enabled": true},
        "serverPodChecks": {"enabled": true},
    })
}
