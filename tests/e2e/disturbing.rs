//! Pods that are killed, a node that is rebooted, leaders that go: nothing is published anew.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use test_support::wait_until;

use crate::cluster::{Cluster, OPERATOR, OperatorProcess, PATIENCE, WANDB, values};
use crate::delivering::{EVERY_NAME, people_log_in, wait_until_ready};

/// The Lease runs out, and then somebody looks.
const AFTER_A_KILL: Duration = Duration::from_secs(15);
/// The Lease is given back.
const AFTER_SIGTERM: Duration = Duration::from_secs(2);

/// The operator's only process is killed, and its container started again.
pub fn a_killed_operator_changes_nothing(cluster: &Cluster) -> Result<()> {
    let secrets = cluster.secrets()?;
    let pods = cluster.operator_pods()?;
    for process in OperatorProcess::all()? {
        process.kill()?;
    }
    wait_until(PATIENCE, "restarted container", || {
        let pods = cluster.operator_pods()?;
        Ok(pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1))
    })?;
    cluster.wait_for_checks(&EVERY_NAME)?;
    ensure!(cluster.operator_pods()?.len() == pods.len(), "the pod itself was replaced");
    ensure!(cluster.secrets()? == secrets, "the restart changed Secrets of {WANDB}");
    Ok(())
}

/// The node loses power: every container ends, and starts again on the same disk.
pub fn a_reboot_changes_nothing(cluster: &mut Cluster) -> Result<()> {
    let secrets = cluster.secrets()?;
    cluster.node.reboot()?;
    cluster.wait_for_checks(&EVERY_NAME)?;
    wait_until_ready(cluster)?;
    people_log_in(cluster)?;
    ensure!(cluster.secrets()? == secrets, "the reboot changed Secrets of {WANDB}");
    Ok(())
}

/// Two replicas: whichever leads is killed, then another is asked to stop. Returns how long each took.
pub fn another_replica_takes_over(cluster: &Cluster) -> Result<[Duration; 2]> {
    let secrets = cluster.secrets()?;
    let mut values = values();
    values["replicas"] = json!(2);
    cluster.upgrade(&values)?;
    cluster.get(&["poddisruptionbudget", "--namespace", OPERATOR])?;

    let after_a_kill = time_until_another_leads(cluster, &["--force", "--grace-period=0"])?;
    ensure!(after_a_kill < AFTER_A_KILL, "a new leader came after {after_a_kill:?}");
    let deployment = "deployment/wandb-auth-operator";
    cluster.node.kubectl(&["rollout", "status", deployment, "--namespace", OPERATOR, "--timeout=1m"], "")?;
    let after_sigterm = time_until_another_leads(cluster, &["--wait=false"])?;
    ensure!(after_sigterm < AFTER_SIGTERM, "a new leader came after {after_sigterm:?}");

    cluster.wait_for_checks(&EVERY_NAME)?;
    ensure!(cluster.secrets()? == secrets, "a change of leaders changed Secrets of {WANDB}");
    Ok([after_a_kill, after_sigterm])
}

/// Deletes the leader's pod in this way; how long it took until the Lease named another.
fn time_until_another_leads(cluster: &Cluster, how: &[&str]) -> Result<Duration> {
    let leader = cluster.leader()?;
    let pods = cluster.operator_pods()?;
    ensure!(pods.iter().any(|pod| pod["metadata"]["name"] == leader.as_str()), "{leader} is no pod");
    let started = Instant::now();
    cluster.node.kubectl(&[&["delete", "pod", &leader, "--namespace", OPERATOR], how].concat(), "")?;
    wait_until(PATIENCE, "another leader", || {
        let now = cluster.leader()?;
        Ok(!now.is_empty() && now != leader)
    })
    .context("nobody took over")?;
    Ok(started.elapsed())
}
