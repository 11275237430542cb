//! The upgrade from the W&B operator v1 to v2: its conversion leaves what was delivered in the overrides of all
//! applications, and texts in a Secret of its own.

use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use test_support::{
    ControlPlane, WandbOperator,
    definitions::{StoredVersion, weights_and_biases},
};

use super::{Scene, TARGET, eventually, first_version, resources};
use crate::{delivery::other_resources::is_gone, world::oidc_provider};

const FIELDS: [(&str, &str); 4] = [
    ("issuerUrl", "GORILLA_OIDC_ISSUER"),
    ("clientId", "GORILLA_OIDC_CLIENT_ID"),
    ("clientSecret", "GORILLA_OIDC_SECRET"),
    ("authMethod", "GORILLA_AUTH_METHOD"),
];

/// The names in the list of all applications that come from the provider's revisions.
async fn listed(scene: &Scene) -> Result<Vec<String>> {
    let spec = scene.spec().await?;
    let list = spec.pointer("/wandb/legacyOverrides/global/env").and_then(Value::as_array);
    let of_provider = list.into_iter().flatten().filter(|entry| {
        let secret = entry.pointer("/valueFrom/secretKeyRef/name").and_then(Value::as_str);
        secret.is_some_and(|secret| secret.starts_with("main-oidc-"))
    });
    Ok(of_provider.filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect())
}

async fn refers(scene: &Scene, secret: &str) -> Result<bool> {
    let spec = scene.spec().await?;
    let name = |field: &str| spec.pointer(&format!("/wandb/oidc/{field}/name")).cloned();
    Ok(FIELDS.iter().all(|(field, _)| name(field) == Some(json!(secret))))
}

#[tokio::test]
async fn a_delivery_goes_on_after_the_conversion_to_the_second_version() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let mut scene =
        Scene::open(&plane, StoredVersion::OnlyV1, WandbOperator::v1, first_version::spec()).await?;
    scene.deliver_both().await?;
    // Both operators would not run at the same time. The definition comes with its conversion.
    scene.vendor = None;
    let vendor = WandbOperator::v2(&scene.workspace)?;
    let mut definition = weights_and_biases(StoredVersion::V2)?;
    definition.spec.conversion = vendor.conversion().cloned();
    let definitions: Api<CustomResourceDefinition> = Api::all(scene.workspace.client().clone());
    let how = PatchParams::apply("test").force();
    definitions.patch(&definition.name_any(), &how, &Patch::Apply(&definition)).await?;
    scene.vendor = Some(vendor);
    scene.resources = resources(&scene.workspace, "v2");
    // The API server serves a new version a moment after it is told of it.
    eventually("a served second version", || async {
        Ok(scene.resources.get("wandb").await.is_ok().then_some(()))
    })
    .await?;
    // The W&B operator v2 takes out what v1 made.
    for deployment in ["wandb-app-bc", "wandb-api"] {
        let gone = scene.api::<Deployment>().delete(deployment, &DeleteParams::default()).await;
        ensure!(gone.is_ok() || scene.api::<Deployment>().get_opt(deployment).await?.is_none(), "{gone:?}");
    }

    eventually("the fields for OIDC", || async {
        refers(&scene, "main-oidc-1").await.map(|is| is.then_some(()))
    })
    .await?;
    for (kind, name) in [("OidcProvider", "main"), ("LdapConfig", "corp")] {
        let status = scene.workspace.wait_until_ready(kind, name).await?;
        ensure!(status["revision"] == 1, "{status:#}");
    }
    let listed_now = listed(&scene).await?;
    ensure!(
        FIELDS.iter().all(|(_, variable)| !listed_now.iter().any(|name| name == variable)),
        "{listed_now:?}"
    );
    eventually("the Deployment of the second version", || async {
        Ok(scene.api::<Deployment>().get_opt("wandb-api").await?.map(drop))
    })
    .await?;
    let entries = scene.entries("wandb-api").await?;
    for (_, variable) in FIELDS {
        let (secret, _) = entries.get(variable).with_context(|| format!("{variable}: {entries:#?}"))?;
        ensure!(secret == "main-oidc-1", "{variable} is from {secret}");
    }

    let more = format!("{TARGET}\nsessionLength: 24h");
    scene.workspace.apply(&oidc_provider(scene.provider.issuer(), &more)).await?;
    let is_second = |status: &Value| status.get("revision") == Some(&json!(2));
    scene.workspace.wait_for("OidcProvider", "main", is_second).await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    ensure!(refers(&scene, "main-oidc-2").await?);
    eventually("the pods of the second version alone", || async {
        Ok((scene.pods().await?.len() == 1).then_some(()))
    })
    .await?;
    scene.pods_run_with(1, &["main-oidc-2", "corp-ldap-1"]).await?;

    for (kind, name) in [("OidcProvider", "main"), ("LdapConfig", "corp")] {
        scene.workspace.resources(kind)?.delete(name, &DeleteParams::default()).await?;
    }
    for (kind, name) in [("OidcProvider", "main"), ("LdapConfig", "corp")] {
        is_gone(&scene.workspace, kind, name).await?;
    }
    let spec = scene.spec().await?;
    ensure!(!spec.to_string().contains("main-oidc-") && !spec.to_string().contains("corp-ldap-"), "{spec:#}");
    scene.expect_no_broken_reference()
}
