//! From a resource to the pods of W&B Server, with real controllers and played pods.

mod adoption;
mod claims;
pub mod crashes;
mod deadlines;
pub mod edits_by_others;
mod history;
mod imported;
mod login;
mod missing_revision;
mod no_way_back;
mod older_resource;
pub mod other_resources;
mod precedence;
mod removal;
mod revisions;
mod rollback;
mod several;
mod shared_target;
mod stateful_sets;
mod target_checks;
mod transients;
pub mod weights_and_biases;
mod workloads;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
};
use kube::{Api, ResourceExt, api::ListParams, core::NamespaceResourceScope};
use serde_json::Value;
use test_support::{
    AuditEvent, ControlPlane, PodPlayer, Slapd, Workspace,
    pods::{Life, WandbWorkload},
};

use crate::world::{certificate, directory, ldap_config, operator, put_references, workspace};
pub use crate::world::{eventually, silence};

/// A namespace with a directory, an operator, played pods, and a Deployment `wandb` whose pods are ready.
pub struct Stage {
    pub directory: Slapd,
    pub player: PodPlayer,
    pub workspace: Workspace,
    /// Killed when dropped.
    pub operator: Option<test_support::Operator>,
}

/// The Deployment of most tests, and how many pods it has.
const DEPLOYMENT: &str = "wandb";
const REPLICAS: usize = 2;

/// The target of most tests.
pub const TARGET: &str = "target: {deployment: {name: wandb}}";

impl Stage {
    /// Without an operator yet.
    pub async fn quiet(workload: &WandbWorkload) -> Result<Self> {
        let certificate = certificate()?;
        let directory = directory(&certificate)?;
        let workspace = workspace().await?;
        let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
        put_references(&workspace, &certificate).await?;
        workspace.apply(&workload.manifest()).await?;
        Ok(Self { directory, player, workspace, operator: None })
    }

    /// With an operator.
    pub async fn open(workload: &WandbWorkload) -> Result<Self> {
        let mut stage = Self::quiet(workload).await?;
        player_has_ready(&stage.player, "wandb", 2).await?;
        stage.operator = Some(operator(&stage.workspace)?);
        Ok(stage)
    }

    /// Applies the `LdapConfig` named `corp` with these further lines in its spec.
    pub async fn apply(&self, more: &str) -> Result<()> {
        self.workspace.apply(&ldap_config(&self.directory.ldaps_url()?, more)).await
    }

    /// The same, and waits until it is Ready.
    pub async fn ready(&self, more: &str) -> Result<Value> {
        self.apply(more).await?;
        self.workspace.wait_until_ready("LdapConfig", "corp").await
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.workspace.client().clone(), self.workspace.namespace())
    }

    /// The entries of the Deployment's container that come from Secrets: Secret and key by name.
    pub async fn entries(&self) -> Result<BTreeMap<String, (String, String)>> {
        let deployment: Deployment = self.api().get("wandb").await?;
        Ok(entries_of(&deployment.spec.context("spec")?.template.spec.context("pod")?))
    }

    /// The numbers of the revisions of a Secret, ascending.
    pub async fn revisions(&self, secret: &str) -> Result<Vec<u64>> {
        let secrets = self.api::<Secret>().list(&ListParams::default()).await?;
        let number = |other: &Secret| other.name_any().strip_prefix(&format!("{secret}-"))?.parse().ok();
        let mut numbers: Vec<u64> = secrets.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Fails where a pod ever referred to what was not there.
    pub fn expect_no_broken_reference(&self) -> Result<()> {
        let broken = self.player.broken_references();
        ensure!(broken.is_empty(), "{broken:#?}\n{}", self.player.history());
        Ok(())
    }

    /// Fails where fewer pods than the Deployment's two were ready at any moment since both were, and shows what
    /// led to it.
    pub async fn expect_two_ready_always(&self) -> Result<()> {
        self.expect_ready_always(REPLICAS).await
    }

    /// The same for one of the two, where somebody changes the pod template and the operator changes it back
    /// during that rollout.
    ///
    /// Kubernetes does not keep its own promise then, with or without an operator: the Deployment controller counts
    /// available pods by the status of `ReplicaSet`s, and that of a set which was scaled down a moment ago still has
    /// the pod that is being deleted. When the template returns to that set, one pod too many is taken from the other.
    pub async fn expect_one_ready_always(&self) -> Result<()> {
        self.expect_ready_always(REPLICAS - 1).await
    }

    async fn expect_ready_always(&self, expected: usize) -> Result<()> {
        let fewest = self.player.fewest_ready(DEPLOYMENT, REPLICAS).await?;
        if fewest >= Some(expected) {
            return Ok(());
        }
        let mut requests = ControlPlane::shared().await?.audit_in(self.workspace.namespace())?;
        let changes = |event: &AuditEvent| !["get", "list", "watch"].contains(&event.verb.as_str());
        let kinds = ["deployments", "replicasets", "pods"];
        requests.retain(|event| changes(event) && kinds.contains(&event.resource.as_str()));
        let line = |event: &AuditEvent| {
            let AuditEvent { timestamp, user, verb, resource, subresource, name, code, .. } = event;
            format!("{timestamp} {user}: {verb} {resource}/{subresource} {name} ({code})\n")
        };
        let requests: String = requests.iter().map(line).collect();
        bail!(
            "{fewest:?} pods were ready at some moment, and {expected} should have been:\n{}\nThe requests:\n{requests}",
            self.player.history()
        )
    }

    /// The pods that are there and not on their way out.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?;
        Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }
}

/// Waits until so many pods whose names have this prefix were ready at the same time.
pub async fn player_has_ready(player: &PodPlayer, prefix: &str, replicas: usize) -> Result<()> {
    eventually("ready pods", || async { Ok(player.has_had_ready(prefix, replicas).then_some(())) }).await
}

/// Secret and key of every entry that comes from a Secret, by name.
pub fn entries_of(pod: &k8s_openapi::api::core::v1::PodSpec) -> BTreeMap<String, (String, String)> {
    let containers = pod.containers.iter().flat_map(|container| container.env.iter().flatten());
    containers
        .filter_map(|entry| {
            let reference = entry.value_from.as_ref()?.secret_key_ref.as_ref()?;
            Some((entry.name.clone(), (reference.name.clone(), reference.key.clone())))
        })
        .collect()
}

/// Whether the pod's entries come from this Secret.
pub fn refers_to(pod: &Pod, secret: &str) -> bool {
    let spec = pod.spec.as_ref();
    spec.is_some_and(|spec| entries_of(spec).values().any(|(name, _)| name == secret))
}

/// Whether the pod takes requests.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
