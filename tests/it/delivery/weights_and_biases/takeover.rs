//! Taking over a sign-in that somebody else has set in a resource of the second version.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use test_support::{ControlPlane, WandbOperator, definitions::StoredVersion, pods::Life};

use super::{Scene, eventually};
use crate::{
    delivery::neighbours::message_of,
    world::{CLIENT_SECRET, oidc_provider},
};

/// The variables of the pods, wherever their values stand in the resource, with the values.
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
fn expect_never_without(scene: &Scene) -> Result<()> {
    for pod in scene.player.pods() {
        for inputs in scene.player.starts_of(&pod) {
            for (name, _) in BEFORE {
                ensure!(inputs.environment.contains_key(name), "{pod} started without {name}: {inputs:#?}");
            }
        }
    }
    scene.expect_no_broken_reference()
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
    eventually("the values of before", || async {
        let pods = scene.pods().await?;
        let has = |pod: &k8s_openapi::api::core::v1::Pod| {
            let inputs = scene.player.environment_of(&pod.name_any());
            inputs.is_some_and(|inputs| {
                BEFORE
                    .iter()
                    .all(|(name, value)| inputs.environment.get(*name).map(String::as_str) == Some(value))
            })
        };
        Ok((pods.len() == 1 && pods.iter().all(has)).then_some(()))
    })
    .await?;
    expect_never_without(&scene)?;

    // It works now.
    scene.player.change_script(|_| Life::Ready);
    scene.workspace.recheck("OidcProvider", "main", "now").await?;
    let status = scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    expect_never_without(&scene)
}
