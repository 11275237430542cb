//! The documented way in beside the W&B operator: `import`, then `kubectl apply`. What the parts that answer logins
//! start with is the same before and after, value by value.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use test_support::{ControlPlane, User, WandbOperator, definitions::StoredVersion};

use super::{Scene, eventually, first_version, second_version};
use crate::{
    command_line::call::Directory,
    delivery::is_ready,
    world::{CLIENT_SECRET, HOST},
};

/// What the pods of each Deployment started with.
type Environments = BTreeMap<String, BTreeMap<String, String>>;

/// What each Deployment's pod started with, once all are ready and have this variable.
async fn environments(scene: &Scene, name: &str, value: &str) -> Result<Environments> {
    eventually("pods with the variable", || async {
        let mut found = Environments::new();
        for pod in scene.pods().await? {
            let of = pod.name_any();
            let deployment = of.rsplitn(3, '-').last().unwrap_or_default().to_owned();
            let Some(inputs) = scene.player.environment_of(&of).filter(|_| is_ready(&pod)) else {
                return Ok(None);
            };
            if inputs.environment.get(name).map(String::as_str) != Some(value)
                || found.insert(deployment, inputs.environment).is_some()
            {
                return Ok(None);
            }
        }
        Ok((!found.is_empty()).then_some(found))
    })
    .await
}

/// Imports the resource, applies what comes out, and compares.
async fn stays_the_same(scene: &Scene, plane: &ControlPlane, new: &[&str]) -> Result<()> {
    let before = environments(scene, "GORILLA_OIDC_CLIENT_ID", "wandb").await?;
    let kubeconfig = plane.kubeconfig(User::Admin).display().to_string();
    let files = Directory::with(&[])?.variable("KUBECONFIG", kubeconfig);
    let namespace = scene.workspace.namespace();
    let printed =
        files.call(&format!("import -n {namespace} weightsandbiases/wandb --secrets-out secrets.yaml"))?;
    printed.assert_no_secret();
    ensure!(printed.code == 0, "{printed}");
    if let Ok(secrets) = fs::read_to_string(files.path().join("secrets.yaml")) {
        scene.workspace.apply(&secrets).await?;
    }
    ensure!(printed.stdout.contains("adopt: Equal"), "{printed}");
    scene.workspace.apply(&printed.stdout).await?;
    let status = scene.workspace.wait_until_ready("OidcProvider", "wandb").await?;
    ensure!(status.get("revision") == Some(&json!(2)), "{status:#}");
    let after = environments(scene, "GORILLA_OIDC_CLIENT_ID", "wandb").await?;
    ensure!(before.keys().eq(after.keys()), "{:?} {:?}", before.keys(), after.keys());
    for (deployment, before) in &before {
        let after = after.get(deployment).context("a Deployment")?;
        for (name, value) in before {
            ensure!(after.get(name) == Some(value), "{deployment}, {name}: {:?}\n{printed}", after.get(name));
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            let is_announced = printed.stderr.contains(&format!("+ {name}: not set today"));
            ensure!(is_announced || new.contains(&name.as_str()), "{deployment}, {name}\n{printed}");
        }
    }
    scene.expect_no_broken_reference()
}

#[tokio::test]
async fn values_of_the_first_version() -> Result<()> {
    let plane = first_version::plane().await?;
    let scene = Scene::open(plane, StoredVersion::OnlyV1, WandbOperator::v1, first_version::spec()).await?;
    let reference = json!({"valueFrom": {"secretKeyRef": {"name": "oidc-client", "key": "secret"}}});
    let values = json!({
        "global": {
            "customCACerts": [scene.certificate.authority_pem],
            "auth": {"sessionLengthHours": 24, "oidc": {
                "clientId": "wandb", "issuer": scene.provider.issuer(), "authMethod": "pkce",
            }},
            "extraEnv": {"GORILLA_OIDC_SECRET": reference},
            "env": {"OIDC_SECRET": reference},
        },
        "app": {"env": {"DISABLE_SSO_PROVISIONING": "true"}},
    });
    scene.merge(&json!({"spec": {"values": values}})).await?;
    // The other names of settings that one of the two parts has today.
    let names = [
        "OIDC_ISSUER",
        "OIDC_CLIENT_ID",
        "OIDC_AUTH_METHOD",
        "SESSION_LENGTH",
        "GORILLA_DISABLE_SSO_PROVISIONING",
        "DISABLE_SSO_PROVISIONING",
    ];
    stays_the_same(&scene, plane, &names).await
}

#[tokio::test]
async fn selectors_of_the_second_version() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let scene = Scene::open(plane, StoredVersion::V2, WandbOperator::v2, second_version::spec()).await?;
    let settings = [
        ("issuer", scene.provider.issuer()),
        ("client", "wandb"),
        ("secret", CLIENT_SECRET),
        ("method", "pkce"),
    ];
    scene.workspace.put_secret("wandb-sso", &settings).await?;
    let key = |key: &str| json!({"name": "wandb-sso", "key": key});
    let env = json!([{"name": "FOREIGN", "value": "kept"}, {"name": "GORILLA_USE_IDENTIFIER_CLAIMS", "value": "true"}]);
    let spec: Value = json!({
        "global": {"customCACerts": [scene.certificate.authority_pem]},
        "wandb": {
            "hostname": HOST,
            "oidc": {
                "issuerUrl": key("issuer"), "clientId": key("client"), "clientSecret": key("secret"),
                "authMethod": key("method"), "sessionLength": "24h",
            },
            "legacyOverrides": {"global": {"env": env}},
        },
    });
    scene.merge(&json!({ "spec": spec })).await?;
    stays_the_same(&scene, plane, &[]).await
}
