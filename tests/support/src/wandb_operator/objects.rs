//! The objects that both generations make.

use serde_json::{Map, Value, json};

/// The variables of a container by name, of which the last entry counts.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<Value>);

impl Variables {
    pub(super) fn set(&mut self, entry: Value) {
        let name = entry.get("name").cloned();
        match self.0.iter_mut().find(|earlier| earlier.get("name") == name.as_ref()) {
            Some(earlier) => *earlier = entry,
            None => self.0.push(entry),
        }
    }

    /// A literal value.
    pub(super) fn literal(&mut self, name: &str, value: &str) {
        self.set(json!({"name": name, "value": value}));
    }

    /// A value that is read from a key of a Secret.
    pub(super) fn secret(&mut self, name: &str, selector: &Value) {
        self.set(json!({"name": name, "valueFrom": {"secretKeyRef": selector}}));
    }

    pub(super) fn into_entries(self) -> Vec<Value> {
        self.0
    }
}

/// A Deployment of one container, which trusts the authorities of the release if there are any.
pub(super) fn deployment(
    release: &str,
    component: &str,
    image: &str,
    environment: &[Value],
    authorities: &[Value],
) -> Value {
    let name = format!("{release}-{component}");
    let labels = json!({"app.kubernetes.io/instance": release, "app.kubernetes.io/name": component});
    let (mut mounts, mut volumes) = (Vec::new(), Vec::new());
    if !authorities.is_empty() {
        mounts.push(json!({"name": "ca-certs", "mountPath": "/usr/local/share/ca-certificates"}));
        volumes.push(json!({"name": "ca-certs", "configMap": {"name": authorities_name(release)}}));
    }
    let container = json!({
        "name": component, "image": image, "env": environment, "volumeMounts": mounts,
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let pod = json!({"containers": [container], "volumes": volumes});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    })
}

/// The `ConfigMap` with authorities; nothing where there are none.
pub(super) fn config_map(release: &str, authorities: &[Value]) -> Option<Value> {
    let files = authorities.iter().enumerate();
    let data: Map<_, _> =
        files.map(|(number, certificate)| (format!("customCA{number}.crt"), certificate.clone())).collect();
    (!data.is_empty()).then(|| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": authorities_name(release)},
            "data": data,
        })
    })
}

fn authorities_name(release: &str) -> String {
    format!("{release}-ca-certs")
}
