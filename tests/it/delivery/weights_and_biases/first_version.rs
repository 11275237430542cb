//! `apps.wandb.com/v1`: free-form values, which stop the W&B operator where they do not fit together.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use test_support::{ControlPlane, WandbOperator, Workspace, definitions::StoredVersion};
use tokio::sync::OnceCell;

mod logins;
mod precedence;
mod releases;
mod sources;

use super::{Scene, eventually};
use crate::delivery::{
    Stage,
    other_resources::{message_of, rolled_back, rotate_password, runs_with},
};

pub(super) fn spec() -> Value {
    json!({
        "chart": {"url": "https://charts.example.com"},
        "values": {"global": {"host": "https://wandb.example.com", "extraEnv": {"FOREIGN": "kept"}}},
    })
}

/// A namespace like that of other workloads, with a `WeightsAndBiases` of which the W&B operator makes one
/// Deployment of so many pods; without an operator of ours yet.
pub async fn stage(replicas: usize) -> Result<(Stage, WandbOperator)> {
    let values = json!({"global": {"api": {"enabled": false}}, "app": {"replicas": replicas}});
    let vendor = |workspace: &Workspace| WandbOperator::v1_with(workspace, values);
    super::stage(plane().await?, StoredVersion::OnlyV1, &json!({"values": {}}), vendor).await
}

/// A control plane with the first version only, as the shared one has the second.
pub async fn plane() -> Result<&'static ControlPlane> {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    PLANE.get_or_try_init(ControlPlane::start).await
}

/// What the W&B operator says of the resource.
async fn phase(scene: &Scene) -> Result<Value> {
    let object = scene.resources.get("wandb").await?;
    Ok(object.data.pointer("/status/phase").cloned().unwrap_or_default())
}

#[tokio::test]
async fn values_come_and_go_by_the_first_version() -> Result<()> {
    let mut scene = Scene::open(plane().await?, StoredVersion::OnlyV1, WandbOperator::v1, spec()).await?;
    scene.deliver_both().await?;
    let mut delivered = scene.spec().await?;
    scene.take_authorities(&mut delivered, "/values/global")?;
    let own = delivered.pointer_mut("/values/global/auth/oidc").and_then(Value::as_object_mut);
    assert_eq!(own.context("no fields")?.remove("issuer"), Some(json!(scene.provider.issuer())));
    insta::assert_yaml_snapshot!("spec", delivered);
    insta::assert_yaml_snapshot!("owned", scene.owned().await?);
    let rendered = scene.entries("wandb-api").await?;
    insta::assert_yaml_snapshot!("rendered", rendered);
    assert_eq!(scene.entries("wandb-app-bc").await?, rendered);
    scene.pods_run_with(2, &["corp-ldap-1", "main-oidc-1"]).await?;

    // An input changes, and no spec.
    rotate_password(&scene.workspace, &scene.directory, "the-next-password").await?;
    let status = runs_with(&scene.workspace, 2).await?;
    assert_eq!(status["previousRevision"], 1);
    scene.pods_run_with(2, &["corp-ldap-2", "main-oidc-1"]).await?;
    a_persons_variable_comes_beside_the_entries(&mut scene).await?;
    let working = scene.spec().await?;

    scene.crash_with("corp-ldap-3");
    scene.apply_ldap("attributes: {email: mail, group: gidNumber, name: sn}").await?;
    let (status, message) = rolled_back(&scene.workspace).await?;
    for part in ["went back to revision 2", "revision 3", "exit code 3", "kubectl logs --previous"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(2)));
    assert_eq!(scene.spec().await?, working);
    scene.pods_run_with(2, &["corp-ldap-2", "main-oidc-1"]).await?;
    for deployment in ["wandb-api", "wandb-app-bc"] {
        let fewest = scene.player.fewest_ready(deployment, 1).await?;
        ensure!(fewest == Some(1), "{fewest:?}: {}", scene.player.history());
    }

    scene.delete_both().await?;
    assert_eq!(scene.owned().await?, BTreeSet::new());
    a_persons_scalar_is_left_alone(&scene).await?;
    scene.expect_no_broken_reference()
}

/// A person changes something else: it is rendered together with the entries.
async fn a_persons_variable_comes_beside_the_entries(scene: &mut Scene) -> Result<()> {
    let entries = scene.entries("wandb-api").await?;
    scene.merge(&json!({"spec": {"values": {"global": {"extraEnv": {"LIMIT": "5"}}}}})).await?;
    let variables = scene.before.pointer_mut("/values/global/extraEnv").and_then(Value::as_object_mut);
    variables.context("no variables")?.insert("LIMIT".to_owned(), json!("5"));
    eventually("pods with the variable", || async {
        let pods = scene.pods().await?;
        let has_variable = |pod: &Pod| {
            let inputs = scene.player.environment_of(&pod.name_any());
            inputs.is_some_and(|inputs| inputs.environment.contains_key("LIMIT"))
        };
        Ok((pods.len() == 2 && pods.iter().all(has_variable)).then_some(()))
    })
    .await?;
    assert_eq!(scene.entries("wandb-api").await?, entries);
    scene.pods_run_with(2, &["corp-ldap-2", "main-oidc-1"]).await?;
    scene.workspace.wait_until_ready("LdapConfig", "corp").await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    Ok(())
}

/// A scalar of the same name in the resource itself: nothing is written until it is gone.
async fn a_persons_scalar_is_left_alone(scene: &Scene) -> Result<()> {
    let variable =
        |value: Value| json!({"spec": {"values": {"global": {"extraEnv": {"LDAP_ADDRESS": value}}}}});
    scene.merge(&variable(json!("ldap://theirs"))).await?;
    let before = scene.resources.get("wandb").await?;
    scene.apply_ldap("").await?;
    let status = scene.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "FieldConflict").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("extraEnv.LDAP_ADDRESS (by kubectl-edit)"), "{message}");
    ensure!(!message.contains("theirs"), "{message}");
    let after = scene.resources.get("wandb").await?;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_eq!(after.data.get("spec"), before.data.get("spec"));
    assert_eq!(phase(scene).await?, "Completed");
    ensure!(scene.revisions().await?.is_empty());

    scene.merge(&variable(Value::Null)).await?;
    scene.workspace.wait_until_ready("LdapConfig", "corp").await?;
    scene.pods_run_with(2, &["corp-ldap-1"]).await
}

/// What W&B's channel offers, where the resource does not show it: a map beside a scalar would stop the W&B
/// operator for good.
#[tokio::test]
async fn a_map_is_never_written_beside_a_scalar_of_another_source() -> Result<()> {
    let other = json!({"global": {"extraEnv": {"LDAP_ADDRESS": "ldap://theirs"}}});
    let vendor = |workspace: &_| WandbOperator::v1_with(workspace, other);
    let scene = Scene::open(plane().await?, StoredVersion::OnlyV1, vendor, spec()).await?;
    scene.apply_ldap("").await?;
    let status = scene.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "FieldConflict").await?;
    let message = message_of(&status, "RolledOut");
    let place = "global.extraEnv.LDAP_ADDRESS in the Secret \"wandb-latest-cached-release\"";
    ensure!(message.contains(place) && !message.contains("theirs"), "{message}");
    assert_eq!(scene.spec().await?, scene.before);
    assert_eq!(phase(&scene).await?, "Completed");
    ensure!(scene.revisions().await?.is_empty());
    scene.expect_no_broken_reference()
}
