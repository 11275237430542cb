//! Helm, kubectl, Argo CD and Flux that own the entries: what they do while they still have them, and how they give
//! them up, as `docs/delivery/adopting` says.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{ControlPlane, GitOps, Helm, User, condition, gitops::ArgoApply, pods::WandbWorkload};

use super::{Environment, Running, brownfield, by_hand, set_target, target};
use crate::{
    delivery::{Stage, entries_of, eventually, history::History, player_has_ready, workloads::NAMES},
    world::operator,
};

/// What the API server says of a literal beside our reference.
const REFUSAL: &str = "may not be specified when `value` is not empty";

/// The server's manifest with what a person had set, and without, by a tool that is yet to apply it.
struct Repository {
    stage: Stage,
    before: Environment,
    with: Value,
    without: Value,
}

impl Repository {
    async fn new(workload: WandbWorkload) -> Result<Self> {
        // The stage's own workload is another one, since the tool makes this one.
        let stage = Stage::quiet(&WandbWorkload::deployment("other")).await?;
        let before = by_hand();
        let with = brownfield(&stage.workspace, workload.clone(), &before).await?;
        let placed = |workload: &WandbWorkload| -> Result<Value> {
            let mut manifest: Value = serde_json::from_str(&workload.manifest())?;
            manifest["metadata"]["namespace"] = stage.workspace.namespace().into();
            Ok(manifest)
        };
        // What the person takes out; the rest of the manifest stays.
        let (with, mut without) = (placed(&with)?, placed(&with)?);
        let entries =
            without.pointer_mut("/spec/template/spec/containers/0/env").and_then(Value::as_array_mut);
        entries
            .context("entries")?
            .retain(|entry| entry["name"].as_str().is_none_or(|name| !before.contains_key(name)));
        Ok(Self { stage, before, with, without })
    }

    /// Waits for the pods, and lets the resource take their entries over.
    async fn taken_over(mut self, spec: &str) -> Result<(Running, Value, Value)> {
        player_has_ready(&self.stage.player, "wandb", 2).await?;
        self.stage.operator = Some(operator(&self.stage.workspace)?);
        let history = match self.with["kind"].as_str() {
            Some("StatefulSet") => History::begin_of_set(&self.stage).await?,
            _ => History::begin(&self.stage).await?,
        };
        let running = Running { stage: self.stage, history, before: self.before };
        running.stage.ready(spec).await?;
        Ok((running, self.with, self.without))
    }
}

/// Waits until the newest version of the template has every entry from this revision.
async fn until_delivered(running: &Running, secret: &str) -> Result<()> {
    eventually("every entry", || async {
        let template = running.history.templates().await?.pop().context("a template")?;
        let entries = entries_of(&template);
        let is_ours = |name: &str| entries.get(name).is_some_and(|(of, _)| of == secret);
        Ok(NAMES.iter().all(|name| is_ours(name)).then_some(()))
    })
    .await
}

/// Fails where any pod ever started without a variable that was there.
fn expect_no_pod_without(running: &Running) -> Result<()> {
    let player = &running.stage.player;
    for pod in player.pods().iter().filter(|pod| pod.starts_with("wandb")) {
        for inputs in player.starts_of(pod) {
            for name in running.names() {
                ensure!(inputs.environment.contains_key(&name), "{pod} started without {name}: {inputs:#?}");
            }
        }
    }
    running.stage.expect_no_broken_reference()
}

/// Helm with a chart of one manifest.
struct Release {
    helm: Helm,
    chart: TempDir,
    namespace: String,
    kubeconfig: &'static Path,
}

impl Release {
    async fn new(namespace: &str) -> Result<Self> {
        let chart = tempfile::tempdir()?;
        fs::write(chart.path().join("Chart.yaml"), "apiVersion: v2\nname: server\nversion: 1.0.0\n")?;
        fs::create_dir(chart.path().join("templates"))?;
        let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
        let helm = Helm::with_chart(chart.path().to_owned())?;
        Ok(Self { helm, chart, namespace: namespace.to_owned(), kubeconfig })
    }

    fn upgrade(&self, manifest: &Value, how: &str) -> Result<String> {
        fs::write(self.chart.path().join("templates/wandb.yaml"), manifest.to_string())?;
        let kubeconfig = self.kubeconfig.to_str().context("a path")?;
        self.helm.run(&[
            "upgrade",
            "--install",
            "server",
            self.helm.chart()?,
            "--kubeconfig",
            kubeconfig,
            "--namespace",
            &self.namespace,
            how,
        ])
    }
}

