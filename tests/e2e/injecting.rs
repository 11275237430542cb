//! Pods that have their credentials by a label, with the real `wandb` package in them.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use test_support::{node::services::client_job, wait_until};

use crate::cluster::{Cluster, PATIENCE, WANDB};

const NAMESPACE: &str = "--namespace=wandb";

/// A Job with nothing but the label, whose root file system cannot be written to.
pub fn a_job_logs_in(cluster: &Cluster) -> Result<()> {
    cluster
        .apply(&client_job(WANDB, "train", &json!({"auth.wandb.com/credentials": "ci-wsa"}))?.to_string())?;
    wait_for_end(cluster, "train")
}

/// A pod whose Secret is not there says so in an event of the kubelet, and logs in when the Secret comes.
pub fn a_pod_waits_for_its_secret(cluster: &Cluster) -> Result<()> {
    let label = json!({"auth.wandb.com/credentials": "later-wsa"});
    cluster.apply(&client_job(WANDB, "waiting", &label)?.to_string())?;
    wait_until(PATIENCE, "event about the Secret", || {
        let events = cluster.list(&["events", NAMESPACE, "--field-selector=reason=FailedMount"])?;
        Ok(events.iter().any(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            message.contains("auth-wandb-com-credentials")
                && message.contains("secret \"later-wsa\" not found")
        }))
    })?;
    let job = cluster.get(&["job", "waiting", NAMESPACE])?;
    ensure!(job["status"]["failed"].is_null(), "it does not wait: {}", job["status"]);
    let mut secret = cluster.get(&["secret", "ci-wsa", NAMESPACE])?;
    secret["metadata"] = json!({"name": "later-wsa", "namespace": WANDB});
    cluster.apply(&secret.to_string())?;
    wait_for_end(cluster, "waiting")?;
    let all = ["job/train", "job/waiting", "secret/later-wsa"];
    let command = [&["delete", "--cascade=foreground", NAMESPACE][..], &all].concat();
    cluster.node.kubectl(&command, "").map(drop)
}

fn wait_for_end(cluster: &Cluster, job: &str) -> Result<()> {
    let ended = wait_until(PATIENCE, "end of the Job", || {
        let status = cluster.get(&["job", job, NAMESPACE])?["status"].take();
        Ok(!status["succeeded"].is_null() || !status["failed"].is_null())
    });
    let job = format!("job/{job}");
    let log = cluster.node.kubectl(&["logs", &job, NAMESPACE], "").unwrap_or_default();
    ended.with_context(|| log.clone())?;
    ensure!(log.contains(r#"{"ok": {"loggedIn": true}}"#), "it does not log in: {log}");
    Ok(())
}
