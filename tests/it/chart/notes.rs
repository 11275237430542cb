//! What Helm prints after an installation.

use anyhow::{Context, Result, ensure};
use test_support::{ControlPlane, Helm, Installation, User, Workspace, definitions, helm::NAMESPACE};
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