/// As Helm 3 does everything: entries that leave the chart are deleted by their names, whoever has them by then.
const BY_THE_CLIENT: &str = "--server-side=false";

#[tokio::test]
async fn helm_on_the_clients_side_gives_the_entries_up_while_the_deployment_is_paused() -> Result<()> {
    let repository = Repository::new(WandbWorkload::deployment("wandb")).await?;
    let release = Release::new(repository.stage.workspace.namespace()).await?;
    release.upgrade(&repository.with, BY_THE_CLIENT)?;
    let (running, with, without) = repository.taken_over(&target("Replace")).await?;
    let stage = &running.stage;

    // With the literals still in its values, an upgrade fails and changes nothing.
    let refusal = release.upgrade(&with, BY_THE_CLIENT).err().context("it was taken")?.to_string();
    ensure!(refusal.contains(REFUSAL), "{refusal}");
    running.expect_never_without().await?;

    let deployments: Api<Deployment> = stage.api();
    let paused = |is_paused: bool| Patch::Merge(json!({"spec": {"paused": is_paused}}));
    deployments.patch("wandb", &PatchParams::default(), &paused(true)).await?;
    release.upgrade(&without, BY_THE_CLIENT)?;
    until_delivered(&running, "corp-ldap-2").await?;
    deployments.patch("wandb", &PatchParams::default(), &paused(false)).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_no_pod_without(&running)?;

    // From now on they are nobody else's.
    let before = running.history.templates().await?;
    release.upgrade(&without, BY_THE_CLIENT)?;
    assert_eq!(running.history.templates().await?, before);
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_no_pod_without(&running)
}

#[tokio::test]
async fn helm_on_the_clients_side_gives_the_entries_up_while_no_pod_of_a_set_is_replaced() -> Result<()> {
    let repository = Repository::new(WandbWorkload::stateful_set("wandb")).await?;
    let release = Release::new(repository.stage.workspace.namespace()).await?;
    release.upgrade(&repository.with, BY_THE_CLIENT)?;
    let (running, with, without) = repository.taken_over(&set_target("Replace")).await?;
    let stage = &running.stage;
    let refusal = release.upgrade(&with, BY_THE_CLIENT).err().context("it was taken")?.to_string();
    ensure!(refusal.contains(REFUSAL), "{refusal}");

    let sets: Api<StatefulSet> = stage.api();
    let partition = |partition: Value| {
        Patch::Merge(json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}}))
    };
    sets.patch("wandb", &PatchParams::default(), &partition(2.into())).await?;
    release.upgrade(&without, BY_THE_CLIENT)?;
    until_delivered(&running, "corp-ldap-2").await?;
    sets.patch("wandb", &PatchParams::default(), &partition(0.into())).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_no_pod_without(&running)
}

/// A tool that applies on the server's side, by what it does with a manifest.
async fn gives_up_at_once(
    repository: Repository,
    refusal: &str,
    apply: impl Fn(&Value) -> Result<()>,
) -> Result<()> {
    apply(&repository.with)?;
    let (running, with, without) = repository.taken_over(&target("Replace")).await?;
    // With the literals still in its manifest, it fails and changes nothing.
    let told = format!("{:#}", apply(&with).err().context("it was taken")?);
    ensure!(told.contains(refusal), "{told}");
    let before = running.history.templates().await?;
    running.expect_never_without().await?;

    apply(&without)?;
    until_delivered(&running, "corp-ldap-2").await?;
    assert_eq!(running.history.templates().await?, before, "there was nothing to give up");
    running.stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    apply(&without)?;
    running.expect_never_without().await
}

#[tokio::test]
async fn helm_on_the_servers_side_gives_the_entries_up_at_once() -> Result<()> {
    let repository = Repository::new(WandbWorkload::deployment("wandb")).await?;
    let release = Release::new(repository.stage.workspace.namespace()).await?;
    let apply = |manifest: &Value| release.upgrade(manifest, "--server-side=true").map(drop);
    let refusal = "conflicts with \"wandb-auth-operator/ldapconfig/corp\"";
    Box::pin(gives_up_at_once(repository, refusal, apply)).await
}

#[tokio::test]
async fn flux_gives_the_entries_up_at_once() -> Result<()> {
    let (tools, kubeconfig) = (GitOps::install()?, ControlPlane::shared().await?.kubeconfig(User::Admin));
    let repository = Repository::new(WandbWorkload::deployment("wandb")).await?;
    let apply = |manifest: &Value| tools.flux_apply(kubeconfig, std::slice::from_ref(manifest)).map(drop);
    Box::pin(gives_up_at_once(repository, REFUSAL, apply)).await
}

