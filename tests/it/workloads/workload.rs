//! Deployments and `StatefulSet`s, with the API server's own idea of who has which field.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Container, EnvVar, Pod},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use test_support::{ControlPlane, User, Workspace};
use wandb_auth_operator::{
    api::Reason,
    engine::{CA_FILE, Env, Values},
    error::StepError,
    problem::Problem,
    workloads::{
        ApplyResult, Change, Delivery, Observer, Owner, Rollout, RolloutDeadline, Sightings, Target,
        TargetSnapshot, WorkloadAddress, apply_change, delete_stuck_pods, in_use, read,
    },
};

use crate::world::{PATIENCE, eventually, workspace};

const ADDRESS: Env = Env { local: Some("LOCAL_LDAP_ADDRESS"), split: &["LDAP_ADDRESS"], field: None };
const LOGIN: Env = Env { local: Some("LOCAL_LDAP_LOGIN"), split: &["LDAP_LOGIN"], field: None };
const ENVIRONMENT: &[Env] = &[ADDRESS, LOGIN];

/// A W&B Server as a person would deploy it, with room for the kind of workload.
const WORKLOAD: &str = "
apiVersion: apps/v1
kind: KIND
metadata: {name: wandb}
spec:
  replicas: 1
  selector: {matchLabels: {app: wandb}}
  template:
    metadata: {labels: {app: wandb}}
    spec:
      containers:
      - name: wandb
        image: wandb/local:test
        env:
        - {name: HOST, value: 'https://wandb.example.com'}
        volumeMounts:
        - {name: data, mountPath: /vol}
      volumes:
      - {name: data, emptyDir: {}}
";

/// A namespace with W&B Server, and an owner that delivers to it.
struct Delivering {
    workspace: Workspace,
    target: Target,
    owner: Owner,
}

impl Delivering {
    async fn to(target: Target) -> Result<Self> {
        let workspace = workspace().await?;
        workspace.apply(&WORKLOAD.replace("KIND", target.kind())).await?;
        Ok(Self { workspace, target, owner: owner("corp") })
    }

    async fn to_deployment() -> Result<Self> {
        Self::to(Target::Deployment(address())).await
    }

