//! A revision that pods refer to is deleted by hand.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use test_support::pods::WandbWorkload;

use super::{Stage, TARGET, eventually, is_ready, other_resources::is_gone, refers_to};
use crate::world::operator;

#[tokio::test]
async fn a_deleted_revision_is_replaced_by_another_one() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    delete(&stage, "corp-ldap-1").await?;
    until_pods_refer_to(&stage, "corp-ldap-2").await?;
    let status = stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    assert_eq!(status["revision"], 2);
    assert_eq!(stage.revisions("corp-ldap").await?, [2]);
    stage.expect_two_ready_always().await?;
    stage.expect_no_broken_reference()?;

    // While nobody looks, a container even starts without it.
    stage.operator = None;
    delete(&stage, "corp-ldap-2").await?;
    let pods = stage.pods().await?;
    stage.player.restart(&pods.first().context("no pod")?.name_any());
    eventually("a broken reference", || async {
        Ok((!stage.player.broken_references().is_empty()).then_some(()))
    })
    .await?;
    stage.operator = Some(operator(&stage.workspace)?);
    until_pods_refer_to(&stage, "corp-ldap-3").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [3]);

    // With the resource, the entries go, although no revision tells where they are.
    stage.operator = None;
    delete(&stage, "corp-ldap-3").await?;
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    stage.operator = Some(operator(&stage.workspace)?);
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    assert!(stage.entries().await?.is_empty(), "{:#?}", stage.entries().await?);
    until_pods(&stage, |pod| !refers_to(pod, "corp-ldap-3")).await
}

#[tokio::test]
async fn a_revision_whose_metadata_somebody_changed_is_known_all_the_same() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    let owner = "auth.wandb.com/owner";
    let mut number = 1;
    for drift in [
        json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
        json!({"labels": null}),
        json!({"annotations": {owner: null}}),
        json!({"annotations": {owner: "somebody"}}),
        json!({"annotations": {"auth.wandb.com/target": null}}),
        json!({"annotations": null, "labels": null}),
    ] {
        let secrets = stage.workspace.secrets();
        let name = format!("corp-ldap-{number}");
        let patch = json!({ "metadata": drift });
        secrets.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        number += 1;
        let more = format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name{number}: cn}}");
        let status = stage.ready(&more).await.with_context(|| drift.to_string())?;
        assert_eq!(status["revision"], number, "{drift}");
        let metadata = secrets.get(&name).await?.metadata;
        let has =
            |map: Option<BTreeMap<String, String>>, key: &str| map.is_some_and(|map| map.contains_key(key));
        ensure!(has(metadata.annotations, owner), "{drift}: it was not repaired");
        ensure!(has(metadata.labels, "app.kubernetes.io/managed-by"), "{drift}: it was not repaired");
    }
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [] as [u64; 0]);
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn revisions_whose_label_a_tool_rewrites_stay_the_resources() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let more =
        |number: u64| format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name{number}: cn}}");
    stage.ready(&more(1)).await?;
    stage.ready(&more(2)).await?;
    let secrets = stage.workspace.secrets();
    let label = "app.kubernetes.io/managed-by";
    for name in ["corp-ldap", "corp-ldap-1", "corp-ldap-2"] {
        let patch = json!({"metadata": {"labels": {label: "Helm"}}});
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    let status = stage.ready(&more(3)).await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(3), &json!(2)));
    for name in ["corp-ldap", "corp-ldap-1", "corp-ldap-2"] {
        let labels = secrets.get(name).await?.metadata.labels.unwrap_or_default();
        ensure!(labels.get(label).is_some_and(|value| value == "Helm"), "{name}: no tug of war");
    }
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [] as [u64; 0]);
    stage.expect_no_broken_reference()
}

async fn delete(stage: &Stage, revision: &str) -> Result<()> {
    stage.workspace.secrets().delete(revision, &DeleteParams::default()).await?;
    Ok(())
}

async fn until_pods_refer_to(stage: &Stage, revision: &str) -> Result<()> {
    until_pods(stage, |pod| refers_to(pod, revision)).await
}

/// Waits until both pods are like that, and ready.
async fn until_pods(stage: &Stage, are: impl Fn(&Pod) -> bool) -> Result<()> {
    eventually("the pods", || async {
        let pods = stage.pods().await?;
        Ok((pods.len() == 2 && pods.iter().all(|pod| are(pod) && is_ready(pod))).then_some(()))
    })
    .await
}
