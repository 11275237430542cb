//! What an operator behind a proxy says of targets that take another way.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use test_support::{CertificateAuthority, Workspace};

use super::{IN_URL, LOGIN, PASSWORD, USER, certificate_for, finding, provider, proxy_to};
use crate::world::{ARGUMENTS, oidc_provider, program, put_references, workspace};

/// The target, with these variables.
fn target(variables: &Value) -> String {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "wandb"},
        "spec": {
            "selector": {"matchLabels": {"app": "wandb"}},
            "template": {
                "metadata": {"labels": {"app": "wandb"}},
                "spec": {"containers": [{"name": "wandb", "image": "wandb/local", "env": variables}]},
            },
        },
    })
    .to_string()
}

/// Sets variables of the target, as `kubectl set env` does.
async fn set(workspace: &Workspace, variables: &Value) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "wandb", "env": variables}]}}}});
    api.patch("wandb", &PatchParams::default(), &Patch::Strategic(&patch)).await?;
    Ok(())
}

/// Waits until the comparison says this; gives its message.
async fn told(workspace: &Workspace, result: &str, words: &str) -> Result<String> {
    let says = |status: &Value| {
        finding(status, "ProxyMatches").is_some_and(|check| {
            check["result"] == result && check["message"].as_str().is_some_and(|it| it.contains(words))
        })
    };
    let status = workspace.wait_for("OidcProvider", "main", says).await?;
    let check = finding(&status, "ProxyMatches").context("the comparison")?;
    let message = check["message"].to_string();
    for secret in [USER, PASSWORD, IN_URL] {
        ensure!(!message.contains(secret), "{message}");
    }
    Ok(message)
}

#[tokio::test]
async fn a_target_that_takes_another_way_is_a_warning() -> Result<()> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let provider = provider(&certificate)?;
    let proxy = proxy_to(provider.address()).start()?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&target(&json!([{"name": "NO_PROXY", "value": "localhost"}]))).await?;
    let environment = [("HTTPS_PROXY", proxy.url())];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _operator = workspace.start_operator_in(program(), &ARGUMENTS, &environment)?;
    let resource = oidc_provider(provider.issuer(), "target: {deployment: {name: wandb, container: wandb}}");
    workspace.apply(&resource).await?;

    let differs = told(&workspace, "Warning", "and the target's server directly").await?;
    ensure!(differs.contains(&format!("{LOGIN}:443 through the proxy {}", proxy.url())), "{differs}");
    let same = json!([{"name": "HTTPS_PROXY", "value": proxy.url_with(IN_URL)}]);
    set(&workspace, &same).await?;
    told(&workspace, "Passed", "The operator and the target's server reach").await?;
    set(&workspace, &json!([{"name": "NO_PROXY", "value": ".corp.test"}])).await?;
    told(&workspace, "Warning", "and the target's server directly").await?;
    let unread = json!([{
        "name": "HTTPS_PROXY", "value": null,
        "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}},
    }]);
    set(&workspace, &unread).await?;
    told(&workspace, "Passed", "may have HTTPS_PROXY from elsewhere").await?;
    // What a ConfigMap adds may except the provider.
    let api: Api<Deployment> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let variables = json!([{"name": "HTTPS_PROXY", "value": proxy.url(), "valueFrom": null}, {"name": "NO_PROXY", "$patch": "delete"}]);
    let container =
        json!({"name": "wandb", "env": variables, "envFrom": [{"configMapRef": {"name": "proxies"}}]});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    api.patch("wandb", &PatchParams::default(), &Patch::Strategic(&patch)).await?;
    told(&workspace, "Passed", "may have NO_PROXY from elsewhere").await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_without_the_targets_proxy_says_so_where_its_checks_fail() -> Result<()> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let proxy = format!("http://{IN_URL}@proxy.corp.test:3128");
    workspace.apply(&target(&json!([{"name": "https_proxy", "value": proxy}]))).await?;
    let _operator = workspace.start_operator(program(), &ARGUMENTS)?;
    let issuer = format!("https://{LOGIN}");
    workspace.apply(&oidc_provider(&issuer, "target: {deployment: {name: wandb, container: wandb}}")).await?;
    workspace.wait_for_reason("OidcProvider", "main", "Verified", "NameNotResolved").await?;
    let differs = told(&workspace, "Warning", "The operator reaches login.corp.test:443 directly").await?;
    ensure!(differs.contains("through the proxy http://proxy.corp.test:3128"), "{differs}");
    Ok(())
}