    fn client(&self) -> &Client {
        self.workspace.client()
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client().clone(), self.workspace.namespace())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client().clone(), self.workspace.namespace())
    }

    async fn deployment(&self) -> Result<Deployment> {
        Ok(self.deployments().get("wandb").await?)
    }

    async fn seen(&self) -> Result<TargetSnapshot> {
        let seen = read(self.client(), self.workspace.namespace(), &self.target).await?;
        seen.context("the target")
    }

    async fn apply_change(&self, seen: &TargetSnapshot, change: &Change) -> Result<ApplyResult, StepError> {
        apply_change(self.client(), self.workspace.namespace(), seen, &self.owner, change).await
    }

    /// Deletes the pods that refer to revision 1 and are not ready.
    async fn delete_stuck(&self, seen: &TargetSnapshot) -> Result<(), StepError> {
        let stuck = BTreeSet::from([1]);
        delete_stuck_pods(self.client(), self.workspace.namespace(), seen, &self.owner, &stuck).await
    }

    /// Makes changes until there is none to make, as the operator does; what was made.
    async fn settle(&self, delivery: Option<(u64, &Values)>) -> Result<Vec<Change>> {
        self.settle_as(&self.owner, delivery, &[]).await
    }

    async fn settle_as(
        &self,
        owner: &Owner,
        delivery: Option<(u64, &Values)>,
        yielding: &[Owner],
    ) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        // The Deployment's controller writes, too, so the version that was seen may be old at once.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let seen = self.seen().await?;
            let delivery = delivery.map(|(number, values)| delivery_of(number, values));
            let Some(change) = told(seen.change(owner, delivery.as_ref(), yielding))? else {
                return Ok(changes);
            };
            let made = apply_change(self.client(), self.workspace.namespace(), &seen, owner, &change).await?;
            if made == ApplyResult::Changed {
                changes.push(change);
            }
            ensure!(changes.len() < 5, "it does not end: {changes:?}");
        }
        bail!("still stale")
    }

    /// Changes the pod template as this field manager.
    async fn edit(&self, manager: &str, edit: impl Fn(&mut Container)) -> Result<()> {
        let begun = Instant::now();
        loop {
            let mut deployment = self.deployment().await?;
            let spec = deployment.spec.as_mut().and_then(|spec| spec.template.spec.as_mut());
            edit(spec.and_then(|spec| spec.containers.first_mut()).context("a container")?);
            let how = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
            match self.deployments().replace("wandb", &how, &deployment).await {
                Err(kube::Error::Api(status)) if status.is_conflict() && begun.elapsed() < PATIENCE => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// What the owner's manager has, as the API server tells it.
    async fn fields(&self) -> Result<Option<Value>> {
        let deployment = self.deployment().await?;
        let mut entries = deployment.managed_fields().iter();
        let entry = entries.find(|entry| entry.manager.as_ref() == Some(&self.owner.manager));
        Ok(entry.and_then(|entry| Some(entry.fields_v1.as_ref()?.0.clone())))
    }

    /// The pods of W&B Server, once there is one that satisfies this.
    async fn wait_for_pod(&self, is_right: impl Fn(&Pod) -> bool) -> Result<Pod> {
        eventually("such a pod", || async {
            let pods = self.pods().list(&ListParams::default().labels("app=wandb")).await?;
            Ok(pods.into_iter().find(&is_right))
        })
        .await
    }

    async fn rollout(&self, number: Option<u64>) -> Result<Rollout> {
        self.look(number, &mut Sightings::default()).await
    }

    /// The same after the looks that the sightings hold.
    async fn look(&self, number: Option<u64>, sightings: &mut Sightings) -> Result<Rollout> {
        let seen = self.seen().await?;
        let (client, namespace) = (self.client(), self.workspace.namespace());
        let mut observer =
            Observer { client, namespace, owner: &self.owner, patience: patience(), sightings };
        Ok(observer.rollout(&seen, number).await?)
    }

    async fn in_use(&self) -> Result<BTreeSet<u64>> {
        let seen = self.seen().await?;
        Ok(in_use(self.client(), self.workspace.namespace(), Some(&seen), &self.owner).await?)
    }
}

fn address() -> WorkloadAddress {
    WorkloadAddress { name: "wandb".to_owned(), container: None }
}

fn owner(name: &str) -> Owner {
    Owner::new("LdapConfig", "ldap", "wandb-auth-operator/ldapconfig", name, format!("{name}-ldap"))
}

fn values() -> Values {
    let mut values = Values::default();
    values.set(ADDRESS, "ldaps://ldap.example.com");
    values.set(LOGIN, "true");
    values
}

fn values_with_file() -> Values {
    let mut values = values();
    values.set_file(CA_FILE, "certificates");
    values
}

/// Ten minutes for pods, and no time for a container that fails.
fn patience() -> RolloutDeadline {
    RolloutDeadline {
        limit: Duration::from_mins(10),
        failure: Duration::ZERO,
        since: None,
        now: Timestamp::now(),
        instant: Instant::now(),
    }
}

fn delivery_of(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: ENVIRONMENT, values }
}

/// The problem that kept something from being done.
fn problem_of<T>(result: Result<T, StepError>) -> Result<Problem> {
    match result {
        Ok(_) => bail!("it was done"),
        Err(StepError::Problem(problem)) => Ok(problem),
        Err(error) => Err(error.into()),
    }
}

fn told<T>(result: Result<T, Problem>) -> Result<T> {
    result.map_err(|problem| anyhow::anyhow!("{}: {}", problem.reason, problem.message))
}

/// The container's variables, with what each refers to.
fn variables(deployment: &Deployment) -> Vec<(String, String)> {
    let spec = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let entries = spec.and_then(|spec| spec.containers.first()?.env.as_ref());
    let secret = |entry: &EnvVar| {
        let reference = entry.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some(format!("{}/{}", reference.name, reference.key))
    };
    entries
        .into_iter()
        .flatten()
        .map(|entry| (entry.name.clone(), secret(entry).unwrap_or_else(|| "literal".to_owned())))
        .collect()
}

fn point_to(secret: &str) -> impl Fn(&mut Container) {
    move |container| {
        for entry in container.env.iter_mut().flatten() {
            if let Some(reference) = entry.value_from.as_mut().and_then(|from| from.secret_key_ref.as_mut()) {
                secret.clone_into(&mut reference.name);
            }
        }
    }
}

#[tokio::test]
async fn what_is_delivered_is_exactly_what_the_owner_has() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    let before = world.deployment().await?.spec;
    let full = values_with_file();
    let begun = Timestamp::now();
    let changes = world.settle(Some((1, &full))).await?;
    let ended = Timestamp::now();
    assert!(matches!(changes.as_slice(), [Change::Apply(_)]), "{changes:?}");
    insta::assert_json_snapshot!("delivered", world.deployment().await?.spec.context("spec")?.template.spec);
    insta::assert_json_snapshot!("fields", world.fields().await?);
    assert_eq!(world.settle(Some((1, &full))).await?, [], "unchanged inputs lead to no write");

    let standing = world.seen().await?.standing(&world.owner);
    assert_eq!((standing.numbers, standing.moved), (BTreeSet::from([1]), None));
    // It is told in whole seconds.
    let applied_at = standing.applied_at.context("applied")?.as_second();
    assert!(
        (begun.as_second()..=ended.as_second()).contains(&applied_at),
        "{applied_at}: {begun} to {ended}"
    );

    // A setting without a value and a file without certificates leave nothing.
    let mut fewer = Values::default();
    fewer.set(ADDRESS, "ldaps://ldap.example.com");
    assert_eq!(world.settle(Some((2, &fewer))).await?.len(), 1);
    assert_eq!(
        variables(&world.deployment().await?),
        [
            ("HOST".into(), "literal".into()),
            ("LOCAL_LDAP_ADDRESS".into(), "corp-ldap-2/LOCAL_LDAP_ADDRESS".into()),
            ("LDAP_ADDRESS".into(), "corp-ldap-2/LDAP_ADDRESS".into())
        ]
    );

    assert_eq!(world.settle(None).await?.len(), 1);
    assert_eq!(world.deployment().await?.spec, before, "nothing stays");
    assert_eq!(world.fields().await?, None);
    assert_eq!(
        world.seen().await?.standing(&world.owner),
        wandb_auth_operator::workloads::AppliedState::default()
    );
    Ok(())
}

