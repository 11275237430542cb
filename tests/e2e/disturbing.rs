//! Pods that are killed, a node that is rebooted, leaders that go: nothing is published anew.

use std::{iter, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use test_support::wait_until;

use crate::cluster::{Cluster, Leader, OPERATOR, OperatorProcess, PATIENCE, WANDB, values};
use crate::delivering::{EVERY_NAME, people_log_in, wait_until_ready};

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

/// Two replicas: whichever leads is killed, then another is asked to stop. Returns for how long nobody led.
pub fn another_replica_takes_over(cluster: &Cluster) -> Result<[Duration; 2]> {
    let secrets = cluster.secrets()?;
    let mut values = values();
    values["replicaCount"] = json!(2);
    cluster.upgrade(&values)?;
    cluster.get(&["poddisruptionbudget", "--namespace", OPERATOR])?;
    cluster.wait_for_checks(&EVERY_NAME)?;

    let kill = Handover::after(cluster, |pod| OperatorProcess::of_pod(pod)?.kill())?;
    ensure!(!kill.is_given_back, "a process that was killed gave the Lease back");
    ensure!(kill.vacancy >= kill.lease_duration, "the Lease was taken while it was valid: {kill:?}");
    ensure!(kill.vacancy < kill.lease_duration * 2, "nobody took a Lease that was over: {kill:?}");
    cluster.node.wait_for(&["pods", "--all", "--namespace", OPERATOR], "Ready")?;
    let sigterm = Handover::after(cluster, |pod| {
        let delete = ["delete", "pod", pod, "--namespace", OPERATOR, "--wait=false"];
        cluster.node.kubectl(&delete, "").map(drop)
    })?;
    ensure!(sigterm.is_given_back, "a leader that was asked to stop kept the Lease: {sigterm:?}");
    ensure!(sigterm.vacancy < sigterm.lease_duration / 2, "nobody took a Lease that was free: {sigterm:?}");

    cluster.wait_for_checks(&EVERY_NAME)?;
    ensure!(cluster.secrets()? == secrets, "a change of leaders changed Secrets of {WANDB}");
    Ok([kill.vacancy, sigterm.vacancy])
}

/// How one leader followed another, by the times that they wrote into the Lease: what kubectl and the kubelet take is no
/// part of them.
#[derive(Debug)]
struct Handover {
    /// From the last write of the old leader to the first one of the next.
    vacancy: Duration,
    /// Whether the old leader gave the Lease back by its last write.
    is_given_back: bool,
    /// How long others respect a Lease that is not renewed.
    lease_duration: Duration,
}

impl Handover {
    /// Ends the leader, which is in the pod of that name, in this way, and waits until another one leads.
    fn after(cluster: &Cluster, end: impl FnOnce(&str) -> Result<()>) -> Result<Self> {
        let before = cluster.lease()?;
        let leader = Leader::of(&before).context("nobody leads")?;
        end(leader.pod())?;
        let mut found = None;
        wait_until(PATIENCE, "another leader", || {
            found = Self::find(&leader, &before, &cluster.leases_after(&before)?)?;
            Ok(found.is_some())
        })?;
        found.context("nobody leads")
    }

    /// Looks for the version of the Lease by which another one leads, and compares it with the one before.
    fn find(leader: &Leader, before: &Lease, later: &[Lease]) -> Result<Option<Self>> {
        let mut changes = iter::once(before).chain(later).zip(later);
        let taken = changes.find(|(_, new)| Leader::of(new).is_some_and(|now| now != *leader));
        taken.map(|(old, new)| Self::between(old, new)).transpose()
    }

    fn between(old: &Lease, new: &Lease) -> Result<Self> {
        let old = old.spec.as_ref().context("the Lease says nothing")?;
        let new = new.spec.as_ref().context("the Lease says nothing")?;
        let left = old.renew_time.as_ref().context("the old leader wrote no time")?;
        let taken = new.acquire_time.as_ref().context("the new leader wrote no time")?;
        let vacancy = Duration::try_from(taken.0.duration_since(left.0));
        let seconds = old.lease_duration_seconds.context("the Lease has no duration")?;
        Ok(Self {
            vacancy: vacancy.context("the Lease was taken before it was left")?,
            is_given_back: old.holder_identity.as_deref().is_none_or(str::is_empty),
            lease_duration: Duration::from_secs(u64::try_from(seconds)?),
        })
    }
}
