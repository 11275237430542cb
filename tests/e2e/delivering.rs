//! All four kinds, up to somebody who logs in.

use anyhow::{Result, ensure};
use serde_json::json;
use test_support::node::services::{self, wandb};

use crate::cluster::{Cluster, PATIENCE, WANDB};

/// The resources of `resources.yaml`, by the resource's short name.
pub const EVERY_RESOURCE: [(&str, &str); 4] =
    [("ldap", "corp"), ("oidc", "main"), ("jwt", "pipelines"), ("wsa", "ci")];
/// Their names.
pub const EVERY_NAME: [&str; 4] = ["corp", "main", "pipelines", "ci"];

/// W&B Server with nothing configured, and the servers that the resources are about.
pub fn start_servers(cluster: &Cluster) -> Result<()> {
    let servers = services::servers()?;
    cluster.apply(&servers.manifest.to_string())?;
    let items = json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WANDB}},
        {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority", "namespace": WANDB},
            "data": {"ca.crt": servers.authority},
        },
        wandb(WANDB, WANDB)?.deployment(),
        wandb(WANDB, "single-sign-on")?.stateful_set(),
    ]);
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    let namespace = format!("--namespace={}", services::NAMESPACE);
    cluster.node.wait_for(&["deployment", "--all", &namespace], "Available")?;
    cluster.node.wait_for(&["deployment/wandb", "--namespace", WANDB], "Available")
}

/// Applies all four kinds, and waits as a person does.
pub fn every_kind_becomes_ready(cluster: &Cluster) -> Result<()> {
    ensure!(cluster.log_in("alice@example.org", "alice-password")? == 401, "alice can log in already");
    cluster.apply(include_str!("resources.yaml"))?;
    wait_until_ready(cluster)
}

/// Waits until all four are Ready.
pub fn wait_until_ready(cluster: &Cluster) -> Result<()> {
    let resources = EVERY_RESOURCE.map(|(resource, name)| format!("{resource}/{name}"));
    let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
    cluster.node.wait_for(&[resources.as_slice(), &["--namespace", WANDB]].concat(), "Ready")
}

/// The pod of W&B Server runs with the values, and lets in whom it should.
pub fn people_log_in(cluster: &Cluster) -> Result<()> {
    // A pod that is being replaced answers until it is gone.
    test_support::wait_until(PATIENCE, "alice logged in", || {
        Ok(cluster.log_in("alice@example.org", "alice-password").is_ok_and(|status| status == 200))
    })?;
    ensure!(cluster.log_in("alice@example.org", "wrong")? == 401, "a wrong password is let in");
    ensure!(
        cluster.log_in("carol@example.org", "carol-password")? == 403,
        "somebody outside of the group is let in"
    );
    Ok(())
}
