//! What Helm, Flux and Argo CD think of an object and do with it, by the libraries that they run on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{question::ask, tools};

/// The libraries of Helm, Flux and Argo CD.
#[derive(Debug, Clone)]
pub struct GitOps {
    program: PathBuf,
}

/// What a tool thinks of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// One word, in the tool's own terms.
    pub status: String,
    /// What the tool shows beside it, or nothing.
    pub message: String,
}

/// What one round of Flux did; objects are named `Kind/namespace/name`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FluxRound {
    /// What it would do, asked before: `created`, `configured` or `unchanged`.
    pub drift: BTreeMap<String, String>,
    /// What it did.
    pub changes: BTreeMap<String, String>,
    /// What its Kustomization would say of the objects' health, empty where it is good or was not asked for.
    pub wait_error: String,
}

/// How Argo CD compares an object with its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Its default: with what was applied last.
    ThreeWay,
    /// Where an application has the option `ServerSideApply=true`.
    StructuredMerge,
    /// Where an application has the option `ServerSideDiff=true`.
    ServerSide,
}

/// How Argo CD applies a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgoApply {
    /// Its default: as `kubectl apply`.
    ClientSide,
    /// With the option `ServerSideApply=true`.
    ServerSide,
}

/// How an object differs from its manifest in the eyes of Argo CD.
#[derive(Debug, Clone, Deserialize)]
pub struct Difference {
    /// Whether the application is `OutOfSync`.
    pub modified: bool,
    /// The object.
    pub live: String,
    /// What it would be after a synchronization.
    pub predicted: String,
}

impl GitOps {
    /// The libraries, built first where this machine has none.
    pub fn install() -> Result<Self> {
        Ok(Self { program: tools::gitops()? })
    }

    /// What `helm --wait` and Flux without expressions think of the objects.
    pub fn kstatus(&self, objects: &[Value]) -> Result<Vec<Verdict>> {
        self.ask("kstatus", &json!({"objects": objects}))
    }

    /// What Flux thinks of the objects with the `healthCheckExprs` of a Kustomization.
    pub fn flux_health(&self, expressions: &Value, objects: &[Value]) -> Result<Vec<Verdict>> {
        self.ask("flux-health", &json!({"objects": objects, "healthCheckExprs": expressions}))
    }

    /// What Argo CD thinks of the objects with the `data` of `argocd-cm`.
    pub fn argo_health(&self, config_map: &Value, objects: &[Value]) -> Result<Vec<Verdict>> {
        self.ask("argo-health", &json!({"objects": objects, "configMap": config_map}))
    }

    /// One round of Flux.
    pub fn flux_apply(&self, kubeconfig: &Path, objects: &[Value]) -> Result<FluxRound> {
        self.ask("flux-apply", &json!({"kubeconfig": kubeconfig, "objects": objects}))
    }

    /// One round of Flux, which then waits for the objects' health.
    pub fn flux_apply_and_wait(
        &self,
        kubeconfig: &Path,
        objects: &[Value],
        expressions: &Value,
        timeout: Duration,
    ) -> Result<FluxRound> {
        let request = json!({
            "kubeconfig": kubeconfig, "objects": objects, "healthCheckExprs": expressions,
            "timeoutSeconds": timeout.as_secs(),
        });
        self.ask("flux-apply", &request)
    }

    /// Fails where Flux's own types lack a field of the objects.
    pub fn flux_decode(&self, objects: &[Value]) -> Result<()> {
        self.ask::<usize>("flux-decode", &json!({"objects": objects}))?;
        Ok(())
    }

    /// A synchronization of Argo CD.
    pub fn argo_apply(&self, kubeconfig: &Path, objects: &[Value], how: ArgoApply) -> Result<()> {
        let is_server_side = how == ArgoApply::ServerSide;
        let request = json!({"kubeconfig": kubeconfig, "objects": objects, "serverSide": is_server_side});
        self.ask::<Vec<String>>("argo-apply", &request)?;
        Ok(())
    }

    /// A comparison of Argo CD, for each manifest.
    pub fn argo_diff(
        &self,
        kubeconfig: &Path,
        manifests: &[Value],
        comparison: Comparison,
    ) -> Result<Vec<Difference>> {
        let comparison = format!("{comparison:?}");
        let request = json!({"kubeconfig": kubeconfig, "objects": manifests, "comparison": comparison});
        self.ask("argo-diff", &request)
    }

    fn ask<T: DeserializeOwned>(&self, subcommand: &str, request: &Value) -> Result<T> {
        ask(&self.program, subcommand, request)
    }
}
