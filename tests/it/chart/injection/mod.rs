//! Credentials for pods by a label: what the chart's policy makes of them on a real API server.

mod later;
mod pods;
mod programs;
mod untouched;
mod versions;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use test_support::{Helm, Workspace};

use super::documents;
use crate::world::{eventually, workspace};

/// The label, and the annotation for names that are too long for one.
const LABEL: &str = "auth.wandb.com/credentials";

/// A namespace whose pods the chart's policy looks at, and which no other test's policy concerns.
struct Stage {
    workspace: Workspace,
}

impl Stage {
    /// With the policy in force.
    async fn new() -> Result<Self> {
        Self::of(workspace().await?).await
    }

    /// The same in a namespace that is there already.
    async fn of(workspace: Workspace) -> Result<Self> {
        let stage = Self::in_namespace(workspace).await?;
        stage.apply_policy(stage.policy(stage.workspace.namespace())?).await?;
        Ok(stage)
    }

    /// Without any policy.
    async fn without_policy() -> Result<Self> {
        Self::in_namespace(workspace().await?).await
    }

    /// A pod needs an account, which Kubernetes makes a moment after the namespace.
    async fn in_namespace(workspace: Workspace) -> Result<Self> {
        workspace.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}").await?;
        Ok(Self { workspace })
    }

    /// What a release of this name has for this namespace only.
    fn policy(&self, release: &str) -> Result<String> {
        let namespaces = json!({"matchLabels": {"kubernetes.io/metadata.name": self.workspace.namespace()}});
        let values = json!({
            "fullnameOverride": release, "crds": {"enabled": false},
            "injection": {"enabled": true, "namespaceSelector": namespaces},
        });
        let mut objects = documents(&Helm::new()?.template(&values)?)?;
        objects.retain(|object| {
            object["kind"].as_str().is_some_and(|kind| kind.starts_with("MutatingAdmissionPolicy"))
        });
        ensure!(objects.len() == 2, "a policy and its binding: {objects:#?}");
        let texts: Vec<_> = objects.iter().map(ToString::to_string).collect();
        Ok(texts.join("\n---\n"))
    }

    /// Applies it, and waits until the API server goes by it.
    async fn apply_policy(&self, policy: String) -> Result<()> {
        self.workspace.apply(&policy).await?;
        let probe = json!({
            "metadata": {"name": "probe", "labels": {LABEL: "probe"}},
            "spec": {"containers": [{"name": "probe", "image": "probe"}]},
        });
        eventually("the policy in force", || async {
            // A policy that cannot work refuses the pod.
            let is_in_force = match self.create(&probe).await? {
                Ok(pod) => pod["spec"]["containers"][0]["envFrom"].is_array(),
                Err(_) => true,
            };
            Ok(is_in_force.then_some(()))
        })
        .await
    }

    /// What the API server would make of a pod, or why it refuses it; no token of Kubernetes is mounted.
    async fn create(&self, pod: &Value) -> Result<std::result::Result<Value, String>> {
        let mut pod = pod.clone();
        pod["spec"]["automountServiceAccountToken"] = json!(false);
        self.create_as_it_is(&pod).await
    }

    async fn create_as_it_is(&self, pod: &Value) -> Result<std::result::Result<Value, String>> {
        let how = PostParams { dry_run: true, ..PostParams::default() };
        match self.pods().create(&how, &serde_json::from_value(pod.clone())?).await {
            Ok(pod) => Ok(Ok(serde_json::to_value(pod)?)),
            Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The pod that it makes.
    async fn created(&self, pod: &Value) -> Result<Value> {
        self.create(pod).await?.map_err(anyhow::Error::msg).with_context(|| pod.to_string())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.workspace.client().clone(), self.workspace.namespace())
    }
}

/// A pod with nothing but the label, and a container `train`.
fn labelled(secret: &str) -> Value {
    json!({
        "metadata": {"name": "train", "labels": {LABEL: secret}},
        "spec": {"containers": [{"name": "train", "image": "train"}]},
    })
}
