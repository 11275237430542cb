//! The documented way in: `import`, then `kubectl apply`. The server's environment is the same before and after,
//! value by value.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{EnvVar, Secret},
};
use kube::Api;
use serde_json::{Value, json};
use test_support::{ControlPlane, PodPlayer, Slapd, User, Workspace, pods::Life};

use super::player_has_ready;
use crate::{
    command_line::call::Directory,
    world::{
        CLIENT_SECRET, HOST, PASSWORD, certificate, directory, operator, provider, put_references, workspace,
    },
};

/// A Deployment `wandb` with this environment, which trusts the tests' authority.
fn server(env: &Value) -> String {
    let container = json!({
        "name": "wandb", "image": "wandb/local:0.76.1", "env": env,
        "volumeMounts": [{"name": "authorities", "mountPath": "/usr/local/share/ca-certificates"}],
    });
    let pod = json!({
        "containers": [container],
        "volumes": [{"name": "authorities", "configMap": {"name": "authority"}}],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "wandb"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "wandb"}},
            "template": {"metadata": {"labels": {"app": "wandb"}}, "spec": pod},
        },
    })
    .to_string()
}

fn literal(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn secret(name: &str, secret: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
}

/// What the container has, with references read.
async fn environment(workspace: &Workspace) -> Result<BTreeMap<String, String>> {
    let (client, namespace) = (workspace.client().clone(), workspace.namespace());
    let deployment = Api::<Deployment>::namespaced(client, namespace).get("wandb").await?;
    let pod = deployment.spec.context("spec")?.template.spec.context("pod")?;
    let mut environment = BTreeMap::new();
    for entry in pod.containers.into_iter().flat_map(|container| container.env.unwrap_or_default()) {
        let value = value(workspace, &entry).await?;
        environment.insert(entry.name, value);
    }
    Ok(environment)
}

async fn value(workspace: &Workspace, entry: &EnvVar) -> Result<String> {
    let Some(from) = &entry.value_from else { return Ok(entry.value.clone().unwrap_or_default()) };
    let Some(reference) = &from.secret_key_ref else { bail!("{} comes from elsewhere", entry.name) };
    let found: Secret = workspace.secrets().get(&reference.name).await?;
    let bytes = found.data.unwrap_or_default().remove(&reference.key).context("a key")?;
    Ok(String::from_utf8(bytes.0)?)
}

/// Imports the server, applies what comes out, and compares.
async fn stays_the_same(workspace: &Workspace, env: &Value, kind: &str, changed: &[&str]) -> Result<()> {
    let player = PodPlayer::start(workspace, |_| Life::Ready)?;
    workspace.apply(&server(env)).await?;
    player_has_ready(&player, "wandb", 1).await?;
    let before = environment(workspace).await?;
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin).display().to_string();
    let files = Directory::with(&[])?.variable("KUBECONFIG", kubeconfig);
    let printed = files
        .call(&format!("import -n {} deployment/wandb --secrets-out secrets.yaml", workspace.namespace()))?;
    printed.assert_no_secret();
    assert_eq!(printed.code, 0, "{printed}");
    if let Ok(secrets) = fs::read_to_string(files.path().join("secrets.yaml")) {
        workspace.apply(&secrets).await?;
    }
    let _operator = operator(workspace)?;
    workspace.apply(&printed.stdout).await?;
    workspace.wait_until_ready(kind, "wandb").await?;
    let after = environment(workspace).await?;
    for (name, value) in &before {
        assert_eq!(after.get(name), Some(value), "{name}\n{printed}");
    }
    // What the resource sets beside it was announced.
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        let is_announced =
            printed.stderr.contains(&format!("+ {name}: not set today")) || changed.contains(&name.as_str());
        assert!(is_announced, "{name}\n{printed}");
    }
    let broken = player.broken_references();
    assert!(broken.is_empty(), "{broken:#?}");
    Ok(())
}

/// The names that a directory's settings have in the other dialect, which come beside those that are there.
const OTHER_LDAP: [&str; 9] = [
    "LDAP_ADDRESS",
    "LDAP_BASE_DN",
    "LDAP_BIND_DN",
    "LDAP_BIND_PW",
    "LDAP_ATTRIBUTES",
    "LDAP_TLS_ENABLE",
    "LDAP_LOGIN",
    "LDAP_GROUP_ALLOW_LIST",
    "LOCAL_LDAP_GROUP_ALLOW_LIST",
];

#[tokio::test]
async fn a_directory_in_literals() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let env = json!([
        literal("LOCAL_LDAP_ADDRESS", &ldap.ldaps_url()?),
        literal("LOCAL_LDAP_BASE_DN", Slapd::SUFFIX),
        literal("LOCAL_LDAP_BIND_DN", Slapd::SERVICE_DN),
        literal("LOCAL_LDAP_BIND_PW", PASSWORD),
        literal("LOCAL_LDAP_TLS_ENABLE", "true"),
        literal("LOCAL_LDAP_LOGIN", "true"),
    ]);
    stays_the_same(&workspace, &env, "LdapConfig", &OTHER_LDAP).await
}

#[tokio::test]
async fn a_directory_in_references() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let address = ldap.ldaps_url()?;
    let settings = [("address", address.as_str()), ("base", Slapd::SUFFIX), ("dn", Slapd::SERVICE_DN)];
    workspace.put_secret("wandb-ldap", &settings).await?;
    let env = json!([
        secret("LOCAL_LDAP_ADDRESS", "wandb-ldap", "address"),
        secret("LOCAL_LDAP_BASE_DN", "wandb-ldap", "base"),
        secret("LOCAL_LDAP_BIND_DN", "wandb-ldap", "dn"),
        secret("LOCAL_LDAP_BIND_PW", "ldap-bind", "password"),
        literal("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=gidNumber"),
        literal("LOCAL_LDAP_TLS_ENABLE", "true"),
        literal("LOCAL_LDAP_LOGIN", "true"),
    ]);
    stays_the_same(&workspace, &env, "LdapConfig", &OTHER_LDAP).await
}

/// The names that a provider's settings have in the other dialect.
const OTHER_OIDC: [&str; 7] = [
    "DISABLE_SSO_PROVISIONING",
    "GORILLA_OIDC_ISSUER",
    "GORILLA_OIDC_CLIENT_ID",
    "GORILLA_OIDC_SECRET",
    "GORILLA_AUTH_METHOD",
    "GORILLA_SESSION_LENGTH",
    "SESSION_LENGTH",
];

#[tokio::test]
async fn a_provider_as_the_legacy_chart_sets_it() -> Result<()> {
    let certificate = certificate()?;
    let oidc = provider(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    workspace.put_secret("wandb-secrets", &[("CLIENT_SECRET", CLIENT_SECRET)]).await?;
    let env = json!([
        literal("OIDC_ISSUER", oidc.issuer()),
        literal("OIDC_AUTH_METHOD", "pkce"),
        literal("OIDC_CLIENT_ID", "wandb"),
        secret("OIDC_CLIENT_SECRET", "wandb-secrets", "CLIENT_SECRET"),
        secret("OIDC_SECRET", "wandb-secrets", "CLIENT_SECRET"),
        literal("GORILLA_DISABLE_SSO_PROVISIONING", "false"),
        literal("HOST", HOST),
    ]);
    stays_the_same(&workspace, &env, "OidcProvider", &OTHER_OIDC).await
}
