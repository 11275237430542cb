//! A `WeightsAndBiases` that a tool applies from git: no drift, as long as git leaves the list to the operator.

use anyhow::Result;
use serde_json::{Value, json};
use test_support::{
    ControlPlane, GitOps, WandbOperator,
    definitions::StoredVersion,
    gitops::{ArgoApply, Comparison},
};

use super::Scene;
use crate::gitops::kubeconfig;

const COMPARISONS: [Comparison; 3] =
    [Comparison::ThreeWay, Comparison::StructuredMerge, Comparison::ServerSide];

#[tokio::test]
async fn nothing_drifts_unless_git_has_a_list_of_its_own() -> Result<()> {
    let tools = GitOps::install()?;
    let kubeconfig = kubeconfig().await?;
    let spec = json!({
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {"hostname": "https://wandb.example.com", "version": "0.78.0", "bucketProxy": false, "features": {}},
    });
    let plane = ControlPlane::shared().await?;
    let scene = Scene::open(plane, StoredVersion::V2, WandbOperator::v2, spec.clone()).await?;
    let manifest = json!({
        "apiVersion": "apps.wandb.com/v2", "kind": "WeightsAndBiases",
        "metadata": {"name": "wandb", "namespace": scene.workspace.namespace()}, "spec": spec,
    });
    let manifests = [manifest.clone()];
    let is_modified = |manifest: &Value, comparison| {
        let differences = tools.argo_diff(kubeconfig, std::slice::from_ref(manifest), comparison)?;
        anyhow::Ok(differences.iter().any(|difference| difference.modified))
    };
    tools.argo_apply(kubeconfig, &manifests, ArgoApply::ClientSide)?;
    tools.argo_apply(kubeconfig, &manifests, ArgoApply::ServerSide)?;
    scene.deliver_both().await?;
    let delivered = scene.spec().await?;
    for comparison in COMPARISONS {
        assert!(!is_modified(&manifest, comparison)?, "{comparison:?}");
    }
    tools.argo_apply(kubeconfig, &manifests, ArgoApply::ClientSide)?;
    tools.argo_apply(kubeconfig, &manifests, ArgoApply::ServerSide)?;
    // The first round of Flux adds its labels.
    tools.flux_apply(kubeconfig, &manifests)?;
    let round = tools.flux_apply(kubeconfig, &manifests)?;
    assert!(
        round.changes.values().chain(round.drift.values()).all(|action| action == "unchanged"),
        "{round:#?}"
    );
    assert_eq!(scene.spec().await?, delivered);

    let mut with_list = manifest;
    with_list["spec"]["wandb"]["legacyOverrides"] =
        json!({"global": {"env": [{"name": "FOREIGN", "value": "of git"}]}});
    for comparison in COMPARISONS {
        assert!(is_modified(&with_list, comparison)?, "{comparison:?}");
    }
    Ok(())
}
