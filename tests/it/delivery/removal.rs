//! Taking back: when the resource goes, when its target changes, and when something stands in the way.

use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Pod, PodSpec, PodTemplateSpec},
        rbac::v1::Role,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PropagationPolicy},
};
use serde_json::json;
use test_support::{
    ControlPlane, PodPlayer, Workspace, condition,
    pods::{Life, WandbWorkload},
};
use wandb_auth_operator::api::custom_resource_definitions;

use super::{
    Stage, TARGET, entries_of, eventually,
    history::History,
    is_ready,
    other_resources::{finalizers, is_gone, message_of},
    player_has_ready,
};
use crate::world::{
    certificate, directory, garbage_collector_knows_ldap_configs, operator, program, put_references,
};

const KIND: &str = "LdapConfig";

/// What holds a resource that has delivered.
const FINALIZER: &str = "auth.wandb.com/target";

async fn template(stage: &Stage, name: &str) -> Result<PodTemplateSpec> {
    let deployment: Deployment = stage.api().get(name).await?;
    Ok(deployment.spec.context("spec")?.template)
}

async fn pod_spec(stage: &Stage, name: &str) -> Result<PodSpec> {
    template(stage, name).await?.spec.context("a pod")
}

/// Fails where a pod that is made of the template now would miss a Secret.
async fn expect_whole(stage: &Stage, pod: &PodSpec) -> Result<()> {
    let volumes =
        pod.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()?.secret_name.clone());
    for secret in entries_of(pod).into_values().map(|(secret, _)| secret).chain(volumes) {
        let found = stage.workspace.secrets().get_opt(&secret).await?;
        ensure!(found.is_some_and(|secret| secret.metadata.deletion_timestamp.is_none()), "{secret} is gone");
    }
    Ok(())
}

#[tokio::test]
async fn a_finalizer_that_somebody_took_away_comes_back() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    for suspend in [false, true] {
        stage.workspace.patch(KIND, "corp", &json!({"spec": {"suspend": suspend}})).await?;
        stage.workspace.patch(KIND, "corp", &json!({"metadata": {"finalizers": null}})).await?;
        eventually("the finalizer", || async {
            Ok((finalizers(&stage, KIND, "corp").await? == [FINALIZER]).then_some(()))
        })
        .await?;
    }
    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, KIND, "corp").await?;
    ensure!(stage.entries().await?.is_empty(), "{:#?}", stage.entries().await?);
    Ok(())
}

