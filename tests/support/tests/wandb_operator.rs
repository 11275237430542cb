//! The stand-ins of the W&B operator on a real control plane.

use std::fmt::Debug;

use anyhow::{Context, Result};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::wait::await_condition,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::{ControlPlane, PodPlayer, WandbOperator, Workspace, pods::Life, process::PATIENCE};

/// Both versions with free-form fields: what the stand-ins do is tested here, not what the API server refuses.
fn definition() -> Result<CustomResourceDefinition> {
    let version = |name: &str, is_stored: bool| {
        json!({
            "name": name, "served": true, "storage": is_stored, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }},
        })
    };
    Ok(serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "weightsandbiases.apps.wandb.com"},
        "spec": {
            "group": "apps.wandb.com", "scope": "Namespaced",
            "names": {
                "kind": "WeightsAndBiases", "listKind": "WeightsAndBiasesList",
                "plural": "weightsandbiases", "singular": "weightsandbiases",
            },
            "versions": [version("v1", false), version("v2", true)],
        },
    }))?)
}

struct Scene {
    workspace: Workspace,
    resources: Api<DynamicObject>,
    deployments: Api<Deployment>,
    version: &'static str,
}

impl Scene {
    async fn new(version: &'static str) -> Result<Self> {
        let workspace = Workspace::create(ControlPlane::shared().await?, &[definition()?]).await?;
        let kind = GroupVersionKind::gvk("apps.wandb.com", version, "WeightsAndBiases");
        let resource = ApiResource::from_gvk_with_plural(&kind, "weightsandbiases");
        let client = workspace.client().clone();
        Ok(Self {
            resources: Api::namespaced_with(client.clone(), workspace.namespace(), &resource),
            deployments: Api::namespaced(client, workspace.namespace()),
            workspace,
            version,
        })
    }

    async fn create(&self, spec: Value) -> Result<()> {
        let object = json!({
            "apiVersion": format!("apps.wandb.com/{}", self.version), "kind": "WeightsAndBiases",
            "metadata": {"name": "main"}, "spec": spec,
        });
        self.workspace.apply(&object.to_string()).await
    }

