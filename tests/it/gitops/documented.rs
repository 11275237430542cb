//! The documented resources do not drift: the API server's defaults are no difference to any tool. What is shipped
//! installs the operator as the documentation does.

use anyhow::{Context, Result, ensure};
use test_support::{
    GitOps, Helm,
    gitops::{ArgoApply, Comparison},
};

use super::{in_namespace, kubeconfig, shipped};
use crate::{documentation::documented_resources, world::workspace};

#[tokio::test]
async fn the_documented_resources_are_in_sync_with_their_manifests() -> Result<()> {
    let tools = GitOps::install()?;
    let kubeconfig = kubeconfig().await?;
    let workspace = workspace().await?;
    let manifests: Vec<_> =
        documented_resources()?.into_iter().map(|manifest| in_namespace(manifest, &workspace)).collect();
    ensure!(manifests.len() >= 5, "every kind, and both kinds of credentials");

    tools.argo_apply(kubeconfig, &manifests, ArgoApply::ClientSide)?;
    for comparison in [Comparison::ThreeWay, Comparison::ServerSide] {
        for (manifest, difference) in
            manifests.iter().zip(tools.argo_diff(kubeconfig, &manifests, comparison)?)
        {
            ensure!(!difference.modified, "{comparison:?} of {}: {difference:#?}", manifest["kind"]);
        }
    }
    tools.argo_apply(kubeconfig, &manifests, ArgoApply::ServerSide)?;
    for difference in tools.argo_diff(kubeconfig, &manifests, Comparison::StructuredMerge)? {
        ensure!(!difference.modified, "{difference:#?}");
    }

    tools.flux_apply(kubeconfig, &manifests)?;
    let round = tools.flux_apply(kubeconfig, &manifests)?;
    ensure!(round.changes.len() == manifests.len(), "{round:#?}");
    ensure!(
        round.changes.values().chain(round.drift.values()).all(|action| action == "unchanged"),
        "{round:#?}"
    );
    Ok(())
}

#[test]
fn the_shipped_releases_take_the_image_from_a_registry() -> Result<()> {
    let application = shipped("argo-cd/applications.yaml")?.remove(0);
    let mut flux = shipped("flux/operator.yaml")?;
    flux.retain(|document| document["kind"] == "HelmRelease");
    let release = flux.pop().context("no HelmRelease")?;
    let helm = Helm::new()?;
    for values in [&application["spec"]["source"]["helm"]["valuesObject"], &release["spec"]["values"]] {
        let rendered = helm.template(values)?;
        ensure!(rendered.contains("image: \"registry.example.com/tools/wandb-auth-operator:"), "{values}");
    }
    Ok(())
}