#[tokio::test]
async fn values_follow_the_target_and_leave_the_old_one() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.workspace.apply(&WandbWorkload::deployment("other").manifest()).await?;
    player_has_ready(&stage.player, "other", 2).await?;
    let (bare, other_bare) = (template(&stage, "wandb").await?, template(&stage, "other").await?);
    stage.ready("").await?;
    ensure!(finalizers(&stage, KIND, "corp").await?.is_empty(), "nothing was delivered");
    stage.ready(TARGET).await?;
    assert_eq!(finalizers(&stage, KIND, "corp").await?, [FINALIZER]);
    let pod = pod_spec(&stage, "wandb").await?;
    ensure!(pod.volumes.iter().flatten().any(|volume| volume.name == "wandb-auth-ldap-corp"), "{pod:#?}");
    let mounts = pod.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    let paths: Vec<_> = mounts.map(|mount| mount.mount_path.as_str()).collect();
    assert_eq!(paths, ["/usr/local/share/ca-certificates/wandb-auth-ldap-corp.crt"]);

    // To another workload.
    let status = stage.ready("target: {deployment: {name: other}}").await?;
    ensure!(message_of(&status, "RolledOut").contains("Deployment/other"), "{status:#}");
    eventually("the old target without entries", || async {
        Ok((template(&stage, "wandb").await? == bare).then_some(()))
    })
    .await?;
    ensure!(!entries_of(&pod_spec(&stage, "other").await?).is_empty());

    // To one that is not there: people still have the old one.
    let held = template(&stage, "other").await?;
    stage.apply("target: {deployment: {name: missing}}").await?;
    let status = stage.workspace.wait_for_reason(KIND, "corp", "RolledOut", "TargetNotFound").await?;
    ensure!(message_of(&status, "RolledOut").contains("no Deployment \"missing\""), "{status:#}");
    assert_eq!(template(&stage, "other").await?, held);
    expect_whole(&stage, &pod_spec(&stage, "other").await?).await?;

    // To none.
    stage.ready("").await?;
    eventually("the end of the finalizer", || async {
        Ok(finalizers(&stage, KIND, "corp").await?.is_empty().then_some(()))
    })
    .await?;
    assert_eq!(template(&stage, "other").await?, other_bare);
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    ensure!(stage.workspace.secrets().get_opt("corp-ldap").await?.is_some(), "it is published all the same");

    // A target that is gone keeps nobody.
    stage.ready(TARGET).await?;
    stage.api::<Deployment>().delete("wandb", &DeleteParams::background()).await?;
    stage.workspace.wait_for_reason(KIND, "corp", "RolledOut", "TargetNotFound").await?;
    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, KIND, "corp").await?;
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn suspending_and_retaining_leave_everything_as_it_is() -> Result<()> {
    let retained = format!("{TARGET}\ndeletionPolicy: Retain");
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(&retained).await?;
    let delivered: Deployment = stage.api().get("wandb").await?;
    let generation = delivered.metadata.generation;

    stage.workspace.patch(KIND, "corp", &json!({"spec": {"suspend": true, "baseDN": "dc=nowhere"}})).await?;
    stage.workspace.wait_for_reason(KIND, "corp", "Ready", "Suspended").await?;
    stage.apply(&retained).await?;
    stage.workspace.patch(KIND, "corp", &json!({"spec": {"suspend": false}})).await?;
    stage.workspace.wait_until_ready(KIND, "corp").await?;

    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, KIND, "corp").await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [1]);
    expect_whole(&stage, &pod_spec(&stage, "wandb").await?).await?;
    ensure!(!stage.entries().await?.is_empty());

    // The same resource again is what the pods run with already.
    let status = stage.ready(&retained).await?;
    assert_eq!(status["revision"], 1);
    assert_eq!(finalizers(&stage, KIND, "corp").await?, [FINALIZER]);
    let again: Deployment = stage.api().get("wandb").await?;
    assert_eq!(again.metadata.generation, generation, "no pod was replaced");
    // What was taken over also goes again.
    stage.ready(TARGET).await?;
    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, KIND, "corp").await?;
    ensure!(stage.entries().await?.is_empty() && stage.revisions("corp-ldap").await?.is_empty());
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn no_way_of_deleting_takes_a_secret_from_a_pod() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    // A collector that does not know the kind yet would leave these deletions to the operator alone.
    garbage_collector_knows_ldap_configs(&stage.workspace).await?;
    let bare = template(&stage, "wandb").await?;
    stage.ready(TARGET).await?;
    let history = History::begin(&stage).await?;
    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::foreground()).await?;
    let secrets = stage.workspace.secrets();
    eventually("the end of the resource", || async {
        // The order matters: what the template refers to now is there later.
        let pod = pod_spec(&stage, "wandb").await?;
        let is_gone = stage.workspace.resources(KIND)?.get_opt("corp").await?.is_none();
        let entries = entries_of(&pod);
        if let Some((secret, _)) = entries.values().next()
            && secrets.get_opt(secret).await?.is_none()
        {
            ensure!(entries_of(&pod_spec(&stage, "wandb").await?).is_empty(), "{secret} went first");
        }
        Ok(is_gone.then_some(()))
    })
    .await?;
    assert_eq!(template(&stage, "wandb").await?, bare);
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    assert_eq!(history.templates().await?.len(), 2, "the entries went at once");

    // Without its dependents (--cascade=orphan): the garbage collector may be done with that before the operator
    // sees it, so both the entries and what they refer to stay, or neither.
    stage.ready(TARGET).await?;
    let orphaning =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    stage.workspace.resources(KIND)?.delete("corp", &orphaning).await?;
    is_gone(&stage.workspace, KIND, "corp").await?;
    let pod = pod_spec(&stage, "wandb").await?;
    expect_whole(&stage, &pod).await?;
    assert_eq!(stage.revisions("corp-ldap").await?.is_empty(), entries_of(&pod).is_empty());
    ensure!(secrets.get_opt("corp-ldap").await?.is_some());
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_deletion_waits_for_an_operator_also_when_its_definition_goes() -> Result<()> {
    // Definitions are everybody's, so this needs a control plane of its own.
    let plane = ControlPlane::start().await?;
    let workspace = Workspace::create(&plane, &custom_resource_definitions()).await?;
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    let mut stage = Stage { directory, player, workspace, operator: None };
    player_has_ready(&stage.player, "wandb", 2).await?;
    let bare = template(&stage, "wandb").await?;
    stage.operator = Some(operator(&stage.workspace)?);
    stage.ready(TARGET).await?;
    stage.operator = None;

    let definitions: Api<CustomResourceDefinition> = Api::all(stage.workspace.client().clone());
    definitions.delete("ldapconfigs.auth.wandb.com", &DeleteParams::default()).await?;
    eventually("the resource on its way out", || async {
        let object = stage.workspace.resources(KIND)?.get("corp").await?;
        Ok(object.metadata.deletion_timestamp.map(|_| ()))
    })
    .await?;
    // Pods that start now find everything.
    let old: Vec<String> = stage.pods().await?.iter().map(ResourceExt::name_any).collect();
    for pod in &old {
        stage.api::<Pod>().delete(pod, &DeleteParams::default()).await?;
    }
    eventually("new pods", || async {
        let pods = stage.pods().await?;
        let are_new = pods.iter().all(|pod| is_ready(pod) && !old.contains(&pod.name_any()));
        Ok((pods.len() == 2 && are_new).then_some(()))
    })
    .await?;
    expect_whole(&stage, &pod_spec(&stage, "wandb").await?).await?;
    ensure!(!stage.entries().await?.is_empty());

    stage.operator = Some(operator(&stage.workspace)?);
    eventually("the end of the definition", || async {
        Ok(definitions.get_opt("ldapconfigs.auth.wandb.com").await?.is_none().then_some(()))
    })
    .await?;
    assert_eq!(template(&stage, "wandb").await?, bare);
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn missing_rights_are_named_and_hold_no_deletion_for_long() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.operator = None;
    let arguments = ["--allow-egress", "127.0.0.0/8", "--deletion-patience", "3s"];
    stage.operator = Some(stage.workspace.start_operator(program(), &arguments)?);
    stage.ready(TARGET).await?;
    let delivered = template(&stage, "wandb").await?;
    let grants: Api<Role> = stage.api();
    let mut rules = grants.get("wandb-auth-operator").await?.rules.context("rules")?;
    rules.retain(|rule| !rule.resources.iter().flatten().any(|resource| resource == "deployments"));
    let patch = Patch::Merge(json!({ "rules": rules }));
    grants.patch("wandb-auth-operator", &PatchParams::default(), &patch).await?;
    let status = eventually("a missing right", || async {
        // The API server takes a moment to know.
        let value = jiff::Timestamp::now().to_string();
        stage.workspace.recheck(KIND, "corp", &value).await?;
        let status = stage.workspace.status(KIND, "corp").await?;
        let is_seen =
            condition(&status, "RolledOut").is_some_and(|rolled_out| rolled_out["reason"] == "Forbidden");
        Ok(is_seen.then_some(status))
    })
    .await?;
    let message = message_of(&status, "RolledOut");
    for part in ["is not allowed to read Deployment/wandb", "get, list, watch and patch on deployments.apps"]
    {
        ensure!(message.contains(part), "{part}: {message}");
    }
    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, KIND, "corp").await?;
    // What cannot be taken back keeps what it refers to.
    assert_eq!(template(&stage, "wandb").await?, delivered);
    expect_whole(&stage, &pod_spec(&stage, "wandb").await?).await?;
    let events = eventually("an event", || async {
        let events = stage.workspace.events().await?;
        Ok(events.contains("LeftInTarget").then_some(events))
    })
    .await?;
    ensure!(events.contains("remove them by hand"), "{events}");
    stage.expect_no_broken_reference()
}
