//! Flux's apply engine and what it says of the health of what it applied.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{GitOps, pods::WandbWorkload};

use super::{flux_expressions, kubeconfig, placed, shipped};
use crate::{
    delivery::{
        Stage, TARGET,
        edits_by_others::{expect_all, expect_silence, written},
    },
    world::{ldap_config, operator},
};

/// Much longer than a verdict takes.
const TIMEOUT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn nothing_drifts_where_nobody_changed_anything() -> Result<()> {
    let tools = GitOps::install()?;
    let kubeconfig = kubeconfig().await?;
    let workload = WandbWorkload::deployment("wandb");
    let stage = Stage::open(&workload).await?;
    let config = ldap_config(&stage.directory.ldaps_url()?, TARGET);
    let manifests = [placed(&workload.manifest(), &stage.workspace)?, placed(&config, &stage.workspace)?];
    tools.flux_apply(kubeconfig, &manifests)?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_all(&stage, "corp-ldap-1").await?;

    // The operator has written a status, a finalizer and entries, and a person an annotation.
    stage.workspace.recheck("LdapConfig", "corp", "by hand").await?;
    let before = written(&stage).await?;
    for _ in 0..2 {
        let round = tools.flux_apply(kubeconfig, &manifests)?;
        assert_eq!(actions(&round.drift), ["unchanged", "unchanged"], "{round:#?}");
        assert_eq!(actions(&round.changes), ["unchanged", "unchanged"], "{round:#?}");
    }

    let changed = workload.variable("ROUND", "2").manifest();
    let round = tools.flux_apply(kubeconfig, &[placed(&changed, &stage.workspace)?])?;
    assert_eq!(actions(&round.drift), ["configured"], "{round:#?}");
    expect_all(&stage, "corp-ldap-1").await?;
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, before, "there was nothing to write");
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_kustomization_waits_for_what_is_right_and_fails_at_once_for_what_is_wrong() -> Result<()> {
    let tools = GitOps::install()?;
    let kubeconfig = kubeconfig().await?;
    let expressions = flux_expressions()?;
    let mut stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
    stage.operator = Some(operator(&stage.workspace)?);
    let mut manifest = placed(&ldap_config(&stage.directory.ldaps_url()?, ""), &stage.workspace)?;
    let error = |manifest: &Value, expressions: &Value, timeout: Duration| {
        let manifests = std::slice::from_ref(manifest);
        let round = tools.flux_apply_and_wait(kubeconfig, manifests, expressions, timeout);
        anyhow::Ok(round?.wait_error)
    };
    assert_eq!(error(&manifest, &expressions, TIMEOUT)?, "");

    let base = std::mem::replace(&mut manifest["spec"]["baseDN"], "dc=nowhere".into());
    let told = error(&manifest, &expressions, TIMEOUT)?;
    let name = format!("LdapConfig/{}/corp", stage.workspace.namespace());
    ensure!(told.contains("failed early") && told.contains(&name) && told.contains("Failed"), "{told}");
    assert_eq!(error(&manifest, &json!([]), TIMEOUT)?, told, "kstatus alone sees it, too");

    manifest["spec"]["baseDN"] = base;
    manifest["spec"]["suspend"] = true.into();
    assert_eq!(error(&manifest, &expressions, TIMEOUT)?, "", "it is as git wants it");
    let told = error(&manifest, &json!([]), Duration::from_secs(10))?;
    ensure!(told.contains("timeout") && told.contains("InProgress"), "without expressions: {told}");
    Ok(())
}

#[test]
fn the_shipped_files_are_what_flux_understands() -> Result<()> {
    let tools = GitOps::install()?;
    let operator = shipped("flux/operator.yaml")?;
    let kustomizations = shipped("flux/kustomizations.yaml")?;
    let everything: Vec<Value> = operator.iter().chain(&kustomizations).cloned().collect();
    tools.flux_decode(&everything)?;
    let mut wrong = kustomizations.last().context("a Kustomization")?.clone();
    wrong["spec"]["dependOn"] = json!([]);
    ensure!(tools.flux_decode(&[wrong]).is_err(), "a field that is not there must be seen");

    let release = operator.iter().find(|document| document["kind"] == "HelmRelease").context("a release")?;
    assert_eq!(release["spec"]["install"]["crds"], "Skip");
    assert_eq!(release["spec"]["upgrade"]["crds"], "Skip");
    let names: Vec<_> = everything.iter().map(|document| &document["metadata"]["name"]).collect();
    let last = kustomizations.last().context("a Kustomization")?;
    ensure!(names.contains(&&last["spec"]["dependsOn"][0]["name"]), "{names:?}");
    assert_eq!(last["spec"]["wait"], true);
    Ok(())
}

fn actions(of: &BTreeMap<String, String>) -> Vec<&str> {
    of.values().map(String::as_str).collect()
}
