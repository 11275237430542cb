//! The life of a release on an API server of its own, since definitions belong to the whole cluster.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use test_support::{ControlPlane, Helm, Installation, User, Workspace, helm::chart};

use crate::world::{eventually, ldap_config};

async fn definitions(client: &Client) -> Result<Vec<CustomResourceDefinition>> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut all = api.list(&ListParams::default()).await?.items;
    all.retain(|definition| definition.spec.group == "auth.wandb.com");
    Ok(all)
}

/// The chart as an older version of it would be: one column less in the tables of `LdapConfig`.
fn older_chart(directory: &Path) -> Result<Helm> {
    let older = directory.join("chart");
    copy(&chart(), &older)?;
    let file = older.join("files/crds/ldapconfigs.auth.wandb.com.yaml");
    let column = "    - jsonPath: .metadata.creationTimestamp\n      name: Age\n      type: date\n";
    let definition = fs::read_to_string(&file)?;
    ensure!(definition.contains(column));
    fs::write(&file, definition.replace(column, ""))?;
    Helm::with_chart(older)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn columns(definitions: &[CustomResourceDefinition]) -> Result<usize> {
    let ldap = definitions.iter().find(|each| each.spec.names.kind == "LdapConfig");
    let version = ldap.context("no definition of LdapConfig")?.spec.versions.first();
    Ok(version.and_then(|version| version.additional_printer_columns.as_ref()).map_or(0, Vec::len))
}

#[tokio::test]
async fn definitions_are_upgraded_and_survive_with_their_resources() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let kubeconfig = plane.kubeconfig(User::Admin);
    let release = Installation { kubeconfig, namespace: "wandb" };
    let helm = Helm::new()?;
    let nothing = json!({});

    let workspace = Workspace::create(&plane, &[]).await?;
    let client = workspace.client();
    helm.upgrade_install(release, &nothing, &["--dry-run=server"])
        .context("the API server would not take the release")?;
    ensure!(definitions(client).await?.is_empty(), "a dry run changes nothing");

    let directory = tempfile::tempdir()?;
    let notes = older_chart(directory.path())?.upgrade_install(release, &nothing, &[])?;
    ensure!(notes.contains("kubectl rollout status deployment/wandb-auth-operator --namespace wandb"));
    let before = definitions(client).await?;
    ensure!(before.len() == 4, "the release brings the definitions");

    helm.upgrade_install(release, &json!({"replicaCount": 2}), &[])?;
    ensure!(columns(&definitions(client).await?)? == columns(&before)? + 1, "an upgrade reaches them");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), release.namespace);
    let deployment = deployments.get("wandb-auth-operator").await?;
    ensure!(deployment.spec.and_then(|spec| spec.replicas) == Some(2));

    workspace.apply(&ldap_config("ldaps://ldap.example.com", "")).await?;
    let uid = workspace.resources("LdapConfig")?.get("corp").await?.uid();
    helm.uninstall(release, &[])?;
    ensure!(deployments.get_opt("wandb-auth-operator").await?.is_none(), "the operator is uninstalled");
    ensure!(definitions(client).await?.len() == 4, "the definitions stay");
    ensure!(workspace.resources("LdapConfig")?.get("corp").await?.uid() == uid, "and so do the resources");

    helm.upgrade_install(release, &nothing, &[]).context("a new release takes them over")?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), release.namespace);
    let revisions = secrets.list(&ListParams::default()).await?.items;
    ensure!(revisions.iter().all(|secret| secret.type_.as_deref() == Some("helm.sh/release.v1")));
    let unkept = json!({"crds": {"keep": false}});
    helm.upgrade_install(release, &unkept, &[])?;
    let refusal = helm.upgrade_install(release, &json!({"crds": {"enabled": false, "keep": false}}), &[]);
    let told = refusal.err().context("the upgrade deletes the definitions")?.to_string();
    ensure!(told.contains("Set crds.keep: true and upgrade first"), "{told}");
    let kept = json!({"crds": {"keep": true}});
    helm.upgrade_install(release, &kept, &[]).context("what the refusal says")?;
    helm.upgrade_install(release, &json!({"crds": {"enabled": false}}), &[])?;
    ensure!(workspace.resources("LdapConfig")?.get("corp").await?.uid() == uid, "all of it stays");
    helm.upgrade_install(release, &unkept, &[]).context("the release has them again")?;
    helm.uninstall(release, &[])?;
    // The API server deletes their resources first.
    eventually("the end of the definitions, which is asked for", async || {
        Ok(definitions(client).await?.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_second_release_leaves_the_definitions_alone() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let kubeconfig = plane.kubeconfig(User::Admin);
    let helm = Helm::new()?;
    let first = Installation { kubeconfig, namespace: "wandb" };
    let second = Installation { kubeconfig, namespace: "research" };
    helm.upgrade_install(first, &json!({}), &[])?;
    let refusal = helm.upgrade_install(second, &json!({}), &[]).err();
    let refusal = refusal.context("two releases share the definitions")?.to_string();
    ensure!(refusal.contains("auth.wandb.com"), "{refusal}");
    let alone: Value = json!({"crds": {"enabled": false}});
    helm.upgrade_install(second, &alone, &[])?;
    helm.uninstall(second, &[])?;
    let workspace = Workspace::create(&plane, &[]).await?;
    ensure!(definitions(workspace.client()).await?.len() == 4);
    Ok(())
}

#[tokio::test]
async fn definitions_change_hands_when_that_is_asked_for() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let kubeconfig = plane.kubeconfig(User::Admin);
    let workspace = Workspace::create(&plane, &[]).await?;
    let helm = Helm::new()?;
    let refusal = |release, arguments: &[&str]| -> Result<String> {
        let refusal = helm.upgrade_install(release, &json!({}), arguments).err();
        Ok(refusal.context("it is taken over unasked")?.to_string())
    };

    // Somebody began without Helm, with an older version.
    let directory = tempfile::tempdir()?;
    older_chart(directory.path())?;
    for file in fs::read_dir(directory.path().join("chart/files/crds"))? {
        workspace.apply(&fs::read_to_string(file?.path())?).await?;
    }
    let before = definitions(workspace.client()).await?;
    let first = Installation { kubeconfig, namespace: "wandb" };
    let told = refusal(first, &[])?;
    ensure!(told.contains("cannot be imported into the current release"), "{told}");
    let told = refusal(first, &["--take-ownership"])?;
    ensure!(told.contains("conflict"), "the versions differ: {told}");
    helm.upgrade_install(first, &json!({}), &["--take-ownership", "--force-conflicts"])?;
    let after = definitions(workspace.client()).await?;
    ensure!(columns(&after)? == columns(&before)? + 1, "they are the chart's");

    // The release moves to another namespace.
    helm.uninstall(first, &[])?;
    let second = Installation { kubeconfig, namespace: "research" };
    let told = refusal(second, &[])?;
    ensure!(told.contains("\"meta.helm.sh/release-namespace\" must equal \"research\""), "{told}");
    helm.upgrade_install(second, &json!({}), &["--take-ownership"])?;
    for definition in definitions(workspace.client()).await? {
        ensure!(definition.annotations()["meta.helm.sh/release-namespace"] == "research");
    }
    helm.upgrade_install(second, &json!({"replicaCount": 2}), &[]).context("from then on it is as usual")?;
    Ok(())
}