    async fn patch(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.resources.patch("main", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn wait_for_status(&self, satisfied: impl Fn(&Value) -> bool) -> Result<()> {
        wait_until(&self.resources, "main", |object| {
            object.data.get("status").is_some_and(|status| !status.is_null() && satisfied(status))
        })
        .await
        .map(drop)
    }

    async fn wait_for_variable(&self, deployment: &str, name: &str, expected: &Value) -> Result<Deployment> {
        wait_until(&self.deployments, deployment, |found| variable(found, name) == *expected).await
    }

    async fn edit(&self, deployment: &str, name: &str, value: &str) -> Result<()> {
        let container = json!({"name": "api", "env": [{"name": name, "value": value}]});
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        let patch = Patch::Strategic(patch);
        let edited = self.deployments.patch(deployment, &PatchParams::default(), &patch).await?;
        assert_eq!(variable(&edited, name), json!({"name": name, "value": value}));
        Ok(())
    }
}

async fn wait_until<K>(api: &Api<K>, name: &str, satisfied: impl Fn(&K) -> bool) -> Result<K>
where
    K: Clone + Debug + Send + DeserializeOwned + kube::Resource + 'static,
{
    let waiting = await_condition(api.clone(), name, |object: Option<&K>| object.is_some_and(&satisfied));
    let Ok(found) = tokio::time::timeout(PATIENCE, waiting).await else {
        let now = api.get_opt(name).await?;
        anyhow::bail!("{name} did not get there; it is {now:#?}")
    };
    found?.context("the object is gone")
}

/// The entry of a variable in the only container, null where there is none.
fn variable(deployment: &Deployment, name: &str) -> Value {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let variables =
        template.into_iter().flat_map(|pod| &pod.containers).flat_map(|one| one.env.iter().flatten());
    let found = variables.into_iter().find(|variable| variable.name == name);
    found.map(|variable| json!(variable)).unwrap_or_default()
}

fn literal(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

#[tokio::test]
async fn the_second_generation_keeps_its_deployment_as_the_resource_says() -> Result<()> {
    let scene = Scene::new("v2").await?;
    let _player = PodPlayer::start(&scene.workspace, |_| Life::Ready)?;
    let _operator = WandbOperator::v2(&scene.workspace)?;
    scene.workspace.put_secret("oidc-1", &[("OIDC_ISSUER", "https://login.example.com")]).await?;
    let selector = json!({"name": "oidc-1", "key": "OIDC_ISSUER"});
    let spec = json!({
        "wandb": {"hostname": "https://wandb.example.com", "oidc": {"issuerUrl": selector}},
        "global": {"customCACerts": ["certificate"]},
    });
    scene.create(spec).await?;
    scene.wait_for_status(|status| status.get("ready") == Some(&json!(true))).await?;
    let issuer = json!({"name": "GORILLA_OIDC_ISSUER", "valueFrom": {"secretKeyRef": selector}});
    let made = scene.wait_for_variable("main-api", "GORILLA_OIDC_ISSUER", &issuer).await?;
    assert_eq!(variable(&made, "GORILLA_OIDC_CLIENT_ID"), Value::Null);
    let authorities: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(scene.workspace.client().clone(), scene.workspace.namespace());
    let authorities = authorities.get("main-ca-certs").await?.data.unwrap_or_default();
    assert_eq!(authorities.get("customCA0.crt").map(String::as_str), Some("certificate"));

    // Somebody else's entry, and one of its own that somebody changed.
    scene.edit("main-api", "FOREIGN", "entry").await?;
    scene.wait_for_variable("main-api", "FOREIGN", &Value::Null).await?;
    scene.edit("main-api", "GORILLA_SESSION_LENGTH", "1h").await?;
    let session = literal("GORILLA_SESSION_LENGTH", "720h");
    scene.wait_for_variable("main-api", "GORILLA_SESSION_LENGTH", &session).await?;

    let entry = literal("GORILLA_SESSION_LENGTH", "24h");
    scene.patch(json!({"wandb": {"legacyOverrides": {"global": {"env": [entry]}}}})).await?;
    scene.wait_for_variable("main-api", "GORILLA_SESSION_LENGTH", &entry).await?;
    let generation = scene.resources.get("main").await?.metadata.generation;
    scene
        .wait_for_status(|status| {
            status.get("observedGeneration") == Some(&json!(generation))
                && status.get("ready") == Some(&json!(true))
        })
        .await?;
    scene.resources.delete("main", &DeleteParams::default()).await?;
    scene.workspace.delete().await
}

#[tokio::test]
async fn the_first_generation_stops_at_values_that_do_not_fit() -> Result<()> {
    let scene = Scene::new("v1").await?;
    let other = json!({"global": {"extraEnv": {"LDAP_ADDRESS": "ldap://old"}, "customCACerts": ["first"]}});
    let _operator = WandbOperator::v1_with(&scene.workspace, other)?;
    scene.create(json!({"values": {"global": {"customCACerts": ["second"]}}})).await?;
    scene.wait_for_status(|status| status.get("phase") == Some(&json!("Completed"))).await?;
    for deployment in ["main-app-bc", "main-api"] {
        let address = literal("LDAP_ADDRESS", "ldap://old");
        scene.wait_for_variable(deployment, "LDAP_ADDRESS", &address).await?;
    }
    let generation = || async { anyhow::Ok(scene.deployments.get("main-api").await?.metadata.generation) };
    let before = generation().await?.context("no generation")?;

    let source = json!({"valueFrom": {"secretKeyRef": {"name": "corp-1", "key": "LDAP_ADDRESS"}}});
    let values = |address: Value, new: &str| json!({"values": {"global": {"extraEnv": {"LDAP_ADDRESS": address, "NEW": new}}}});
    scene.patch(values(source, "1")).await?;
    scene.patch(values(Value::Null, "2")).await?;
    scene.wait_for_variable("main-api", "NEW", &literal("NEW", "2")).await?;
    assert_eq!(generation().await?, Some(before + 1), "what does not fit was never applied");
    scene.workspace.delete().await
}

/// The values of a source, as the W&B operator stores them.
fn stored(values: &Value) -> Value {
    let chart = json!({"url": "https://charts.example.com", "name": "operator-wandb", "version": "0.43.8"});
    json!({"values": values.to_string(), "chart": chart.to_string()})
}

#[tokio::test]
async fn the_first_generation_takes_values_from_people_and_from_what_is_managed_in_the_cluster() -> Result<()>
{
    let scene = Scene::new("v1").await?;
    let variable = |value: &str| json!({"global": {"extraEnv": {"LIMIT": value}, "api": {"enabled": true}}});
    let _operator = WandbOperator::v1_with(&scene.workspace, variable("channel"))?;
    scene.create(json!({"values": {}})).await?;
    scene.wait_for_variable("main-api", "LIMIT", &literal("LIMIT", "channel")).await?;

    for (name, data) in [
        ("wandb-spec-managed", stored(&variable("managed"))),
        ("wandb-managed-spec-state", json!({"managed": "true"})),
    ] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        scene.workspace.apply(&map.to_string()).await?;
    }
    scene.wait_for_variable("main-api", "LIMIT", &literal("LIMIT", "managed")).await?;

    let secrets: Api<k8s_openapi::api::core::v1::Secret> =
        Api::namespaced(scene.workspace.client().clone(), scene.workspace.namespace());
    let patch = Patch::Merge(json!({"stringData": stored(&variable("console"))}));
    secrets.patch("main-spec-user", &PatchParams::default(), &patch).await?;
    scene.wait_for_variable("main-api", "LIMIT", &literal("LIMIT", "console")).await?;

    scene.patch(json!({"values": variable("resource")})).await?;
    scene.wait_for_variable("main-api", "LIMIT", &literal("LIMIT", "resource")).await?;
    // A stronger place of the chart, in the weakest source.
    let managed =
        json!({"api": {"env": {"LIMIT": "of the application"}}, "global": {"api": {"enabled": true}}});
    let patch = Patch::Merge(json!({"data": stored(&managed)}));
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(scene.workspace.client().clone(), scene.workspace.namespace());
    maps.patch("wandb-spec-managed", &PatchParams::default(), &patch).await?;
    scene.wait_for_variable("main-api", "LIMIT", &literal("LIMIT", "of the application")).await?;
    scene.workspace.delete().await
}

#[tokio::test]
async fn the_first_generation_leaves_its_deployments_until_the_resource_changes() -> Result<()> {
    let scene = Scene::new("v1").await?;
    let _player = PodPlayer::start(&scene.workspace, |_| Life::Ready)?;
    let _operator = WandbOperator::v1(&scene.workspace)?;
    scene.create(json!({"values": {}})).await?;
    scene.wait_for_status(|status| status.get("phase") == Some(&json!("Completed"))).await?;
    scene.edit("main-api", "FOREIGN", "entry").await?;
    // By the time that the edit is rolled out, whoever watches has seen it.
    let edited = wait_until(&scene.deployments, "main-api", |deployment| {
        deployment.status.as_ref().is_some_and(|status| {
            status.observed_generation == deployment.metadata.generation
                && status.updated_replicas == Some(1)
                && status.replicas == Some(1)
                && status.available_replicas == Some(1)
        })
    })
    .await?;
    assert_eq!(variable(&edited, "FOREIGN"), literal("FOREIGN", "entry"));
    scene.patch(json!({"values": {"global": {"extraEnv": {"NEW": "1"}}}})).await?;
    let made = scene.wait_for_variable("main-api", "NEW", &literal("NEW", "1")).await?;
    assert_eq!(variable(&made, "FOREIGN"), Value::Null);
    scene.workspace.delete().await
}
