//! Values of other sources than the resource: what wins over the entries is told, and nothing is written.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use test_support::{WandbOperator, definitions::StoredVersion};

use super::{plane, spec};
use crate::delivery::{eventually, other_resources::message_of, weights_and_biases::Scene};

/// Writes what the System Console would.
async fn user_spec(scene: &Scene, values: &Value) -> Result<()> {
    let patch = Patch::Merge(json!({"stringData": {"values": values.to_string()}}));
    scene.api::<Secret>().patch("wandb-spec-user", &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn put_map(scene: &Scene, name: &str, data: Value) -> Result<()> {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    scene.workspace.apply(&map.to_string()).await
}

/// Waits until the `OidcProvider` says that somebody else has the place, and shows that nothing was written.
async fn is_refused(scene: &Scene, place: &str) -> Result<()> {
    let status = scene
        .workspace
        .wait_for("OidcProvider", "main", |status| message_of(status, "RolledOut").contains(place))
        .await
        .with_context(|| place.to_owned())?;
    let message = message_of(&status, "RolledOut");
    ensure!(!message.contains("theirs"), "{message}");
    assert_eq!(scene.spec().await?, scene.before);
    ensure!(scene.revisions().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_another_source_has_in_a_stronger_place_is_named_until_it_goes() -> Result<()> {
    let scene = Scene::open(plane().await?, StoredVersion::OnlyV1, WandbOperator::v1, spec()).await?;
    let console = "System Console > Settings >";
    user_spec(&scene, &json!({"global": {"extraEnv": {"GORILLA_OIDC_SECRET": "theirs"}}})).await?;
    scene.apply_oidc().await?;
    is_refused(
        &scene,
        &format!("global.extraEnv.GORILLA_OIDC_SECRET in the Secret \"wandb-spec-user\" ({console} Advanced > User Spec)"),
    )
    .await?;
    user_spec(&scene, &json!({"app": {"extraEnv": {"OIDC_ISSUER": "theirs"}}})).await?;
    recheck(&scene, "1").await?;
    is_refused(&scene, "app.extraEnv.OIDC_ISSUER in the Secret \"wandb-spec-user\"").await?;
    user_spec(&scene, &json!({"global": {"auth": {"oidc": {"clientId": "theirs"}}}})).await?;
    recheck(&scene, "2").await?;
    is_refused(
        &scene,
        &format!("global.auth.oidc.clientId in the Secret \"wandb-spec-user\" ({console} Authentication)"),
    )
    .await?;

    // What W&B itself manages in the cluster.
    let chart = json!({"url": "https://charts.example.com", "name": "operator-wandb", "version": "0.43.8"});
    let values = |more: Value| {
        let mut values = json!({"global": {"api": {"enabled": true}}, "console": {"install": false}});
        values["api"] = more;
        json!({"chart": chart.to_string(), "values": values.to_string()})
    };
    put_map(&scene, "wandb-spec-managed", values(json!({"env": {"GORILLA_OIDC_ISSUER": "theirs"}}))).await?;
    put_map(&scene, "wandb-managed-spec-state", json!({"managed": "true"})).await?;
    user_spec(&scene, &json!({})).await?;
    recheck(&scene, "3").await?;
    is_refused(&scene, "api.env.GORILLA_OIDC_ISSUER in the ConfigMap \"wandb-spec-managed\"").await?;

    put_map(&scene, "wandb-spec-managed", values(json!({}))).await?;
    recheck(&scene, "4").await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    scene.pods_run_with(2, &["main-oidc-1"]).await?;
    eventually("the same issuer for both applications", || async {
        let entries = [scene.entries("wandb-api").await?, scene.entries("wandb-app-bc").await?];
        let ours = |name: &str| {
            entries.iter().all(|entries| entries.get(name).is_some_and(|(secret, _)| secret == "main-oidc-1"))
        };
        Ok((ours("GORILLA_OIDC_ISSUER") && ours("GORILLA_OIDC_SECRET")).then_some(()))
    })
    .await?;

    // It comes when the entries are there: the pods of the applications show it at once.
    user_spec(&scene, &json!({"app": {"env": {"OIDC_ISSUER": "theirs"}}})).await?;
    let status =
        scene.workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "FieldConflict").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("app.env.OIDC_ISSUER in the Secret \"wandb-spec-user\""), "{message}");
    user_spec(&scene, &json!({})).await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    scene.expect_no_broken_reference()
}

async fn recheck(scene: &Scene, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"auth.wandb.com/recheck": value}}}));
    scene.workspace.resources("OidcProvider")?.patch("main", &PatchParams::default(), &patch).await?;
    Ok(())
}
