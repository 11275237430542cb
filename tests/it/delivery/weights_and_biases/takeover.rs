//! Taking over a sign-in that somebody else has set in the W&B operator's resource.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use test_support::{ControlPlane, WandbOperator, definitions::StoredVersion, pods::Life};

use super::{Scene, eventually, first_version};
use crate::{
    delivery::other_resources::message_of,
    world::{CLIENT_SECRET, oidc_provider},
};

/// The variables of the pods and their values, wherever these stand in the resource.
type Before = [(&'static str, &'static str)];

const BEFORE: [(&str, &str); 4] = [
    ("GORILLA_OIDC_ISSUER", CLIENT_SECRET),
    ("GORILLA_OIDC_CLIENT_ID", "their-client"),
    ("GORILLA_OIDC_SECRET", CLIENT_SECRET),
    ("GORILLA_SESSION_LENGTH", "1h"),
];

fn spec() -> Value {
    // A Secret that is there already, whatever it holds.
    let theirs = json!({"name": "oidc-client", "key": "secret"});
    json!({
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {
            "hostname": "https://wandb.example.com", "version": "0.78.0", "bucketProxy": false, "features": {},
            "security": {"hideUpgradeBanner": false},
            "oidc": {"issuerUrl": theirs, "clientSecret": theirs, "sessionLength": "1h"},
            "legacyOverrides": {"global": {"env": [
                {"name": "FOREIGN", "value": "kept"},
                {"name": "GORILLA_OIDC_CLIENT_ID", "value": "their-client"},
            ]}},
        },
    })
}

async fn apply(scene: &Scene, policy: &str) -> Result<()> {
    let target = format!("target: {{adopt: {policy}, weightsAndBiases: {{name: wandb}}}}");
    scene.workspace.apply(&oidc_provider(scene.provider.issuer(), &target)).await
}

/// Fails where any pod ever started without a variable that was there.
fn expect_never_without(scene: &Scene, before: &Before) -> Result<()> {
    for pod in scene.player.pods() {
        for inputs in scene.player.starts_of(&pod) {
            for (name, _) in before {
                ensure!(inputs.environment.contains_key(*name), "{pod} started without {name}: {inputs:#?}");
            }
        }
    }
    scene.expect_no_broken_reference()
}

/// Waits until there are so many pods and all have these values.
async fn expect_values(scene: &Scene, replicas: usize, before: &Before) -> Result<()> {
    let waiting = eventually("the values of before", || async {
        let pods = scene.pods().await?;
        let has = |pod: &Pod| {
            let inputs = scene.player.environment_of(&pod.name_any());
            inputs.is_some_and(|inputs| {
                before
                    .iter()
                    .all(|(name, value)| inputs.environment.get(*name).map(String::as_str) == Some(value))
            })
        };
        Ok((pods.len() == replicas && pods.iter().all(has)).then_some(()))
    })
    .await;
    let pods = scene.pods().await?;
    let seen: Vec<_> = pods.iter().map(|pod| scene.player.environment_of(&pod.name_any())).collect();
    waiting.with_context(|| format!("expected {before:?} in {replicas} pods and saw {seen:#?}"))
}

#[tokio::test]
async fn what_was_there_comes_back_where_the_first_rollout_fails() -> Result<()> {
    let scene =
        Scene::open(ControlPlane::shared().await?, StoredVersion::V2, WandbOperator::v2, spec()).await?;
    for policy in ["Never", "Equal"] {
        apply(&scene, policy).await?;
        let workspace = &scene.workspace;
        let status = workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "FieldConflict").await?;
        let message = message_of(&status, "RolledOut");
        ensure!(!message.contains("their-client"), "{message}");
        let part = if policy == "Never" { "spec.target.adopt" } else { "GORILLA_OIDC_CLIENT_ID" };
        ensure!(message.contains(part), "{message}");
        assert_eq!(scene.spec().await?, scene.before);
    }

    scene.crash_with("main-oidc-2");
    apply(&scene, "Replace").await?;
    let status = scene.workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "RolledBack").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("revision 1, which has what was there before"), "{message}");
    let wandb = scene.spec().await?["wandb"].take();
    let key = |name: &str| json!({"name": "main-oidc-1", "key": name});
    assert_eq!(wandb["oidc"]["issuerUrl"], key("GORILLA_OIDC_ISSUER"));
    assert_eq!(wandb["oidc"]["clientId"], key("GORILLA_OIDC_CLIENT_ID"));
    assert_eq!(wandb["oidc"]["sessionLength"], "1h");
    let names = wandb["legacyOverrides"]["global"]["env"].as_array().context("env")?;
    assert_eq!(names, &[json!({"name": "FOREIGN", "value": "kept"})]);
    expect_values(&scene, 1, &BEFORE).await?;
    expect_never_without(&scene, &BEFORE)?;

    // It works now.
    scene.player.change_script(|_| Life::Ready);
    scene.workspace.recheck("OidcProvider", "main", "now").await?;
    let status = scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    expect_never_without(&scene, &BEFORE)
}

/// The same of the first version, in both applications: some in the environment, some in the fields of the chart.
const BEFORE_IN_V1: [(&str, &str); 5] = [
    ("OIDC_ISSUER", "https://login.example.com"),
    ("GORILLA_OIDC_ISSUER", "https://login.example.com"),
    ("GORILLA_OIDC_CLIENT_ID", "their-client"),
    ("OIDC_SECRET", CLIENT_SECRET),
    ("GORILLA_OIDC_SECRET", CLIENT_SECRET),
];

fn spec_of_v1() -> Value {
    let issuer = "https://login.example.com";
    json!({
        "chart": {"url": "https://charts.example.com"},
        "values": {"global": {
            "host": "https://wandb.example.com",
            "extraEnv": {"FOREIGN": "kept", "OIDC_ISSUER": issuer, "GORILLA_OIDC_ISSUER": issuer},
            "auth": {"oidc": {
                "clientId": "their-client",
                "oidcSecret": {"name": "oidc-client", "secretKey": "secret"},
            }},
        }},
    })
}

#[tokio::test]
async fn values_of_the_chart_come_back_where_the_first_rollout_fails() -> Result<()> {
    let plane = first_version::plane().await?;
    let scene = Scene::open(plane, StoredVersion::OnlyV1, WandbOperator::v1, spec_of_v1()).await?;
    expect_values(&scene, 2, &BEFORE_IN_V1).await?;
    apply(&scene, "Never").await?;
    let status =
        scene.workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "FieldConflict").await?;
    let message = message_of(&status, "RolledOut");
    for part in ["extraEnv.OIDC_ISSUER", "auth.oidc.clientId", "auth.oidc.oidcSecret", "spec.target.adopt"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(scene.spec().await?, scene.before);

    scene.crash_with("main-oidc-2");
    apply(&scene, "Replace").await?;
    let status = scene.workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "RolledBack").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("revision 1, which has what was there before"), "{message}");
    expect_values(&scene, 2, &BEFORE_IN_V1).await?;
    expect_never_without(&scene, &BEFORE_IN_V1)?;

    // It works now.
    scene.player.change_script(|_| Life::Ready);
    scene.workspace.recheck("OidcProvider", "main", "now").await?;
    let status = scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    expect_never_without(&scene, &BEFORE_IN_V1)
}
