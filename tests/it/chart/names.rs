//! What objects are called, and what can never be changed about them.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::Helm;

use super::{cases, documents};

/// The objects of a release of this name and namespace.
fn release(name: &str, namespace: &str, arguments: &[&str]) -> Result<Vec<Value>> {
    let helm = Helm::new()?;
    documents(&helm.run(&[&["template", name, helm.chart()?, "--namespace", namespace], arguments].concat())?)
}

/// The pattern of DNS-1035, which the API server holds Services to.
fn is_name_of_service(name: &str) -> bool {
    let is_allowed = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-');
    name.len() <= 63
        && name.chars().all(is_allowed)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
}

#[test]
fn every_release_has_a_service_with_a_name_that_is_allowed() -> Result<()> {
    let longest = "a".repeat(53);
    for name in ["team.wandb", "2-wandb-auth-operator", "2.wandb", "wandb-auth-operator.two", &longest] {
        let objects = release(name, "wandb", &["--set", "service.enabled=true,crds.enabled=false"])?;
        let service = objects.iter().find(|object| object["kind"] == "Service").context("no Service")?;
        let called = service["metadata"]["name"].as_str().context("no name")?;
        ensure!(is_name_of_service(called), "{name} leads to {called}");
        let labels = &service["spec"]["selector"];
        ensure!(labels["app.kubernetes.io/instance"] == name, "{labels}");
    }
    Ok(())
}

#[test]
fn releases_of_two_namespaces_do_not_share_objects_of_the_cluster() -> Result<()> {
    let names = |namespace: &str| -> Result<Vec<String>> {
        let values =
            ["--set", "allNamespaces=true,userRoles.create=true,crds.enabled=false,injection.enabled=true"];
        let mut objects = release("wandb-auth-operator", namespace, &values)?;
        let is_of_cluster = |kind: &str| kind.starts_with("Cluster") || kind.starts_with("MutatingAdmission");
        objects.retain(|object| object["kind"].as_str().is_some_and(is_of_cluster));
        Ok(objects
            .iter()
            .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
            .collect())
    };
    let (first, second) = (names("wandb")?, names("research")?);
    ensure!(
        first.len() == 6,
        "a ClusterRole and a policy with their bindings, two roles for people: {first:?}"
    );
    ensure!(first.iter().all(|name| !second.contains(name)), "{first:?} {second:?}");
    Ok(())
}

/// The API server refuses every change of these, so a version of the chart that changed one could not be upgraded
/// to: the objects would have to be deleted first, and with them the running operator or its rights.
#[test]
fn what_cannot_be_changed_stays_as_it_is() -> Result<()> {
    let helm = Helm::new()?;
    for case in cases()? {
        let name = case.values["fullnameOverride"].as_str().unwrap_or("wandb-auth-operator");
        for object in documents(&case.rendered(&helm)?)? {
            let called = &object["metadata"]["name"];
            match object["kind"].as_str() {
                Some("Deployment") => ensure!(
                    object["spec"]["selector"]
                        == json!({"matchLabels": {
                            "app.kubernetes.io/name": "wandb-auth-operator",
                            "app.kubernetes.io/instance": "wandb-auth-operator",
                        }}),
                    "{}: {}",
                    case.name,
                    object["spec"]["selector"]
                ),
                Some("RoleBinding") => {
                    let known = ["", "-leader-election", "-token-request"];
                    ensure!(known.iter().any(|suffix| *called == format!("{name}{suffix}")), "{called}");
                    ensure!(object["roleRef"] == role("Role", called), "{}: {object}", case.name);
                }
                Some("ClusterRoleBinding") => {
                    ensure!(*called == format!("wandb:{name}"), "{called}");
                    ensure!(object["roleRef"] == role("ClusterRole", called), "{}: {object}", case.name);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn role(kind: &str, name: &Value) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})
}
