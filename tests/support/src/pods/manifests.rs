//! Workloads of W&B Server as installations have them.

use serde_json::{Map, Value, json};

/// A Deployment or a StatefulSet of the `wandb/local` image, to be changed and [made](Self::manifest).
///
/// Its label `app` and its container's settings are those of the vendor's manifests: the container is named
/// `wandb`, and the server finds its database and its own address in literal variables.
#[derive(Clone, Debug)]
pub struct WandbWorkload {
    kind: &'static str,
    name: String,
    container: String,
    replicas: u32,
    progress_deadline: Option<u32>,
    strategy: &'static str,
    environment: Vec<Value>,
}

impl WandbWorkload {
    /// A Deployment with two replicas that are replaced one after the other.
    pub fn deployment(name: &str) -> Self {
        Self::new("Deployment", name)
    }

    /// A StatefulSet with two replicas that are replaced one after the other.
    pub fn stateful_set(name: &str) -> Self {
        Self::new("StatefulSet", name)
    }

    fn new(kind: &'static str, name: &str) -> Self {
        let workload = Self {
            kind,
            name: name.to_owned(),
            container: "wandb".to_owned(),
            replicas: 2,
            progress_deadline: None,
            strategy: "RollingUpdate",
            environment: Vec::new(),
        };
        workload
            .variable("HOST", "https://wandb.example.com")
            .variable("MYSQL", "mysql://wandb:wandb-mysql-password@mysql.example.com:3306/wandb_local")
            .variable("BUCKET", "s3://wandb-bucket")
            .variable("LICENSE", "wandb-license")
    }

    /// So many replicas.
    #[must_use]
    pub fn replicas(self, replicas: u32) -> Self {
        Self { replicas, ..self }
    }

    /// Another name for the container.
    #[must_use]
    pub fn container(self, name: &str) -> Self {
        Self { container: name.to_owned(), ..self }
    }

    /// A Deployment whose pods must become available in so many seconds; the default is ten minutes.
    #[must_use]
    pub fn progress_deadline(self, seconds: u32) -> Self {
        Self { progress_deadline: Some(seconds), ..self }
    }

    /// A Deployment whose pods end all at once before new ones start.
    #[must_use]
    pub fn recreate(self) -> Self {
        Self { strategy: "Recreate", ..self }
    }

    /// Another literal variable.
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.environment_entry(json!({"name": name, "value": value}))
    }

    /// Another variable, from a key of a Secret.
    #[must_use]
    pub fn secret_variable(self, name: &str, secret: &str, key: &str) -> Self {
        let reference = json!({"secretKeyRef": {"name": secret, "key": key}});
        self.environment_entry(json!({"name": name, "valueFrom": reference}))
    }

    /// Another variable, from a key of a ConfigMap.
    #[must_use]
    pub fn map_variable(self, name: &str, map: &str, key: &str) -> Self {
        let reference = json!({"configMapKeyRef": {"name": map, "key": key}});
        self.environment_entry(json!({"name": name, "valueFrom": reference}))
    }

    /// Another variable, as its entry in the manifest.
    #[must_use]
    pub fn environment_entry(mut self, entry: Value) -> Self {
        self.environment.push(entry);
        self
    }

    /// The manifest, for [`Workspace::apply`](crate::Workspace::apply).
    pub fn manifest(&self) -> String {
        let labels = json!({"app": self.name});
        let mut spec = Map::new();
        spec.insert("replicas".to_owned(), self.replicas.into());
        spec.insert("selector".to_owned(), json!({"matchLabels": labels}));
        spec.insert("template".to_owned(), json!({"metadata": {"labels": labels}, "spec": self.pod()}));
        if self.kind == "StatefulSet" {
            spec.insert("serviceName".to_owned(), self.name.clone().into());
            spec.insert("updateStrategy".to_owned(), json!({"type": "RollingUpdate"}));
        } else if self.strategy == "Recreate" {
            spec.insert("strategy".to_owned(), json!({"type": "Recreate"}));
        } else {
            let one_by_one =
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
            spec.insert("strategy".to_owned(), one_by_one);
        }
        if let Some(seconds) = self.progress_deadline {
            spec.insert("progressDeadlineSeconds".to_owned(), seconds.into());
        }
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": self.kind, "metadata": {"name": self.name, "labels": labels},
            "spec": spec,
        });
        manifest.to_string()
    }

    fn pod(&self) -> Value {
        json!({"containers": [{
            "name": self.container,
            "image": "wandb/local:0.76.1",
            "env": self.environment,
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }]})
    }
}
