//! The W&B operator's own resource: the values arrive in what that operator makes of it, and stay there.

mod conversion;
pub mod first_version;
mod git_ops;
mod imported;
pub mod second_version;
mod shapes;
mod takeover;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind, NamespaceResourceScope},
};
use serde_json::{Value, json};
use test_support::{
    Certificate, ControlPlane, OpenIdProvider, PodPlayer, Slapd, WandbOperator, Workspace, condition,
    definitions::{StoredVersion, weights_and_biases},
    pods::Life,
};
use wandb_auth_operator::{
    api::custom_resource_definitions,
    workloads::{Target, read},
};

use super::{Stage, entries_of, eventually, other_resources::is_gone, player_has_ready, refers_to};
use crate::world::{certificate, directory, ldap_config, oidc_provider, operator, provider, put_references};

const TARGET: &str = "target: {weightsAndBiases: {name: wandb}}";

/// A namespace with a `WeightsAndBiases` named `wandb`, the stand-in that manages it, played pods, and
/// this operator.
struct Scene {
    certificate: Certificate,
    directory: Slapd,
    provider: OpenIdProvider,
    player: PodPlayer,
    workspace: Workspace,
    resources: Api<DynamicObject>,
    /// As it was before anything was delivered.
    before: Value,
    // Killed when dropped.
    vendor: Option<WandbOperator>,
    _operator: test_support::Operator,
}