#[tokio::test]
async fn a_stateful_set_is_like_a_deployment() -> Result<()> {
    let world = Delivering::to(Target::StatefulSet(address())).await?;
    let full = values_with_file();
    assert_eq!(world.settle(Some((1, &full))).await?.len(), 1);
    assert_eq!(world.seen().await?.standing(&world.owner).numbers, BTreeSet::from([1]));
    assert_eq!(world.settle(None).await?.len(), 1);
    assert_eq!(world.seen().await?.standing(&world.owner).numbers, BTreeSet::new());
    Ok(())
}

#[tokio::test]
async fn entries_that_were_moved_are_told_and_taken_back() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    let full = values_with_file();
    world.settle(Some((2, &full))).await?;
    world.edit("kubectl-rollout", point_to("corp-ldap-1")).await?;
    let standing = world.seen().await?.standing(&world.owner);
    assert_eq!(standing.numbers, BTreeSet::from([1, 2]), "the volume stays");
    assert_eq!(standing.moved.context("moved")?.by, "kubectl-rollout");
    // Taken back, nothing reminds of it.
    assert_eq!(world.settle(Some((3, &full))).await?.len(), 1);
    let standing = world.seen().await?.standing(&world.owner);
    assert_eq!((standing.numbers, standing.moved), (BTreeSet::from([3]), None));
    // Also where the delivery is what they were moved to.
    world.edit("kubectl-rollout", point_to("corp-ldap-1")).await?;
    world.settle(Some((1, &full))).await?;
    assert_eq!(world.seen().await?.standing(&world.owner).moved, None);
    Ok(())
}

