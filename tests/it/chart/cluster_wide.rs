//! One operator for every namespace, with the rights that the chart grants for that and no others.

use anyhow::{Context, Result, ensure};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use test_support::{
    Certificate, ControlPlane, Helm, OpenIdProvider, PodPlayer, Slapd, User, Workspace,
    pods::{Life, WandbWorkload},
};
use wandb_auth_operator::api::custom_resource_definitions;

use super::documents;
use crate::world::{certificate, directory, ldap_config, oidc_provider, program, provider, put_references};

/// What resources refer to, in whatever namespace they are.
struct Servers {
    certificate: Certificate,
    directory: Slapd,
    provider: OpenIdProvider,
}

/// Binds the operator's user to the `ClusterRole` that the chart makes.
async fn grant_everywhere(workspace: &Workspace) -> Result<()> {
    let values = json!({"allNamespaces": true, "crds": {"enabled": false}});
    let rendered = documents(&Helm::new()?.template(&values)?)?;
    let role =
        rendered.into_iter().find(|object| object["kind"] == "ClusterRole").context("no ClusterRole")?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role["metadata"]["name"]},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"],
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    });
    workspace.apply(&role.to_string()).await?;
    workspace.apply(&binding.to_string()).await
}

/// A namespace in which the operator's user has no Role.
async fn bare_workspace(plane: &ControlPlane, name: &str) -> Result<Workspace> {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig(User::Admin))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Workspace::of_person(config, name, &custom_resource_definitions()).await
}

/// Publishes and delivers in a namespace.
async fn live_in(workspace: &Workspace, servers: &Servers) -> Result<()> {
    put_references(workspace, &servers.certificate).await?;
    let _player = PodPlayer::start(workspace, |_| Life::Ready)?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    let target = "target: {deployment: {name: wandb}}";
    workspace.apply(&ldap_config(&servers.directory.ldaps_url()?, target)).await?;
    workspace.apply(&oidc_provider(servers.provider.issuer(), "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    Ok(())
}

#[tokio::test]
async fn every_namespace_is_looked_after_also_a_later_one() -> Result<()> {
    let certificate = certificate()?;
    let servers =
        Servers { directory: directory(&certificate)?, provider: provider(&certificate)?, certificate };
    // Rights in the whole cluster would let other tests pass without their own.
    let plane = ControlPlane::start().await?;
    let home = Workspace::create(&plane, &custom_resource_definitions()).await?;
    grant_everywhere(&home).await?;
    let early = bare_workspace(&plane, "early").await?;
    let flags = ["--all-namespaces", "--allow-egress", "127.0.0.0/8", "--leader-elect"];
    let operator = home.start_operator(program(), &flags)?;
    operator.wait_until_ready()?;
    live_in(&early, &servers).await?;
    let late = bare_workspace(&plane, "late").await?;
    live_in(&late, &servers).await?;
    let by_operator = plane.audit()?.into_iter().filter(|event| event.user == "operator");
    let refused: Vec<_> = by_operator.filter(|event| event.code == 403).collect();
    ensure!(refused.is_empty(), "used and not granted: {refused:#?}");
    Ok(())
}
