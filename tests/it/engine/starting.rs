//! What keeps the operator from starting is said once, in words, and holds nothing else up.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::Role;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use test_support::{ControlPlane, Operator, User, Workspace, condition, wait_until};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::world::{
    PATIENCE, certificate, directory, ldap_config, operator, program, put_references, workspace,
};

/// A workload that does not exist: who comes as far as to say so was not held up.
const TARGET: &str = "target: {deployment: {name: none}}";

fn not_ready_since(operator: &Operator, words: &str) -> Result<()> {
    wait_until(PATIENCE, &format!("/readyz to say: {words}"), || {
        let (code, why) = operator.get("/readyz")?;
        ensure!(code == 503, "ready: {why}");
        ensure!(why.matches(words).count() <= 1, "{why}");
        Ok(why.contains(words))
    })
}

/// Waits until what was missing has been seen: by a watch that is tried again, as nothing else makes it ready.
fn becomes_ready(operator: &Operator) -> Result<()> {
    wait_until(PATIENCE, "the operator to be ready", || Ok(operator.get("/readyz")?.0 == 200))
}

/// The lines of the log that warn of this.
fn warnings(operator: &Operator, words: &str) -> Result<Vec<String>> {
    let log = operator.log().read()?;
    let lines = log.lines().filter(|line| line.contains("\"WARN\"") && line.contains(words));
    Ok(lines.map(str::to_owned).collect())
}

#[tokio::test]
async fn a_missing_definition_is_named_and_holds_nothing_up() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let plane = ControlPlane::start().await?;
    let (missing, present): (Vec<_>, Vec<_>) = custom_resource_definitions()
        .into_iter()
        .partition(|definition| definition.name_any() == "jwtissuers.auth.wandb.com");
    let workspace = Workspace::create(&plane, &present).await?;
    let operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, TARGET)).await?;
    workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "TargetNotFound").await?;
    let words = "The definition jwtissuers.auth.wandb.com is missing: kubectl apply -f crds/";
    not_ready_since(&operator, words)?;
    // The kind itself is watched, and those who refer to it watch it, too.
    ensure!(warnings(&operator, words)?.len() == 1, "{:#?}", warnings(&operator, words)?);
    let others: Vec<_> = warnings(&operator, "")?
        .into_iter()
        .filter(|line| !line.contains(words) && !line.contains("\"kind\""))
        .collect();
    ensure!(others.is_empty(), "{others:#?}");
    workspace.apply(&serde_json::to_string(missing.first().context("a definition")?)?).await?;
    becomes_ready(&operator)?;
    assert!(operator.log().contains("this is over")?);
    Ok(())
}

#[tokio::test]
async fn a_kind_that_may_not_be_listed_is_named_and_deliveries_say_that_they_wait() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let roles: Api<Role> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let mut whole = roles.get("wandb-auth-operator").await?;
    whole.metadata.managed_fields = None;
    let mut partial = whole.clone();
    for rule in partial.rules.iter_mut().flatten() {
        let resources = rule.resources.iter_mut().flatten();
        let others: Vec<_> =
            resources.filter(|name| *name != "oidcproviders").map(|name| name.clone()).collect();
        rule.resources = Some(others);
    }
    let parameters = PatchParams::default();
    roles
        .patch("wandb-auth-operator", &parameters, &Patch::Merge(serde_json::json!({"rules": partial.rules})))
        .await?;
    let operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, TARGET)).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "Progressing").await?;
    let words = format!(
        "The operator is not allowed to list oidcproviders.auth.wandb.com in namespace {}: see rbac and watchNamespaces",
        workspace.namespace()
    );
    let message = condition(&status, "RolledOut").context("RolledOut")?["message"].to_string();
    assert!(message.contains(&words), "{message}");
    assert!(condition(&status, "Verified").context("Verified")?["status"] == "True");
    not_ready_since(&operator, &words)?;
    assert_eq!(warnings(&operator, &words)?.len(), 1);
    roles
        .patch("wandb-auth-operator", &parameters, &Patch::Merge(serde_json::json!({"rules": whole.rules})))
        .await?;
    becomes_ready(&operator)?;
    workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "TargetNotFound").await?;
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_told() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let admin = plane.kubeconfig(User::Admin);
    let workspace = Workspace::on(admin, admin, "test-starting", &custom_resource_definitions()).await?;
    let operator = workspace.start_operator(program(), &["--namespace", "test-starting-later"])?;
    let words = "The namespace test-starting-later does not exist: create it, or correct --namespace.";
    not_ready_since(&operator, words)?;
    assert_eq!(warnings(&operator, words)?.len(), 1);
    workspace.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: test-starting-later}\n").await?;
    becomes_ready(&operator)
}

#[test]
fn a_name_that_no_namespace_can_have_is_refused() -> Result<()> {
    let output = Command::new(program()).args(["run", "--namespace", "Wandb_1"]).output()?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("--namespace Wandb_1: expected at most 63 lower-case letters"), "{told}");
    Ok(())
}