#[tokio::test]
async fn entries_that_were_moved_are_taken_out_with_one_rollout() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    let before = world.deployment().await?.spec;
    world.settle(Some((2, &values_with_file()))).await?;
    world.edit("kubectl-rollout", point_to("corp-ldap-1")).await?;
    let generation = world.deployment().await?.metadata.generation.context("generation")?;
    let changes = world.settle(None).await?;
    assert!(matches!(changes.as_slice(), [Change::Merge(_), Change::Apply(_)]), "{changes:?}");
    let after = world.deployment().await?;
    assert_eq!(after.spec, before);
    assert_eq!(after.metadata.generation, Some(generation + 1));
    assert_eq!(world.fields().await?, None);
    Ok(())
}

#[tokio::test]
async fn an_entry_that_was_moved_does_not_outlive_its_setting() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    world.settle(Some((2, &values_with_file()))).await?;
    world.edit("kubectl-rollout", point_to("corp-ldap-1")).await?;
    let mut fewer = Values::default();
    fewer.set(ADDRESS, "ldaps://ldap.example.com");
    let generation = world.deployment().await?.metadata.generation.context("generation")?;
    let changes = world.settle(Some((3, &fewer))).await?;
    assert!(matches!(changes.as_slice(), [Change::Merge(_), Change::Claim(_)]), "{changes:?}");
    assert_eq!(world.deployment().await?.metadata.generation, Some(generation + 1), "one rollout");
    let names: Vec<_> = variables(&world.deployment().await?).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["HOST", "LOCAL_LDAP_ADDRESS", "LDAP_ADDRESS"]);
    let standing = world.seen().await?.standing(&world.owner);
    assert_eq!((standing.numbers, standing.moved), (BTreeSet::from([3]), None));
    Ok(())
}

#[tokio::test]
async fn an_entry_of_somebody_else_is_left_alone() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    let full = values();
    world.settle(Some((1, &full))).await?;
    world
        .edit("kubectl-set", |container| {
            for entry in container.env.iter_mut().flatten().filter(|entry| entry.name == "LOCAL_LDAP_LOGIN") {
                entry.value = Some("hunter2".to_owned());
                entry.value_from = None;
            }
        })
        .await?;
    let seen = world.seen().await?;
    let problem = seen.change(&world.owner, Some(&delivery_of(2, &full)), &[]).expect_err("refused");
    assert_eq!(problem.reason, Reason::FieldConflict);
    let message = problem.message.replace(world.workspace.namespace(), "NAMESPACE");
    insta::assert_snapshot!("conflict", message);
    // As the message says.
    world
        .edit("kubectl-set", |container| {
            container.env.iter_mut().for_each(|env| env.retain(|entry| entry.name != "LOCAL_LDAP_LOGIN"));
        })
        .await?;
    assert_eq!(world.settle(Some((2, &full))).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn entries_of_an_owner_that_yields_are_taken_over() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    let (full, other) = (values(), owner("younger"));
    world.settle_as(&other, Some((7, &full)), &[]).await?;
    let seen = world.seen().await?;
    let problem = seen.change(&world.owner, Some(&delivery_of(1, &full)), &[]).expect_err("refused");
    assert!(problem.message.contains(&other.manager), "{}", problem.message);
    world.settle_as(&world.owner, Some((1, &full)), std::slice::from_ref(&other)).await?;
    let seen = world.seen().await?;
    assert_eq!(seen.standing(&other).numbers, BTreeSet::new());
    world.settle_as(&other, None, &[]).await?;
    assert_eq!(world.seen().await?.standing(&world.owner).numbers, BTreeSet::from([1]));
    Ok(())
}

