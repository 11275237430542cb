//! What the chart comes to with values.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use serde_json::{Value, json};
use test_support::{ControlPlane, Helm, Workspace, definitions, helm::chart};
use wandb_auth_operator::api::custom_resource_definitions;

use super::{cases, documents, every_case};

#[test]
fn helm_finds_nothing_to_improve() -> Result<()> {
    let helm = Helm::new()?;
    helm.run(&["lint", "--strict", helm.chart()?])?;
    Ok(())
}

#[test]
fn values_lead_to_these_objects() -> Result<()> {
    let helm = Helm::new()?;
    for case in cases()? {
        insta::assert_snapshot!(case.name.clone(), case.rendered(&helm)?);
    }
    Ok(())
}

#[tokio::test]
async fn the_api_server_knows_every_field() -> Result<()> {
    let helm = Helm::new()?;
    let mut known = custom_resource_definitions();
    known.extend(definitions::monitoring()?);
    let workspace = Workspace::create(ControlPlane::shared().await?, &known).await?;
    for namespace in ["chart-staging", "chart-research"] {
        workspace.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}")).await?;
    }
    for case in every_case()? {
        let rendered = case.rendered(&helm)?;
        let complaints = workspace.complaints(&rendered).await?;
        ensure!(complaints.is_empty(), "{}: {complaints:#?}", case.name);
    }
    // A test that takes everything would have passed up to here, too.
    let misspelt = helm.template(&json!({}))?.replace("readOnlyRootFilesystem", "readonlyRootFilesystem");
    let complaints = workspace.complaints(&misspelt).await?;
    ensure!(
        complaints.len() == 1 && complaints[0].contains("readonlyRootFilesystem"),
        "all definitions and objects but the misspelt one are fine: {complaints:#?}"
    );
    Ok(())
}

#[test]
fn definitions_are_those_of_the_program() -> Result<()> {
    let helm = Helm::new()?;
    for keep in [true, false] {
        let rendered = documents(&helm.template(&json!({"crds": {"keep": keep}}))?)?;
        let mut rendered: BTreeMap<_, _> = rendered
            .into_iter()
            .filter(|object| object["kind"] == "CustomResourceDefinition")
            .map(|object| (object["metadata"]["name"].to_string(), object))
            .collect();
        for file in fs::read_dir(chart().join("files/crds"))? {
            let definition: Value = serde_yaml::from_str(&fs::read_to_string(file?.path())?)?;
            let name = definition["metadata"]["name"].to_string();
            let mut object = rendered.remove(&name).with_context(|| format!("{name} is not rendered"))?;
            let metadata = object["metadata"].as_object_mut().context("no metadata")?;
            let kept = metadata.remove("annotations").unwrap_or_default();
            let policy = keep.then_some("keep");
            ensure!(kept["helm.sh/resource-policy"].as_str() == policy, "{name}: {kept}");
            ensure!(metadata.remove("labels").is_some(), "{name} has no labels");
            ensure!(object == definition, "{name} is another one");
        }
        ensure!(rendered.is_empty(), "nobody knows {:?}", rendered.keys());
    }
    Ok(())
}

#[test]
fn nobody_gets_what_the_security_rules_forbid() -> Result<()> {
    let helm = Helm::new()?;
    for case in every_case()? {
        for object in documents(&case.rendered(&helm)?)? {
            let rules: Option<Vec<PolicyRule>> = match object["kind"].as_str() {
                Some("Role") => serde_json::from_value::<Role>(object.clone())?.rules,
                Some("ClusterRole") => serde_json::from_value::<ClusterRole>(object.clone())?.rules,
                _ => None,
            };
            for rule in rules.into_iter().flatten() {
                let mut words: Vec<&String> = rule.verbs.iter().collect();
                words.extend(rule.resources.iter().flatten().chain(rule.api_groups.iter().flatten()));
                for forbidden in ["*", "escalate", "bind", "impersonate"] {
                    ensure!(!words.iter().any(|word| *word == forbidden), "{}: {rule:?}", case.name);
                }
                let mints = words.iter().any(|word| *word == "serviceaccounts/token");
                let named = rule.resource_names.as_ref().is_some_and(|names| !names.is_empty());
                ensure!(!mints || named, "{}: tokens of every account: {rule:?}", case.name);
            }
        }
    }
    Ok(())
}