impl Scene {
    async fn open(
        plane: &ControlPlane,
        stored: StoredVersion,
        vendor: impl FnOnce(&Workspace) -> Result<WandbOperator>,
        spec: Value,
    ) -> Result<Self> {
        let mut definitions = custom_resource_definitions();
        definitions.push(weights_and_biases(stored)?);
        let workspace = Workspace::create(plane, &definitions).await?;
        let certificate = certificate()?;
        put_references(&workspace, &certificate).await?;
        let version = if stored == StoredVersion::V2 { "v2" } else { "v1" };
        let resource = resource(version);
        let resources = resources(&workspace, version);
        let object = DynamicObject::new("wandb", &resource).data(json!({"spec": spec}));
        resources.patch("wandb", &PatchParams::apply("test"), &Patch::Apply(&object)).await?;
        let target = Target::WeightsAndBiases { name: "wandb".to_owned() };
        eventually("API discovery", || async {
            let seen = read(workspace.client(), workspace.namespace(), &target).await;
            Ok(seen.is_ok_and(|seen| seen.is_some()).then_some(()))
        })
        .await?;
        let mut scene = Self {
            directory: directory(&certificate)?,
            provider: provider(&certificate)?,
            player: PodPlayer::start(&workspace, |_| Life::Ready)?,
            before: Value::Null,
            vendor: Some(vendor(&workspace)?),
            _operator: operator(&workspace)?,
            certificate,
            workspace,
            resources,
        };
        player_has_ready(&scene.player, "wandb", 1).await?;
        // The W&B operator has added what nobody set.
        scene.before = scene.spec().await?;
        Ok(scene)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.workspace.client().clone(), self.workspace.namespace())
    }

    /// Applies the `LdapConfig` in test mode with these further lines in its spec.
    async fn apply_ldap(&self, more: &str) -> Result<()> {
        let more = format!("login: false\n{TARGET}\n{more}");
        self.workspace.apply(&ldap_config(&self.directory.ldaps_url()?, &more)).await
    }

    async fn apply_oidc(&self) -> Result<()> {
        self.workspace.apply(&oidc_provider(self.provider.issuer(), TARGET)).await
    }

    /// Applies both, and waits until pods run with both.
    async fn deliver_both(&self) -> Result<()> {
        self.apply_ldap("").await?;
        self.apply_oidc().await?;
        for (kind, name) in [("LdapConfig", "corp"), ("OidcProvider", "main")] {
            let status = self.workspace.wait_until_ready(kind, name).await?;
            let rolled_out = condition(&status, "RolledOut").context("no condition")?;
            ensure!(
                rolled_out["reason"] == "RolledOut" && status.get("revision") == Some(&json!(1)),
                "{status:#}"
            );
        }
        Ok(())
    }

    async fn spec(&self) -> Result<Value> {
        Ok(self.resources.get("wandb").await?.data.get("spec").cloned().unwrap_or_default())
    }

    /// The paths of the fields that this operator's managers own, both together.
    async fn owned(&self) -> Result<BTreeSet<String>> {
        let object = self.resources.get("wandb").await?;
        let entries = object.metadata.managed_fields.into_iter().flatten();
        let ours = entries.filter(|entry| {
            let manager = entry.manager.as_deref().unwrap_or_default();
            ["wandb-auth-operator/ldapconfig/corp", "wandb-auth-operator/oidcprovider/main"]
                .contains(&manager)
        });
        let mut paths = BTreeSet::new();
        ours.filter_map(|entry| entry.fields_v1).for_each(|fields| leaves(&fields.0, "", &mut paths));
        Ok(paths)
    }

    async fn merge(&self, patch: &Value) -> Result<()> {
        let how = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        self.resources.patch("wandb", &how, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Takes the list of authorities out of a spec, and shows that both resources' entries are in it.
    fn take_authorities(&self, spec: &mut Value, global: &str) -> Result<()> {
        let global = spec.pointer_mut(global).and_then(Value::as_object_mut).context("no map")?;
        let list = global.remove("customCACerts").context("no authorities")?;
        let mut list: Vec<String> = serde_json::from_value(list)?;
        list.sort();
        let pem = self.certificate.authority_pem.trim();
        let entry = |title: &str| format!("# wandb-auth-operator/{title}\n{pem}\n");
        ensure!(list == [entry("ldapconfig/corp"), entry("oidcprovider/main")], "{list:#?}");
        Ok(())
    }

    /// The entries of a Deployment that come from Secrets: Secret and key by name.
    async fn entries(&self, deployment: &str) -> Result<BTreeMap<String, (String, String)>> {
        let deployment: Deployment = self.api().get(deployment).await?;
        Ok(entries_of(&deployment.spec.context("spec")?.template.spec.context("pod")?))
    }

    /// The pods that are there and not on their way out.
    async fn pods(&self) -> Result<Vec<Pod>> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?;
        Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Shows that there are so many pods, and that each refers to these Secrets and was given the authority.
    async fn pods_run_with(&self, count: usize, secrets: &[&str]) -> Result<()> {
        let pods = self.pods().await?;
        ensure!(pods.len() == count, "{pods:#?}");
        for pod in pods {
            ensure!(secrets.iter().all(|secret| refers_to(&pod, secret)), "{pod:#?}");
            let inputs = self.player.environment_of(&pod.name_any()).context("it did not start")?;
            let mut files = inputs.files.iter();
            let is_authority = |(path, contents): (&String, &Vec<u8>)| {
                path.starts_with("/usr/local/share/ca-certificates/")
                    && Path::new(path).extension().is_some_and(|extension| extension == "crt")
                    && String::from_utf8_lossy(contents).contains(self.certificate.authority_pem.trim())
            };
            ensure!(files.any(is_authority), "{:?}", inputs.files.keys());
        }
        Ok(())
    }

    /// The names of the revisions of both resources.
    async fn revisions(&self) -> Result<Vec<String>> {
        let secrets = self.api::<Secret>().list(&ListParams::default()).await?;
        let names = secrets.iter().map(ResourceExt::name_any);
        Ok(names.filter(|name| name.starts_with("corp-ldap-") || name.starts_with("main-oidc-")).collect())
    }

    /// Lets pods crash that refer to this Secret.
    fn crash_with(&self, secret: &str) {
        let secret = secret.to_owned();
        self.player.change_script(move |pod| {
            if refers_to(pod, &secret) {
                Life::CrashLooping { exit_code: 3, message: "panic: no such attribute".to_owned() }
            } else {
                Life::Ready
            }
        });
    }

    /// Deletes both resources while the pods without their entries do not become ready; then these do.
    ///
    /// Until then pods of before serve people, so what these refer to stays, and they can start again.
    async fn delete_both(&self) -> Result<()> {
        self.player.change_script(|pod| {
            let is_of_before = mentions(pod, "corp-ldap-") && mentions(pod, "main-oidc-");
            if is_of_before { Life::Ready } else { Life::NeverReady }
        });
        // A pod of the rollout before may be on its way out.
        let serving = eventually("pods of the last rollout only", || async {
            let deployments = self.api::<Deployment>().list(&ListParams::default()).await?;
            let pods: Vec<_> = self.pods().await?.iter().map(ResourceExt::name_any).collect();
            let wanted = deployments.iter().filter_map(finished_replicas).sum::<i32>();
            let all_finished = deployments.iter().all(|each| finished_replicas(each).is_some());
            Ok((all_finished && i32::try_from(pods.len())? == wanted).then_some(pods))
        })
        .await?;
        let owners = [("LdapConfig", "corp"), ("OidcProvider", "main")];
        for (kind, name) in owners {
            self.workspace.resources(kind)?.delete(name, &DeleteParams::default()).await?;
        }
        eventually("a resource without entries", || async {
            Ok((self.spec().await? == self.before).then_some(()))
        })
        .await?;
        let kept = self.revisions().await?;
        // Kubernetes would replace a pod that is not ready while there are new ones still to make.
        eventually("the next pods", || async {
            let pods = self.pods().await?;
            let next = pods.iter().filter(|pod| !mentions(pod, "corp-ldap-") && !mentions(pod, "main-oidc-"));
            Ok((pods.len() == 2 * serving.len() && next.count() == serving.len()).then_some(()))
        })
        .await?;
        for pod in &serving {
            let before = self.player.starts_of(pod).len();
            self.player.restart(pod);
            eventually("the container's next start", || async {
                Ok((self.player.starts_of(pod).len() > before).then_some(()))
            })
            .await?;
        }
        ensure!(kept.iter().any(|name| name.starts_with("corp-ldap-")), "{kept:?}");
        ensure!(kept.iter().any(|name| name.starts_with("main-oidc-")), "{kept:?}");
        self.player.change_script(|_| Life::Ready);
        for (kind, name) in owners {
            is_gone(&self.workspace, kind, name).await?;
        }
        ensure!(self.spec().await? == self.before, "{:#}", self.spec().await?);
        ensure!(self.revisions().await?.is_empty());
        let left = self.pods().await?;
        ensure!(left.len() == serving.len() && left.iter().all(|pod| !serving.contains(&pod.name_any())));
        Ok(())
    }

    fn expect_no_broken_reference(&self) -> Result<()> {
        let broken = self.player.broken_references();
        ensure!(broken.is_empty(), "{broken:#?}");
        Ok(())
    }
}

/// The number of pods of a Deployment, once all of them are of its present template.
fn finished_replicas(deployment: &Deployment) -> Option<i32> {
    let status = deployment.status.as_ref()?;
    let wanted = deployment.spec.as_ref()?.replicas.unwrap_or(1);
    let is_seen = status.observed_generation == deployment.metadata.generation;
    let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
    (is_seen && counts.iter().all(|count| count.unwrap_or(0) == wanted)).then_some(wanted)
}

/// A namespace like that of other workloads, with a `WeightsAndBiases` of this spec and the W&B operator that looks
/// after it; without an operator of ours yet.
async fn stage(
    plane: &ControlPlane,
    stored: StoredVersion,
    spec: &Value,
    vendor: impl FnOnce(&Workspace) -> Result<WandbOperator>,
) -> Result<(Stage, WandbOperator)> {
    let mut definitions = custom_resource_definitions();
    definitions.push(weights_and_biases(stored)?);
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = Workspace::create(plane, &definitions).await?;
    let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    put_references(&workspace, &certificate).await?;
    let version = if stored == StoredVersion::V2 { "v2" } else { "v1" };
    let server = json!({
        "apiVersion": format!("apps.wandb.com/{version}"), "kind": "WeightsAndBiases",
        "metadata": {"name": "wandb"}, "spec": spec,
    });
    workspace.apply(&server.to_string()).await?;
    let vendor = vendor(&workspace)?;
    Ok((Stage { directory, player, workspace, operator: None }, vendor))
}

/// The W&B operator's resource in this version.
fn resource(version: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk("apps.wandb.com", version, "WeightsAndBiases");
    ApiResource::from_gvk_with_plural(&kind, "weightsandbiases")
}

fn resources(workspace: &Workspace, version: &str) -> Api<DynamicObject> {
    Api::namespaced_with(workspace.client().clone(), workspace.namespace(), &resource(version))
}

/// Whether the pod refers to a Secret whose name begins like this.
fn mentions(pod: &Pod, prefix: &str) -> bool {
    let spec = pod.spec.as_ref();
    spec.is_some_and(|spec| entries_of(spec).values().any(|(name, _)| name.starts_with(prefix)))
}

/// The paths of a set of fields, as far as nothing is below them.
fn leaves(fields: &Value, path: &str, paths: &mut BTreeSet<String>) {
    for (name, below) in fields.as_object().into_iter().flatten().filter(|(name, _)| *name != ".") {
        let name = name.strip_prefix("f:").unwrap_or(name);
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if below.as_object().is_some_and(|below| below.keys().any(|name| name != ".")) {
            leaves(below, &path, paths);
        } else {
            paths.insert(path);
        }
    }
}
