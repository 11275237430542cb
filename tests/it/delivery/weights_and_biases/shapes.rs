//! The fields for OIDC through two upgrades of the W&B operator v2: selectors, values beside selectors, values only.

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use test_support::{
    ControlPlane, WandbOperator,
    definitions::{OidcFields, StoredVersion, weights_and_biases_with},
};

use super::{Scene, TARGET, eventually, resource, second_version::spec};
use crate::{
    delivery::{other_resources::is_gone, silence},
    world::oidc_provider,
};

/// Longer than the operator waits between two writes.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// The Secret that each field refers to, and how; nothing where nobody set it.
async fn fields(scene: &Scene, pointer: &str) -> Result<Vec<String>> {
    let spec = scene.spec().await?;
    let names = ["issuerUrl", "clientId", "authMethod"];
    let secret = |name: &&str| {
        let path = format!("/wandb/oidc/{name}{pointer}/name");
        spec.pointer(&path).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Ok(names.iter().map(secret).collect())
}

/// Replaces the definition and then the W&B operator, as its upgrade does.
async fn upgrade(scene: &mut Scene, fields: OidcFields) -> Result<()> {
    let definition = weights_and_biases_with(StoredVersion::V2, fields)?;
    let api: Api<CustomResourceDefinition> = Api::all(scene.workspace.client().clone());
    let how = PatchParams::apply("test").force();
    api.patch("weightsandbiases.apps.wandb.com", &how, &Patch::Apply(&definition)).await?;
    // The old one's webhook goes with it.
    scene.vendor = None;
    scene.vendor = Some(WandbOperator::v2_with(&scene.workspace, fields)?);
    Ok(())
}

/// Applies the provider with this life of a session, and waits until the pods run with that.
async fn apply(scene: &Scene, session_length: &str, revision: u64) -> Result<()> {
    let more = format!("{TARGET}\nsessionLength: {session_length}");
    scene.workspace.apply(&oidc_provider(scene.provider.issuer(), &more)).await?;
    scene
        .workspace
        .wait_for("OidcProvider", "main", |status| {
            status.get("revision") == Some(&json!(revision))
                && test_support::condition(status, "Ready").is_some_and(|ready| ready["status"] == "True")
        })
        .await?;
    scene.pods_run_with(1, &[&format!("main-oidc-{revision}")]).await
}

fn written(plane: &ControlPlane, scene: &Scene) -> Result<usize> {
    let events = plane.audit_in(scene.workspace.namespace())?;
    let by_operator =
        events.iter().filter(|event| event.user == "operator" && event.resource == "weightsandbiases");
    Ok(by_operator.filter(|event| event.verb == "patch").count())
}

/// What the webhook and the API server add to what a person makes is not the person's will.
async fn delivers_to_what_was_made_beside_the_webhook(scene: &Scene) -> Result<()> {
    let mut spec = spec();
    let wandb = spec.pointer_mut("/wandb").and_then(Value::as_object_mut).context("no map")?;
    wandb.retain(|name, _| !["security", "legacyOverrides"].contains(&name.as_str()));
    let other = DynamicObject::new("other", &resource("v2")).data(json!({"spec": spec}));
    let how = PostParams { field_manager: Some("helm".to_owned()), ..PostParams::default() };
    scene.resources.create(&how, &other).await?;
    let more = format!("{}\nautoProvision: false", TARGET.replace("name: wandb", "name: other"));
    scene.workspace.apply(&oidc_provider(scene.provider.issuer(), &more)).await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    let delivered = scene.resources.get("other").await?;
    let switch = delivered.data.pointer("/spec/wandb/security/disableSSOProvisioning");
    assert_eq!(switch, Some(&json!(true)));
    Ok(())
}

#[tokio::test]
async fn a_delivery_outlives_the_upgrades_of_the_wandb_operator() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let mut scene = Scene::open(&plane, StoredVersion::V2, WandbOperator::v2, spec()).await?;
    apply(&scene, "8h", 1).await?;
    assert_eq!(fields(&scene, "").await?, ["main-oidc-1"; 3]);

    // Whatever anybody writes now has its selectors rewritten: that is nobody's move, and nothing to write again.
    upgrade(&mut scene, OidcFields::ValuesOrSelectors).await?;
    eventually("fields in the new shape", || async {
        // Until the new webhook is asked, the old one is missed.
        let _ = scene.merge(&json!({"metadata": {"annotations": {"touched": "yes"}}})).await;
        Ok((fields(&scene, "/valueFrom/secretKeyRef").await? == ["main-oidc-1"; 3]).then_some(()))
    })
    .await?;
    scene.workspace.recheck("OidcProvider", "main", "upgraded").await?;
    silence(SILENCE, || async { written(&plane, &scene) }).await?;
    let status = scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    ensure!(status["revision"] == 1, "{status:#}");
    apply(&scene, "24h", 2).await?;
    assert_eq!(fields(&scene, "/valueFrom/secretKeyRef").await?, ["main-oidc-2"; 3]);

    upgrade(&mut scene, OidcFields::Values).await?;
    apply(&scene, "48h", 3).await?;
    assert_eq!(fields(&scene, "/valueFrom/secretKeyRef").await?, ["main-oidc-3"; 3]);
    let before = written(&plane, &scene)?;
    silence(SILENCE, || async { written(&plane, &scene) }).await?;
    assert_eq!(written(&plane, &scene)?, before, "nothing that is lost is written again");

    scene.workspace.resources("OidcProvider")?.delete("main", &DeleteParams::default()).await?;
    is_gone(&scene.workspace, "OidcProvider", "main").await?;
    let mut left = scene.spec().await?;
    let oidc = left.pointer_mut("/wandb/oidc").and_then(Value::as_object_mut).context("no fields")?;
    ensure!(oidc.values().all(|field| *field == json!({})), "{oidc:#?}");
    ensure!(!scene.entries("wandb-api").await?.values().any(|(secret, _)| secret.starts_with("main-oidc-")));
    delivers_to_what_was_made_beside_the_webhook(&scene).await?;
    scene.expect_no_broken_reference()
}
