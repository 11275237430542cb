//! What Helm prints after an installation.

use anyhow::{Context, Result, ensure};
use test_support::{
    ControlPlane, Helm, Installation, User, Workspace, definitions,
    helm::{NAMESPACE, RELEASE},
};
use wandb_auth_operator::api::custom_resource_definitions;

use super::cases;

#[tokio::test]
async fn notes_name_commands_that_work() -> Result<()> {
    let helm = Helm::new()?;
    let plane = ControlPlane::shared().await?;
    let mut known = custom_resource_definitions();
    known.extend(definitions::monitoring()?);
    let workspace = Workspace::create(plane, &known).await?;
    let release = Installation { kubeconfig: plane.kubeconfig(User::Admin), namespace: NAMESPACE };
    for case in cases()? {
        // The definitions are there, and belong to no release.
        let printed =
            helm.upgrade_install(release, &case.values_without_definitions(), &["--dry-run=server"])?;
        let (_, notes) = printed.split_once("\nNOTES:\n").context("no notes")?;
        let (_, manifest) = notes.split_once("<<EOF\n").context("no manifest")?;
        let (manifest, _) = manifest.split_once("\nEOF\n").context("the manifest has no end")?;
        ensure!(workspace.complaints(manifest).await? == [""; 0], "{manifest}");
        ensure!(notes.contains("kubectl rollout status deployment/"), "{notes}");
        if ["all_namespaces", "everything", "namespaces"].contains(&case.name.as_str()) {
            insta::assert_snapshot!(case.name.clone(), notes);
        }
    }
    Ok(())
}

/// What is printed with these values, whether or not there is a cluster.
fn notes(values: &str) -> Result<String> {
    let helm = Helm::new()?;
    let arguments = ["install", RELEASE, helm.chart()?, "--dry-run=client", "--set", values];
    let printed = helm.run(&arguments)?;
    let (_, notes) = printed.split_once("\nNOTES:\n").context("no notes")?;
    Ok(notes.to_owned())
}

#[test]
fn alerts_without_their_metrics_are_told() -> Result<()> {
    let told = "Otherwise WandbAuthOperatorAbsent fires for ever";
    ensure!(notes("prometheusRule.enabled=true")?.contains(told));
    ensure!(!notes("prometheusRule.enabled=true,serviceMonitor.enabled=true")?.contains(told));
    ensure!(!notes("replicas=1")?.contains(told));
    Ok(())
}

#[test]
fn definitions_that_go_with_the_release_are_told() -> Result<()> {
    let told = "stay in Terminating for ever";
    ensure!(notes("crds.keep=false")?.contains(told));
    ensure!(!notes("crds.keep=false,crds.install=false")?.contains(told));
    ensure!(!notes("crds.keep=true")?.contains(told));
    Ok(())
}
