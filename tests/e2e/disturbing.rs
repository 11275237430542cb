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
    let (secrets, restarts) = (cluster.secrets()?, cluster.restarts()?);
    cluster.node.reboot()?;
    wait_until(PATIENCE, "restart of every container", || {
        let now = cluster.restarts()?;
        Ok(restarts.iter().all(|(pod, count)| now.get(pod).is_some_and(|now| now > count)))
    })?;
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
    values["replicaCount"] = json!(2);
    cluster.upgrade(&values)?;
    cluster.get(&["poddisruptionbudget", "--namespace", OPERATOR])?;
    cluster.wait_for_checks(&EVERY_NAME)?;

    let after_a_kill = time_until_another_leads(cluster, |pod| OperatorProcess::of_pod(pod)?.kill())?;
    ensure!(after_a_kill < AFTER_A_KILL, "a new leader came after {after_a_kill:?}");
    cluster.node.wait_for(&["pods", "--all", "--namespace", OPERATOR], "Ready")?;
    let after_sigterm = time_until_another_leads(cluster, |pod| {
        let delete = ["delete", "pod", pod, "--namespace", OPERATOR, "--wait=false"];
        cluster.node.kubectl(&delete, "").map(drop)
    })?;
    ensure!(after_sigterm < AFTER_SIGTERM, "a new leader came after {after_sigterm:?}");

    cluster.wait_for_checks(&EVERY_NAME)?;
    ensure!(cluster.secrets()? == secrets, "a change of leaders changed Secrets of {WANDB}");
    Ok([after_a_kill, after_sigterm])
}

/// Ends the leader, which is in the pod of that name, in this way; how long it took until another led.
fn time_until_another_leads(cluster: &Cluster, end: impl FnOnce(&str) -> Result<()>) -> Result<Duration> {
    let leader = cluster.leader()?.context("nobody leads")?;
    let started = Instant::now();
    end(leader.pod())?;
    wait_until(PATIENCE, "another leader", || Ok(cluster.leader()?.is_some_and(|now| now != leader)))?;
    Ok(started.elapsed())
}
