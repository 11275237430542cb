//! Releases of W&B's chart: what each makes of the entries.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::json;
use test_support::{WandbOperator, definitions::StoredVersion};

use super::{plane, spec};
use crate::delivery::{other_resources::message_of, weights_and_biases::Scene};

/// What a pod of the application was started with.
async fn environment(scene: &Scene, application: &str) -> Result<std::collections::BTreeMap<String, String>> {
    let pods = scene.pods().await?;
    let prefix = format!("wandb-{application}");
    let pod = pods.iter().find(|pod| pod.name_any().starts_with(&prefix)).context("no pod")?;
    Ok(scene.player.environment_of(&pod.name_any()).context("it did not start")?.environment)
}

#[tokio::test]
async fn every_release_that_takes_references_gets_all_that_a_login_needs() -> Result<()> {
    // From 0.38.0 on the chart has a place for the client's secret, and from 0.41.3 on it makes the origins.
    for (release, origins) in [("0.33.0", None), ("0.43.8", Some("https://wandb.example.com,null"))] {
        let vendor = |workspace: &_| WandbOperator::v1_of_release(workspace, release, json!({}));
        let scene = Scene::open(plane().await?, StoredVersion::OnlyV1, vendor, spec()).await?;
        scene.apply_oidc().await?;
        scene.workspace.wait_until_ready("OidcProvider", "main").await?;
        for application in ["app", "api"] {
            let found = environment(&scene, application).await?;
            let get = |name: &str| found.get(name).map(String::as_str);
            for name in ["OIDC_SECRET", "GORILLA_OIDC_SECRET"] {
                assert_eq!(get(name), Some(crate::world::CLIENT_SECRET), "{release}, {application}: {name}");
            }
            assert_eq!(get("GORILLA_OIDC_CLIENT_ID"), Some("wandb"), "{release}, {application}");
            assert_eq!(get("GORILLA_AUTH_METHOD"), Some("pkce"), "{release}, {application}");
            assert_eq!(get("GORILLA_CORS_ORIGINS"), origins, "{release}, {application}");
        }
        scene.expect_no_broken_reference()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_release_that_makes_a_text_of_references_is_refused_with_its_number() -> Result<()> {
    let vendor = |workspace: &_| WandbOperator::v1_of_release(workspace, "0.32.9", json!({}));
    let scene = Scene::open(plane().await?, StoredVersion::OnlyV1, vendor, spec()).await?;
    scene.apply_oidc().await?;
    let status =
        scene.workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "TargetRefused").await?;
    let message = message_of(&status, "RolledOut");
    for part in ["operator-wandb 0.32.9", "map[valueFrom:", "0.33.0 or later"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(scene.spec().await?, scene.before);
    scene.expect_no_broken_reference()
}
