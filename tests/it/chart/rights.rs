//! Rights that the chart leaves out are not missed by those who do not use them.

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::Value;
use test_support::{
    ControlPlane, Helm, PodPlayer, Slapd, Workspace,
    pods::{Life, WandbWorkload},
};

use super::{cases, documents};
use crate::{
    delivery::weights_and_biases::first_version,
    server_pods,
    world::{certificate, directory, eventually, ldap_config, operator, put_references, workspace},
};

/// Takes an `LdapConfig` through its life with the rights of a case: published, delivered, deleted.
async fn live_with_the_rights_of(case: &str, workload: Option<(&str, WandbWorkload)>) -> Result<()> {
    let workspace = workspace().await?;
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    put_references(&workspace, &certificate).await?;
    let _player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    let mut target = String::new();
    if let Some((kind, workload)) = workload {
        workspace.apply(&workload.manifest()).await?;
        target = format!("target: {{{kind}: {{name: wandb}}}}");
    }
    live(case, &workspace, ControlPlane::shared().await?, &directory, &target).await
}

/// The same in a namespace that has all that the target needs.
async fn live(
    case: &str,
    workspace: &Workspace,
    plane: &ControlPlane,
    directory: &Slapd,
    target: &str,
) -> Result<()> {
    let case = cases()?.into_iter().find(|each| each.name == case).context("no such case")?;
    let rendered = documents(&case.rendered(&Helm::new()?)?)?;
    let role = rendered
        .into_iter()
        .find(|object| object["kind"] == "Role" && object["metadata"]["name"] == "wandb-auth-operator");
    // It replaces the one of the defaults, which the operator's user is bound to.
    let role = role.context("no Role")?;
    workspace.apply(&role.to_string()).await?;
    let _operator = operator(workspace)?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, target)).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let resources = workspace.resources("LdapConfig")?;
    resources.delete("corp", &DeleteParams::default()).await?;
    eventually("the end of the resource", async || {
        Ok(resources.get_opt("corp").await?.is_none().then_some(()))
    })
    .await?;
    let events = plane.audit_in(workspace.namespace())?;
    let by_operator: Vec<_> = events.into_iter().filter(|event| event.user == "operator").collect();
    let refused: Vec<_> = by_operator.iter().filter(|event| event.code == 403).collect();
    ensure!(refused.is_empty(), "used and not granted: {refused:#?}");
    // Those that only revisions need, and so only targets.
    for verb in ["patch", "delete"] {
        let is_used = by_operator.iter().any(|event| event.resource == "secrets" && event.verb == verb);
        ensure!(
            is_used == grants(&role, "secrets", verb),
            "{verb} on Secrets is used: {is_used}, and {role}"
        );
    }
    Ok(())
}

fn grants(role: &Value, resource: &str, verb: &str) -> bool {
    let has = |list: &Value, word: &str| list.as_array().into_iter().flatten().any(|each| each == word);
    let mut rules = role["rules"].as_array().into_iter().flatten();
    rules.any(|rule| has(&rule["resources"], resource) && has(&rule["verbs"], verb))
}

#[tokio::test]
async fn without_targets() -> Result<()> {
    live_with_the_rights_of("without_targets", None).await
}

#[tokio::test]
async fn with_deployments_only() -> Result<()> {
    let workload = ("deployment", WandbWorkload::deployment("wandb"));
    live_with_the_rights_of("only_deployments", Some(workload)).await
}

#[tokio::test]
async fn with_stateful_sets_only() -> Result<()> {
    let workload = ("statefulSet", WandbWorkload::stateful_set("wandb"));
    live_with_the_rights_of("only_stateful_sets", Some(workload)).await
}

/// Checks from pods take the right to make pods, which nothing else does.
#[tokio::test]
async fn with_checks_from_pods() -> Result<()> {
    let stage = server_pods::stage(&[]).await?;
    let case = cases()?.into_iter().find(|each| each.name == "server_pods").context("no such case")?;
    let rendered = documents(&case.rendered(&Helm::new()?)?)?;
    let is_role =
        |object: &Value| object["kind"] == "Role" && object["metadata"]["name"] == "wandb-auth-operator";
    let role = rendered.iter().find(|object| is_role(object)).context("no Role")?;
    stage.workspace.apply(&role.to_string()).await?;
    server_pods::revoke(&stage).await?;
    let deployment =
        rendered.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    for argument in ["--server-pod-checks", "--image=wandb-auth-operator:", "--image-pull-secret=registry"] {
        ensure!(arguments.contains(argument), "{argument}: {arguments}");
    }
    let mut stage = stage;
    server_pods::start(&mut stage, &[])?;
    stage.ready(&server_pods::from_pods("")).await?;
    server_pods::nothing_is_left(&stage).await?;
    let events = ControlPlane::shared().await?.audit_in(stage.workspace.namespace())?;
    let by_operator: Vec<_> = events.into_iter().filter(|event| event.user == "operator").collect();
    let refused: Vec<_> = by_operator.iter().filter(|event| event.code == 403).collect();
    ensure!(refused.is_empty(), "used and not granted: {refused:#?}");
    for verb in ["get", "create", "delete"] {
        let is_used = by_operator.iter().any(|event| event.resource == "pods" && event.verb == verb);
        ensure!(is_used && grants(role, "pods", verb), "{verb}: {role}");
    }
    let without =
        cases()?.into_iter().find(|each| each.name == "only_deployments").context("no such case")?;
    let without = documents(&without.rendered(&Helm::new()?)?)?;
    let without = without.iter().find(|object| is_role(object)).context("no Role")?;
    for verb in ["get", "create", "delete"] {
        ensure!(!grants(without, "pods", verb), "{verb}: {without}");
    }
    Ok(())
}

/// Deployments that the W&B operator makes of its resource are watched, and not changed.
#[tokio::test]
async fn with_the_resource_of_the_wandb_operator_only() -> Result<()> {
    let (stage, _vendor) = first_version::stage(1).await?;
    let target = "target: {weightsAndBiases: {name: wandb}}";
    let plane = first_version::plane().await?;
    live("only_weights_and_biases", &stage.workspace, plane, &stage.directory, target).await
}
