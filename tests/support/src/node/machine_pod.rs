//! Workloads of pods that run programs of this machine: an empty image, and this machine's files mounted where they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::image::MACHINE_IMAGE;

/// What every program needs. `/usr/local` is left out, since pods have files of their own below it.
const SYSTEM: [&str; 4] = ["/usr/bin", "/usr/lib", "/usr/lib64", "/usr/sbin"];

/// One such pod, to be made by a workload of the same name.
#[derive(Debug)]
pub struct MachinePod {
    name: String,
    namespace: String,
    command: Vec<String>,
    probe: Value,
    environment: BTreeMap<String, String>,
    account: Option<String>,
    dns_policy: &'static str,
    mounts: Vec<Value>,
    volumes: Vec<Value>,
}

impl MachinePod {
    /// Runs this command, and is ready when the probe succeeds.
    pub fn new(namespace: &str, name: &str, command: &[&str], probe: Value) -> Self {
        let pod = Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            probe,
            environment: BTreeMap::new(),
            account: None,
            dns_policy: "ClusterFirst",
            mounts: Vec::new(),
            volumes: Vec::new(),
        };
        let present = SYSTEM.into_iter().map(PathBuf::from).filter(|path| path.is_dir());
        present.fold(pod, |pod, path| pod.directory(&path))
    }

    /// Sees this directory of the machine where it is, and may write to it.
    #[must_use]
    pub fn directory(self, path: &Path) -> Self {
        // What is below a mounted directory is there already; a link's target may not be.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let covered = self.mounts.iter().filter_map(|mount| mount.get("mountPath")?.as_str());
        if covered.into_iter().any(|mounted| path.starts_with(mounted)) {
            return self;
        }
        self.volume(&path, &json!({"hostPath": {"path": &path}}))
    }

    /// Has a Secret's entries as files.
    #[must_use]
    pub fn secret(self, name: &str, path: &str) -> Self {
        self.volume(Path::new(path), &json!({"secret": {"secretName": name}}))
    }

    /// Has a `ConfigMap`'s entries as files.
    #[must_use]
    pub fn config_map(self, name: &str, path: &str) -> Self {
        self.volume(Path::new(path), &json!({"configMap": {"name": name}}))
    }

    /// Has an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs as a service account.
    #[must_use]
    pub fn account(self, name: &str) -> Self {
        Self { account: Some(name.to_owned()), ..self }
    }

    /// Does not ask the cluster for names.
    #[must_use]
    pub fn without_cluster_names(self) -> Self {
        Self { dns_policy: "Default", ..self }
    }

    fn volume(mut self, path: &Path, source: &Value) -> Self {
        let name = format!("volume-{}", self.volumes.len());
        self.mounts.push(json!({"name": name, "mountPath": path}));
        let mut volume = json!({"name": name});
        if let (Some(volume), Some(source)) = (volume.as_object_mut(), source.as_object()) {
            volume.extend(source.clone());
        }
        self.volumes.push(volume);
        self
    }

    /// The manifest of a Deployment.
    pub fn deployment(&self) -> Value {
        self.workload("Deployment")
    }

    /// The manifest of a `StatefulSet`.
    pub fn stateful_set(&self) -> Value {
        self.workload("StatefulSet")
    }

    /// The manifest of a Job, whose pods have these labels. They run once, as nobody in particular, and can write to no
    /// place but what is mounted.
    pub fn job(&self, labels: &Value) -> Value {
        let mut pod = self.pod();
        if let Some(container) = pod.pointer_mut("/containers/0").and_then(Value::as_object_mut) {
            container.remove("readinessProbe");
            let context = json!({
                "runAsUser": 65532, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            });
            container.insert("securityContext".to_owned(), context);
        }
        if let Some(pod) = pod.as_object_mut() {
            pod.insert("restartPolicy".to_owned(), json!("Never"));
        }
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
        })
    }

    fn workload(&self, kind: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "selector": {"matchLabels": {"app": self.name}},
                "template": {"metadata": {"labels": {"app": self.name}}, "spec": self.pod()},
            },
        })
    }

    fn pod(&self) -> Value {
        let environment: Vec<Value> =
            self.environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        // By default an answer that takes more than a second, as on a busy machine, would make the pod unready.
        let mut probe = json!({"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10});
        if let (Some(probe), Some(given)) = (probe.as_object_mut(), self.probe.as_object()) {
            probe.extend(given.clone());
        }
        json!({
            "serviceAccountName": self.account.as_deref().unwrap_or("default"),
            "dnsPolicy": self.dns_policy,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": self.name,
                "image": MACHINE_IMAGE,
                "imagePullPolicy": "Never",
                "command": self.command,
                "env": environment,
                "readinessProbe": probe,
                "volumeMounts": self.mounts,
            }],
            "volumes": self.volumes,
        })
    }
}

/// A Service of a name, for the pods of the same name.
pub fn service(namespace: &str, name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    })
}
