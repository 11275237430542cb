//! The rights of the release, compared with what the operator asked for in the whole story.

use anyhow::{Result, ensure};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use serde_json::json;
use test_support::{
    AuditEvent, Node, definitions, helm::RELEASE, node::services::wandb_that_fails_with, wait_until,
};

use crate::cluster::{Cluster, OPERATOR, PATIENCE, TIMEOUT, WANDB};

/// Takes the operator through what it does only now and then.
pub fn exercise(cluster: &Cluster) -> Result<()> {
    let definition = definitions::weights_and_biases(definitions::StoredVersion::V2)?;
    let mut definition = serde_json::to_value(definition)?;
    definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
    definition["kind"] = json!("CustomResourceDefinition");
    cluster.apply(&definition.to_string())?;
    cluster.node.wait_for(&["crd/weightsandbiases.apps.wandb.com"], "Established")?;
    cluster.apply(&wandb_that_fails_with(WANDB, "fragile", "OIDC_ISSUER")?.stateful_set().to_string())?;
    let node: &Node = &cluster.node;
    node.kubectl(&["rollout", "status", "statefulset/fragile", "--namespace", WANDB, TIMEOUT], "")?;
    cluster.apply(include_str!("every_right.yaml"))?;
    wait_for_reason(cluster, &["oidc", "fragile"], "RolledOut", "RolledBack")?;
    wait_for_reason(cluster, &["jwt", "split"], "RolledOut", "Progressing")?;
    wait_until(PATIENCE, "rotated key", || {
        Ok(cluster.get(&["wsa", "robot", "--namespace", WANDB])?["status"]["keyID"].is_string())
    })?;
    wait_until(PATIENCE, "token of a service account", || {
        let found = cluster.get(&["wsa", "trainer", "--namespace", WANDB])?;
        let checks = found["status"]["checks"].as_array().cloned().unwrap_or_default();
        Ok(checks.iter().any(|check| check["name"] == "TokenObtained" && check["result"] == "Passed"))
    })?;
    // Its revisions go with it.
    node.kubectl(&["delete", "oidc/fragile", "--namespace", WANDB, TIMEOUT], "")?;
    Ok(())
}

/// A resource of a later version, which this one cannot read.
pub fn meet_a_stranger(cluster: &Cluster) -> Result<()> {
    let anything = json!([{
        "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }]);
    for (kind, plural, field) in [
        ("LdapConfig", "ldapconfigs", "address"),
        ("OidcProvider", "oidcproviders", "issuer"),
        ("JwtIssuer", "jwtissuers", "issuer"),
        ("ServiceAccount", "serviceaccounts", "instance"),
    ] {
        let resource = format!("{plural}.auth.wandb.com");
        let definition = format!("crd/{resource}");
        let patch = anything.to_string();
        cluster.node.kubectl(&["patch", &definition, "--type=json", "--patch", &patch], "")?;
        let stranger = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": kind,
            "metadata": {"name": "stranger", "namespace": WANDB}, "spec": {field: 7},
        });
        // The API server takes a moment to go by the changed definition.
        wait_until(PATIENCE, "resource of a later version", || {
            Ok(cluster.apply(&stranger.to_string()).is_ok())
        })?;
        wait_for_reason(cluster, &[&resource, "stranger"], "Accepted", "InvalidSpec")?;
    }
    Ok(())
}

fn wait_for_reason(cluster: &Cluster, resource: &[&str], type_: &str, reason: &str) -> Result<()> {
    wait_until(PATIENCE, &format!("{resource:?} with {type_}={reason}"), || {
        let found = cluster.get(&[resource, &["--namespace", WANDB]].concat())?;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.iter().any(|condition| condition["type"] == type_ && condition["reason"] == reason))
    })
}

/// Nothing was refused, and nothing is granted that was not used.
pub fn every_right_is_used_and_every_use_is_granted(cluster: &Cluster) -> Result<()> {
    let requests = cluster.requests()?;
    let refused: Vec<&AuditEvent> = requests.iter().filter(|event| event.code == 403).collect();
    ensure!(refused.is_empty(), "used and not granted: {refused:#?}");
    let granted = granted(cluster)?;
    ensure!(!granted.is_empty(), "the release has no rights at all");
    let unused: Vec<&Right> =
        granted.iter().filter(|right| !requests.iter().any(|event| right.covers(event))).collect();
    ensure!(unused.is_empty(), "granted and never used: {unused:#?}");
    Ok(())
}

/// One verb on one resource, of one name where the rule has names.
#[derive(Debug)]
struct Right {
    namespace: String,
    group: String,
    resource: String,
    verb: String,
    name: Option<String>,
}

impl Right {
    fn covers(&self, event: &AuditEvent) -> bool {
        let resource = match event.subresource.as_str() {
            "" => event.resource.clone(),
            subresource => format!("{}/{subresource}", event.resource),
        };
        self.namespace == event.namespace
            && self.group == event.group
            && self.resource == resource
            && self.verb == event.verb
            && self.name.as_ref().is_none_or(|name| *name == event.name)
    }
}

/// What the Roles of the release grant, as the API server has them.
fn granted(cluster: &Cluster) -> Result<Vec<Right>> {
    let label = format!("--selector=app.kubernetes.io/instance={RELEASE}");
    ensure!(cluster.list(&["clusterroles", &label])?.is_empty(), "the release has cluster-wide rights");
    let mut rights = Vec::new();
    for namespace in [OPERATOR, WANDB] {
        for role in cluster.list(&["roles", "--namespace", namespace, &label])? {
            let role: Role = serde_json::from_value(role)?;
            let rules = role.rules.unwrap_or_default();
            rights.extend(rules.iter().flat_map(|rule| rights_of(rule, namespace)));
        }
    }
    Ok(rights)
}

fn rights_of(rule: &PolicyRule, namespace: &str) -> Vec<Right> {
    let names: Vec<Option<String>> = match &rule.resource_names {
        Some(names) => names.iter().cloned().map(Some).collect(),
        None => vec![None],
    };
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                rights.extend(names.iter().map(|name| Right {
                    namespace: namespace.to_owned(),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    name: name.clone(),
                }));
            }
        }
    }
    rights
}
