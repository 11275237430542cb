//! What stands beside the certificates of a bundle stays where it is.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use test_support::{
    ControlPlane, Workspace, condition,
    definitions::{StoredVersion, weights_and_biases},
    pods::WandbWorkload,
};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::world::{PASSWORD, certificate, directory, eventually, ldap_config, operator};

const WORDS: &str = "planted-words-beside-the-certificate";
/// Base64 of something that is no key.
const KEY: &str = "cGxhbnRlZC1wcml2YXRlLWtleQ==";

async fn put_bundle(workspace: &Workspace, text: &str) -> Result<()> {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": {"ca.crt": text},
    });
    workspace.apply(&map.to_string()).await
}

/// Everything in the namespace that could carry a bundle further, as texts.
async fn outputs(
    workspace: &Workspace,
    resources: &Api<DynamicObject>,
) -> Result<Vec<(&'static str, String)>> {
    let all = ListParams::default();
    let (client, namespace) = (workspace.client().clone(), workspace.namespace());
    let mut secrets = String::new();
    for secret in workspace.secrets().list(&all).await? {
        for (key, value) in secret.data.unwrap_or_default() {
            writeln!(secrets, "{key}: {}", String::from_utf8_lossy(&value.0))?;
        }
    }
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&all).await?.items;
    let pods = Api::<Pod>::namespaced(client, namespace).list(&all).await?.items;
    let configs = workspace.resources("LdapConfig")?.list(&all).await?.items;
    Ok(vec![
        ("secrets", secrets),
        ("resources of W&B", serde_json::to_string(&resources.list(&all).await?.items)?),
        ("deployments", serde_json::to_string(&deployments)?),
        ("pods", serde_json::to_string(&pods)?),
        ("resources", serde_json::to_string(&configs)?),
        ("events", workspace.events().await?),
    ])
}

#[tokio::test]
async fn a_private_key_in_the_bundle_goes_nowhere() -> Result<()> {
    let mut definitions = custom_resource_definitions();
    definitions.push(weights_and_biases(StoredVersion::V2)?);
    let workspace = Workspace::create(ControlPlane::shared().await?, &definitions).await?;
    let kind = GroupVersionKind::gvk("apps.wandb.com", "v2", "WeightsAndBiases");
    let resource = ApiResource::from_gvk_with_plural(&kind, "weightsandbiases");
    let resources: Api<DynamicObject> =
        Api::namespaced_with(workspace.client().clone(), workspace.namespace(), &resource);
    let wandb = DynamicObject::new("wandb", &resource).data(json!({"spec": {
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {"hostname": "https://wandb.example.com", "version": "0.78.0", "bucketProxy": false, "features": {}},
    }}));
    resources.patch("wandb", &PatchParams::apply("test"), &Patch::Apply(&wandb)).await?;
    workspace.apply(&WandbWorkload::deployment("local").manifest()).await?;

    let certificate = certificate()?;
    let slapd = directory(&certificate)?;
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    put_bundle(&workspace, &format!("# {WORDS}\n{}", certificate.authority_pem.replace('\n', "\r\n")))
        .await?;
    let operator = operator(&workspace)?;
    let into_wandb = ldap_config(&slapd.ldaps_url()?, "target: {weightsAndBiases: {name: wandb}}");
    let into_pods = ldap_config(&slapd.ldaps_url()?, "target: {deployment: {name: local}}");
    workspace.apply(&into_wandb).await?;
    workspace.apply(&into_pods.replace("name: corp", "name: pods")).await?;

    // What is delivered is the certificate and nothing else.
    let listed = eventually("the authorities of the resource", || async {
        let object = resources.get("wandb").await?;
        let list = object.data["spec"]["global"]["customCACerts"].as_array().cloned().unwrap_or_default();
        Ok(list.first().and_then(Value::as_str).map(str::to_owned))
    })
    .await?;
    ensure!(listed.ends_with(&certificate.authority_pem.replace("\r\n", "\n")), "{listed}");
    eventually("the Secret of the Deployment", || async {
        Ok(workspace.secrets().get_opt("pods-ldap").await?.map(drop))
    })
    .await?;
    for (place, text) in outputs(&workspace, &resources).await? {
        ensure!(!text.contains(WORDS), "words of the bundle stand in the {place}");
    }

    // A bundle that gets a key is refused, and what was delivered stays.
    let key = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n");
    put_bundle(&workspace, &format!("{}{key}", certificate.authority_pem)).await?;
    for name in ["corp", "pods"] {
        let status = workspace.wait_for_reason("LdapConfig", name, "ResolvedRefs", "InvalidCABundle").await?;
        let message = condition(&status, "ResolvedRefs").context("no condition")?["message"].to_string();
        for part in ["private key (line", "consider replacing that key", "spec.tls.caBundle"] {
            ensure!(message.contains(part), "{part}: {message}");
        }
    }
    for (place, text) in outputs(&workspace, &resources).await? {
        ensure!(!text.contains(KEY) && !text.contains("PRIVATE KEY"), "the key stands in the {place}");
    }
    ensure!(!operator.log().read()?.contains(KEY), "the key stands in the log");
    let object = resources.get("wandb").await?;
    ensure!(object.data["spec"]["global"]["customCACerts"][0] == listed, "what was delivered went away");
    Ok(())
}
