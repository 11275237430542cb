//! The manifests below `deploy/` are the chart's, for people without Helm.

use std::{env, fs, path::Path};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use test_support::{
    Helm,
    helm::{NAMESPACE, RELEASE},
};

use super::documents;

const OPERATOR: &str = "\
# The operator for one namespace, without its definitions: what the chart charts/wandb-auth-operator makes of its
# default values with crds.enabled=false. Put your registry in front of the image, and apply it to the namespace:
# kubectl apply -n <namespace> -f deploy/operator.yaml
";

const TOKEN_REQUEST: &str = "\
# Lets the operator request tokens for one service account of a namespace, for a ServiceAccount of
# auth.wandb.com with spec.credentials.federated.token.serviceAccount. Whoever may do that can act as that
# account, so deploy/operator.yaml does not grant it: name the accounts here, each of them, and no others.
# Change trainer to your account's name and apply it to the namespace:
# kubectl apply -n <namespace> -f deploy/token-request.yaml
";

const INJECTION: &str = "\
# Gives pods the credentials of the Secret that their label auth.wandb.com/credentials names: what the chart
# charts/wandb-auth-operator makes with injection.enabled=true. It needs Kubernetes 1.36, and is for the whole cluster:
# kubectl apply -f deploy/injection.yaml
";

/// The rendered text without the labels that would tell of a release that does not exist.
fn without_helm(rendered: &str) -> String {
    let labels = ["app.kubernetes.io/managed-by: ", "helm.sh/chart: "];
    let is_kept = |line: &&str| !labels.iter().any(|label| line.trim_start().starts_with(label));
    rendered.split_inclusive('\n').filter(is_kept).collect()
}

/// Compares the file with what it is to be, or writes it where that is asked for.
fn check(name: &str, header: &str, rendered: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    let wanted = header.to_owned() + &without_helm(rendered);
    if env::var_os("REGENERATE").is_some() {
        fs::write(&file, &wanted)?;
    }
    ensure!(
        fs::read_to_string(&file)? == wanted,
        "deploy/{name} is not what the chart renders to; run: REGENERATE=1 cargo test --test it chart::manifest"
    );
    for object in documents(&wanted)? {
        let labels = &object["metadata"]["labels"];
        ensure!(labels["app.kubernetes.io/name"] == "wandb-auth-operator", "{object}");
        ensure!(!labels.to_string().to_lowercase().contains("helm"), "there is no release: {labels}");
    }
    Ok(())
}

#[test]
fn the_operators_file_is_the_rendered_chart() -> Result<()> {
    let rendered = Helm::new()?.template(&json!({"crds": {"enabled": false}}))?;
    check("operator.yaml", OPERATOR, &rendered)
}

/// What one template comes to with this value.
fn rendered(template: &str, value: &str) -> Result<String> {
    let helm = Helm::new()?;
    let template = format!("templates/{template}");
    let command = ["template", RELEASE, helm.chart()?, "--namespace", NAMESPACE];
    helm.run(&[&command[..], &["--show-only", &template, "--set-json", value]].concat())
}

#[test]
fn the_file_for_tokens_is_the_rendered_template() -> Result<()> {
    let accounts: Value = json!([{"serviceAccounts": ["trainer"]}]);
    let rendered = rendered("token-request.yaml", &format!("tokenRequest={accounts}"))?;
    check("token-request.yaml", TOKEN_REQUEST, &rendered)
}

#[test]
fn the_file_for_pods_is_the_rendered_template() -> Result<()> {
    check("injection.yaml", INJECTION, &rendered("injection.yaml", "injection={\"enabled\":true}")?)
}