#[tokio::test]
async fn only_the_version_that_was_seen_is_changed() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    let full = values();
    let stale = world.seen().await?;
    let apply = told(stale.change(&world.owner, Some(&delivery_of(1, &full)), &[]))?.context("a change")?;
    // The patch of lists that takes moved entries out is pinned likewise.
    let merge = Change::Merge(json!({"metadata": metadata_of(&apply), "spec": {"replicas": 3}}));
    world.edit("kubectl-edit", |container| container.image = Some("wandb/local:other".to_owned())).await?;
    for change in [&apply, &merge] {
        assert!(matches!(world.apply_change(&stale, change).await?, ApplyResult::Stale(_)));
    }
    // Another object of the same name.
    world.deployments().delete("wandb", &DeleteParams::foreground()).await?;
    eventually("the end of the Deployment", || async {
        Ok(world.deployments().get_opt("wandb").await?.is_none().then_some(()))
    })
    .await?;
    for change in [&apply, &merge] {
        assert!(matches!(world.apply_change(&stale, change).await?, ApplyResult::Stale(_)));
    }
    assert!(world.deployments().get_opt("wandb").await?.is_none(), "nothing is created");
    assert!(read(world.client(), world.workspace.namespace(), &world.target).await?.is_none());
    world.workspace.apply(&WORKLOAD.replace("KIND", "Deployment")).await?;
    for change in [&apply, &merge] {
        assert!(matches!(world.apply_change(&stale, change).await?, ApplyResult::Stale(_)));
    }
    assert_eq!(world.fields().await?, None);
    Ok(())
}