#[tokio::test]
async fn argo_cd_on_the_servers_side_gives_the_entries_up_at_once() -> Result<()> {
    let (tools, kubeconfig) = (GitOps::install()?, ControlPlane::shared().await?.kubeconfig(User::Admin));
    let repository = Repository::new(WandbWorkload::deployment("wandb")).await?;
    let apply = |manifest: &Value| {
        tools.argo_apply(kubeconfig, std::slice::from_ref(manifest), ArgoApply::ServerSide)
    };
    Box::pin(gives_up_at_once(repository, REFUSAL, apply)).await
}

#[tokio::test]
async fn references_that_flux_forces_stay_within_three_rounds_and_leave_no_empty_entry() -> Result<()> {
    let (tools, kubeconfig) = (GitOps::install()?, ControlPlane::shared().await?.kubeconfig(User::Admin));
    let mut repository = Repository::new(WandbWorkload::deployment("wandb")).await?;
    // Nothing of theirs is a literal, which the API server would refuse beside a reference of ours.
    repository.stage.workspace.put_secret("theirs", &[("dn", "dc=old,dc=example,dc=com")]).await?;
    let entries = repository.with.pointer_mut("/spec/template/spec/containers/0/env").context("env")?;
    let entries = entries.as_array_mut().context("entries")?;
    entries.retain(|entry| entry["name"].as_str().is_none_or(|name| !repository.before.contains_key(name)));
    let reference = json!({"secretKeyRef": {"name": "theirs", "key": "dn"}});
    entries.push(json!({"name": "LOCAL_LDAP_BASE_DN", "valueFrom": reference}));
    repository.before.retain(|name, _| name == "LOCAL_LDAP_BASE_DN");
    let apply = |manifest: &Value| tools.flux_apply(kubeconfig, std::slice::from_ref(manifest)).map(drop);
    apply(&repository.with)?;
    let (running, with, without) = repository.taken_over(&target("Replace")).await?;
    let workspace = &running.stage.workspace;
    let mut rounds = 0;
    loop {
        apply(&with)?;
        rounds += 1;
        let is_left = eventually("an answer", || async {
            let status = workspace.status("LdapConfig", "corp").await?;
            let rolled_out = condition(&status, "RolledOut");
            if rolled_out.is_some_and(|rolled_out| rolled_out["reason"] == "FieldConflict") {
                return Ok(Some(true));
            }
            let entries = running.stage.entries().await?;
            Ok(entries.get("LOCAL_LDAP_BASE_DN").filter(|(of, _)| of != "theirs").map(|_| false))
        })
        .await?;
        if is_left {
            break;
        }
    }
    assert_eq!(rounds, 3);
    let entries = running.stage.entries().await?;
    assert_eq!(entries.get("LOCAL_LDAP_BASE_DN").map(|(of, _)| of.as_str()), Some("theirs"));

    // What it gives up now is ours at once: an entry without any value would be a setting, too.
    apply(&without)?;
    until_delivered(&running, "corp-ldap-2").await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    running.history.expect_variables(&running.names()).await?;
    running.stage.expect_no_broken_reference()
}

/// Where `kubectl apply`, and Argo CD by default, keep what they applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[tokio::test]
async fn kubectl_and_argo_cd_give_the_entries_up_once_they_forgot_them() -> Result<()> {
    let (tools, kubeconfig) = (GitOps::install()?, ControlPlane::shared().await?.kubeconfig(User::Admin));
    let repository = Repository::new(WandbWorkload::deployment("wandb")).await?;
    let apply = |manifest: &Value| {
        tools.argo_apply(kubeconfig, std::slice::from_ref(manifest), ArgoApply::ClientSide)
    };
    apply(&repository.with)?;
    let (running, with, without) = repository.taken_over(&target("Replace")).await?;
    let refusal = format!("{:#}", apply(&with).err().context("it was taken")?);
    ensure!(refusal.contains(REFUSAL), "{refusal}");

    // `kubectl apply set-last-applied -f`: what is not remembered is not deleted.
    let annotation = json!({"metadata": {"annotations": {LAST_APPLIED: without.to_string()}}});
    let deployments: Api<Deployment> = running.stage.api();
    deployments.patch("wandb", &PatchParams::default(), &Patch::Merge(annotation)).await?;
    let before = running.history.templates().await?;
    apply(&without)?;
    until_delivered(&running, "corp-ldap-2").await?;
    assert_eq!(running.history.templates().await?, before, "there was nothing to give up");
    running.stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    apply(&without)?;
    running.expect_never_without().await
}
