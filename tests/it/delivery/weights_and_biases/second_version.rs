//! `apps.wandb.com/v2`: selectors of Secrets, a list of variables, and Deployments that nobody else may change.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::{ControlPlane, WandbOperator, definitions::StoredVersion};

use super::{Scene, entries_of, eventually};

#[tokio::test]
async fn values_come_and_go_by_the_second_version() -> Result<()> {
    let spec = json!({
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {
            "hostname": "https://wandb.example.com", "version": "0.78.0", "bucketProxy": false, "features": {},
            "security": {"hideUpgradeBanner": false},
            "legacyOverrides": {"global": {"env": [{"name": "FOREIGN", "value": "kept"}]}},
        },
    });
    let scene =
        Scene::open(ControlPlane::shared().await?, StoredVersion::V2, WandbOperator::v2, spec).await?;
    scene.deliver_both().await?;
    let mut spec = scene.spec().await?;
    scene.take_authorities(&mut spec, "/global")?;
    insta::assert_yaml_snapshot!("spec", spec);
    insta::assert_yaml_snapshot!("owned", scene.owned().await?);
    let rendered = scene.entries("wandb-api").await?;
    insta::assert_yaml_snapshot!("rendered", rendered);
    scene.pods_run_with(1, &["corp-ldap-1", "main-oidc-1"]).await?;

    // Whoever changes the Deployment loses, and that is nothing to this operator.
    let entries =
        json!([{"name": "LDAP_ADDRESS", "$patch": "delete"}, {"name": "FOREIGN", "value": "edited"}]);
    let edit = json!({"spec": {"template": {"spec": {"containers": [{"name": "api", "env": entries}]}}}});
    let deployments = scene.api::<Deployment>();
    let edited = deployments.patch("wandb-api", &PatchParams::default(), &Patch::Strategic(edit)).await?;
    let pod = edited.spec.and_then(|spec| spec.template.spec).context("pod")?;
    ensure!(!entries_of(&pod).contains_key("LDAP_ADDRESS"));
    eventually("the Deployment as it was", || async {
        Ok((scene.entries("wandb-api").await? == rendered).then_some(()))
    })
    .await?;

    scene.apply_ldap("attributes: {email: mail, group: gidNumber, name: cn}").await?;
    let status = scene.workspace.wait_until_ready("LdapConfig", "corp").await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    scene.pods_run_with(1, &["corp-ldap-2", "main-oidc-1"]).await?;
    let working = scene.spec().await?;

    scene.crash_with("corp-ldap-3");
    scene.apply_ldap("attributes: {email: mail, group: gidNumber, name: sn}").await?;
    let (status, message) = scene.rolled_back().await?;
    for part in ["went back to revision 2", "revision 3", "exit code 3", "panic: no such attribute"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(2)));
    assert_eq!(scene.spec().await?, working);
    scene.pods_run_with(1, &["corp-ldap-2", "main-oidc-1"]).await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;

    assert_eq!(scene.player.fewest_ready("wandb-api", 1).await?, Some(1));

    scene.delete_both().await?;
    // The list belongs to its last writer as a whole, and somebody else's entry is left in it.
    assert_eq!(scene.owned().await?, BTreeSet::from(["spec.wandb.legacyOverrides.global.env".to_owned()]));
    scene.expect_no_broken_reference()
}