fn metadata_of(change: &Change) -> Value {
    match change {
        Change::Apply(fields) | Change::Claim(fields) | Change::Merge(fields) => {
            fields.get("metadata").cloned().unwrap_or_default()
        }
        Change::Several(_) => Value::Null,
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() -> Result<()> {
    let world = Delivering::to_deployment().await?;
    world.settle(Some((1, &values_with_file()))).await?;
    // A mount of the owner's volume by somebody else keeps the volume from going.
    let volume = world.owner.volume.clone();
    world
        .edit("kubectl-edit", move |container| {
            let mount = json!({"name": volume.clone(), "mountPath": "/elsewhere"});
            container.volume_mounts.get_or_insert_default().extend(serde_json::from_value(mount));
        })
        .await?;
    let begun = Instant::now();
    let (seen, change, problem) = loop {
        let seen = world.seen().await?;
        let change =
            told(seen.change(&world.owner, Some(&delivery_of(2, &values())), &[]))?.context("a change")?;
        match world.apply_change(&seen, &change).await {
            Err(StepError::Problem(problem)) => break (seen, change, problem),
            Err(error) => return Err(error.into()),
            // The Deployment's controller writes its status.
            Ok(ApplyResult::Stale(_)) => ensure!(begun.elapsed() < PATIENCE, "still stale"),
            Ok(ApplyResult::Changed) => bail!("changed"),
        }
    };
    assert_eq!(problem.reason, Reason::TargetRefused);
    insta::assert_snapshot!("refused", problem.message);

    let plane = ControlPlane::shared().await?;
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig(User::Admin))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.auth_info.impersonate = Some("nobody".to_owned());
    let nobody = Client::try_from(config)?;
    let namespace = world.workspace.namespace();
    let sightings = &mut Sightings::default();
    let (owner, patience) = (&world.owner, patience());
    let mut observer = Observer { client: &nobody, namespace, owner, patience, sightings };
    let messages = [
        problem_of(read(&nobody, namespace, &world.target).await)?,
        problem_of(apply_change(&nobody, namespace, &seen, owner, &change).await)?,
        problem_of(observer.rollout(&seen, Some(1)).await)?,
        problem_of(in_use(&nobody, namespace, Some(&seen), owner).await)?,
    ];
    assert!(messages.iter().all(|problem| problem.reason == Reason::Forbidden), "{messages:?}");
    let messages: Vec<String> = messages.into_iter().map(|problem| problem.message).collect();
    insta::assert_snapshot!("forbidden", messages.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_rollout_is_judged_by_its_pods() -> Result<()> {
    let world = Delivering::to(Target::StatefulSet(address())).await?;
    let sets: Api<StatefulSet> = Api::namespaced(world.client().clone(), world.workspace.namespace());
    let first = world.wait_for_pod(|_| true).await?;
    set_ready(&world, &first).await?;
    world.settle(Some((1, &values()))).await?;
    let secret = |pod: &Pod| serde_json::to_string(pod).is_ok_and(|text| text.contains("corp-ldap-1"));
    let broken = world.wait_for_pod(secret).await?;
    assert!(matches!(world.rollout(Some(1)).await?, Rollout::Progressing(_)));
    let state = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let last =
        json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "cannot reach\nthe directory"}});
    let containers = json!([{
        "name": "wandb", "image": "wandb/local:test", "imageID": "", "ready": false, "restartCount": 3,
        "state": state, "lastState": last,
    }]);
    let status = json!({"status": {"phase": "Running", "containerStatuses": containers}});
    world.pods().patch_status(&broken.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await?;
    let mut sightings = Sightings::default();
    for _ in 0..2 {
        let rollout = world.look(Some(1), &mut sightings).await?;
        ensure!(matches!(rollout, Rollout::Progressing(_)), "{rollout:?}");
    }
    let Rollout::Failed(seen) = world.look(Some(1), &mut sightings).await? else { bail!("not failed") };
    insta::assert_snapshot!("evidence", seen.replace(world.workspace.namespace(), "<namespace>"));
    assert_eq!(world.in_use().await?, BTreeSet::from([1]));

    // Going back, the controller waits for the broken pod until that is deleted.
    world.settle(None).await?;
    assert_eq!(world.in_use().await?, BTreeSet::from([1]), "the pod still needs it");
    let anywhere = in_use(world.client(), world.workspace.namespace(), None, &world.owner).await?;
    assert_eq!(anywhere, BTreeSet::from([1]), "whatever it belongs to");
    let seen = world.seen().await?;
    world.delete_stuck(&seen).await?;
    let good = world.wait_for_pod(|pod| pod.uid() != broken.uid() && !secret(pod)).await?;
    // The set's controller tells of the pod's template after it has made the pod.
    eventually("the end of all use", || async { Ok(world.in_use().await?.is_empty().then_some(())) }).await?;
    set_ready(&world, &good).await?;
    let arrived = eventually("the end of the rollout", || async {
        Ok((world.rollout(None).await? == Rollout::Complete).then_some(()))
    });
    if let Err(error) = arrived.await {
        let (rollout, set) = (world.rollout(None).await?, sets.get("wandb").await?);
        return Err(error.context(format!("{rollout:?} {:?}", set.status)));
    }
    // A ready pod is not deleted, whatever it refers to.
    world.delete_stuck(&seen).await?;
    assert_eq!(world.wait_for_pod(|_| true).await?.uid(), good.uid());
    Ok(())
}

/// Says of a pod what a kubelet would: that it runs and is ready.
async fn set_ready(world: &Delivering, pod: &Pod) -> Result<()> {
    let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": Timestamp::now()}]);
    let status = json!({"status": {"phase": "Running", "conditions": conditions}});
    world.pods().patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}
