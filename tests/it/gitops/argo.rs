//! Argo CD's engine: what it applies stays in sync, beside what the operator writes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::Value;
use test_support::{
    GitOps,
    gitops::{ArgoApply, Comparison},
    pods::WandbWorkload,
};

use super::{kubeconfig, placed, shipped};
use crate::{
    delivery::{
        Stage, TARGET,
        edits_by_others::{expect_all, expect_silence, written},
        eventually,
    },
    world::ldap_config,
};

#[tokio::test]
async fn what_argo_cd_applied_as_kubectl_does_stays_in_sync() -> Result<()> {
    expect_in_sync(ArgoApply::ClientSide, &[Comparison::ThreeWay, Comparison::ServerSide]).await
}

#[tokio::test]
async fn what_argo_cd_applied_by_the_server_stays_in_sync() -> Result<()> {
    expect_in_sync(ArgoApply::ServerSide, &[Comparison::StructuredMerge, Comparison::ServerSide]).await
}

/// Applies a Deployment and a resource that delivers into it, and compares both after the operator's writes.
async fn expect_in_sync(how: ArgoApply, comparisons: &[Comparison]) -> Result<()> {
    let tools = GitOps::install()?;
    let kubeconfig = kubeconfig().await?;
    let workload = WandbWorkload::deployment("wandb");
    let stage = Stage::open(&workload).await?;
    let config = ldap_config(&stage.directory.ldaps_url()?, TARGET);
    let manifests = [placed(&workload.manifest(), &stage.workspace)?, placed(&config, &stage.workspace)?];
    tools.argo_apply(kubeconfig, &manifests, how)?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_all(&stage, "corp-ldap-1").await?;
    stage.workspace.recheck("LdapConfig", "corp", "by hand").await?;
    let before = written(&stage).await?;
    let changed = [
        placed(&workload.clone().variable("ROUND", "2").manifest(), &stage.workspace)?,
        placed(&config.replace("baseDN: dc=", "baseDN: ou=people,dc="), &stage.workspace)?,
    ];
    for comparison in comparisons {
        assert_eq!(modified(&tools, kubeconfig, &manifests, *comparison)?, [false, false]);
        assert_eq!(modified(&tools, kubeconfig, &changed, *comparison)?, [true, true]);
    }

    // A synchronization that repairs itself, and one of a new version.
    tools.argo_apply(kubeconfig, &manifests, how)?;
    let [deployment, _] = &changed;
    tools.argo_apply(kubeconfig, std::slice::from_ref(deployment), how)?;
    // Both sides of a comparison carry the status, which changes until the rollout is over.
    is_rolled_out(&stage).await?;
    for comparison in comparisons {
        let found = modified(&tools, kubeconfig, std::slice::from_ref(deployment), *comparison)?;
        assert_eq!(found, [false], "{comparison:?}");
    }
    expect_all(&stage, "corp-ldap-1").await?;
    expect_silence(&stage).await?;
    assert_eq!(written(&stage).await?, before, "there was nothing to write");
    stage.expect_no_broken_reference()
}

async fn is_rolled_out(stage: &Stage) -> Result<()> {
    eventually("the end of the rollout", || async {
        let deployment = stage.api::<Deployment>().get("wandb").await?;
        let status = deployment.status.unwrap_or_default();
        let is_seen = status.observed_generation == deployment.metadata.generation;
        let is_whole =
            status.unavailable_replicas.unwrap_or(0) == 0 && status.replicas == status.updated_replicas;
        Ok((is_seen && is_whole).then_some(()))
    })
    .await
}

fn modified(
    tools: &GitOps,
    kubeconfig: &Path,
    manifests: &[Value],
    comparison: Comparison,
) -> Result<Vec<bool>> {
    let differences = tools.argo_diff(kubeconfig, manifests, comparison)?;
    for difference in differences.iter().filter(|difference| difference.modified) {
        eprintln!("{comparison:?}\nlive: {}\npredicted: {}", difference.live, difference.predicted);
    }
    Ok(differences.iter().map(|difference| difference.modified).collect())
}

/// The fields of `spec` that Argo CD documents for an `Application`, as far as the shipped ones have them.
const FIELDS: [&str; 15] = [
    "destination.namespace",
    "destination.server",
    "project",
    "source.helm.releaseName",
    "source.helm.valuesObject.image.registry",
    "source.path",
    "source.repoURL",
    "source.targetRevision",
    "syncPolicy.automated.prune",
    "syncPolicy.automated.selfHeal",
    "syncPolicy.retry.backoff.duration",
    "syncPolicy.retry.backoff.factor",
    "syncPolicy.retry.backoff.maxDuration",
    "syncPolicy.retry.limit",
    "syncPolicy.syncOptions",
];

/// The same of its sync options.
const OPTIONS: [&str; 3] =
    ["CreateNamespace=true", "ServerSideApply=true", "SkipDryRunOnMissingResource=true"];

#[test]
fn the_shipped_applications_have_fields_that_exist_and_follow_each_other() -> Result<()> {
    let applications = shipped("argo-cd/applications.yaml")?;
    let mut waves = Vec::new();
    for application in &applications {
        assert_eq!(application["apiVersion"], "argoproj.io/v1alpha1");
        assert_eq!(application["kind"], "Application");
        let mut fields = Vec::new();
        leaves(&application["spec"], "", &mut fields);
        let unknown: Vec<_> = fields.iter().filter(|field| !FIELDS.contains(&field.as_str())).collect();
        ensure!(unknown.is_empty(), "{unknown:?}");
        let options =
            application["spec"]["syncPolicy"]["syncOptions"].as_array().cloned().unwrap_or_default();
        let unknown: Vec<_> =
            options.iter().filter(|option| !OPTIONS.iter().any(|&known| **option == known)).collect();
        ensure!(unknown.is_empty(), "{unknown:?}");
        let wave = &application["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
        waves.push(wave.as_str().context("a wave")?.parse::<i32>()?);
    }
    assert_eq!(waves, [0, 1], "the operator comes first");
    assert_eq!(applications[0]["spec"]["source"]["path"], "charts/wandb-auth-operator");
    Ok(())
}

fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    let Some(fields) = value.as_object() else {
        found.push(path.trim_start_matches('.').to_owned());
        return;
    };
    for (name, value) in fields {
        leaves(value, &format!("{path}.{name}"), found);
    }
}
