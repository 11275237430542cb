//! A fleet: resources of all kinds in many namespaces of a control plane of their own, under one operator.
//!
//! [`Servers`] is what the resources refer to, [`manifest`] what they are, [`Census`] says how many are Ready, and
//! [`story`] is what a fleet must live through without a write too many.

mod census;
mod manifests;
mod servers;
pub mod story;

pub use census::Census;
pub use manifests::{KINDS, SHARED_KEYS, manifest, put_references};
pub use servers::Servers;

use std::path::Path;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::{AuditEvent, ControlPlane, Operator, User, Workspace};

const GROUP: &str = "auth.wandb.com";
const VERSION: &str = "v1alpha1";

/// How many resources are created at a time.
const CREATED_AT_A_TIME: usize = 16;

/// Namespaces with resources, and the servers that those refer to.
pub struct Fleet {
    /// Where all of them are.
    pub plane: ControlPlane,
    /// What they refer to.
    pub servers: Servers,
    /// One for each namespace.
    pub workspaces: Vec<Workspace>,
}

impl Fleet {
    /// Starts the servers, and makes so many namespaces without resources.
    pub async fn start(definitions: &[CustomResourceDefinition], namespaces: usize) -> Result<Self> {
        let servers = Servers::start()?;
        let plane = ControlPlane::start().await?;
        let mut workspaces = Vec::new();
        for number in 0..namespaces {
            let name = format!("fleet-{number:03}");
            // Every workspace would install them anew.
            let definitions = if number == 0 { definitions } else { &[] };
            let (admin, operator) = (plane.kubeconfig(User::Admin), plane.kubeconfig(User::Operator));
            let workspace = Workspace::on(admin, operator, &name, definitions).await?;
            put_references(&workspace, &servers).await?;
            workspaces.push(workspace);
        }
        let fleet = Self { plane, servers, workspaces };
        fleet.first()?.apply(&rights_everywhere().to_string()).await?;
        Ok(fleet)
    }

    /// The first namespace.
    pub fn first(&self) -> Result<&Workspace> {
        self.workspaces.first().context("the fleet has no namespace")
    }

    /// Creates so many resources, of these kinds in turn and in all namespaces alike.
    pub async fn fill(&self, kinds: &[&str], resources: usize) -> Result<()> {
        let namespaces = self.workspaces.len().max(1);
        self.make_accounts(kinds, resources).await?;
        let kinds_and_places = kinds.iter().cycle().zip(0..resources).enumerate();
        stream::iter(kinds_and_places)
            .map(|(number, (kind, _))| async move {
                let workspace = self.workspaces.get(number / kinds.len().max(1) % namespaces);
                let workspace = workspace.context("the fleet has no namespace")?;
                let name = name(kind, number);
                self.create(workspace, kind, manifest(&self.servers, kind, &name)?).await
            })
            .buffer_unordered(CREATED_AT_A_TIME)
            .try_collect()
            .await
    }

    /// Makes the accounts of the service accounts that will be there, and one Secret of their keys for each namespace.
    async fn make_accounts(&self, kinds: &[&str], resources: usize) -> Result<()> {
        let namespaces = self.workspaces.len().max(1);
        let mut keys = vec![Vec::new(); namespaces];
        for (number, (kind, _)) in kinds.iter().cycle().zip(0..resources).enumerate() {
            if *kind == "ServiceAccount"
                && let Some(keys) = keys.get_mut(number / kinds.len().max(1) % namespaces)
            {
                let name = name(kind, number);
                let key = self.servers.account(&name)?;
                keys.push((name, key));
            }
        }
        for (workspace, keys) in self.workspaces.iter().zip(keys) {
            let entries: Vec<_> = keys.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
            workspace.put_secret(SHARED_KEYS, &entries).await?;
        }
        Ok(())
    }

    async fn create(&self, workspace: &Workspace, kind: &str, object: Value) -> Result<()> {
        let object = serde_json::from_value(object)?;
        workspace.resources(kind)?.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// An operator for every namespace, which may connect to the servers.
    pub fn operator(&self, program: &Path) -> Result<Operator> {
        let arguments = ["--all-namespaces", "--allow-egress", "127.0.0.0/8"];
        self.first()?.start_operator(program, &arguments).context("the operator does not start")
    }

    /// Counts the Ready resources of these kinds.
    pub fn census(&self, kinds: &[&str]) -> Result<Census> {
        let resource = |kind: &&str| ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, kind));
        Ok(Census::new(self.first()?.client().clone(), kinds.iter().map(resource).collect(), "Ready"))
    }

    /// What the API server answered to the operator so far.
    pub fn requests(&self) -> Result<Vec<AuditEvent>> {
        let events = self.plane.audit()?;
        Ok(events.into_iter().filter(|event| event.user == "operator").collect())
    }

    /// What the operator has changed so far, apart from Leases and events.
    pub fn writes(&self) -> Result<Vec<AuditEvent>> {
        let is_meant = |event: &AuditEvent| {
            is_write(event) && event.code < 400 && !["leases", "events"].contains(&event.resource.as_str())
        };
        Ok(self.requests()?.into_iter().filter(is_meant).collect())
    }
}

fn name(kind: &str, number: usize) -> String {
    format!("{}-{number:05}", kind.to_lowercase())
}

/// Whether the request was to change something.
pub fn is_write(event: &AuditEvent) -> bool {
    ["create", "update", "patch", "delete", "deletecollection"].contains(&event.verb.as_str())
}

/// Rights in every namespace for the control plane's user `operator`. That the rights of an installation suffice is
/// for other tests to say.
fn rights_everywhere() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "fleet"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    })
}
