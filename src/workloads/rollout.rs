//! Judges the result of a change from the workloads and their pods. This is pure.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet, StatefulSet},
    core::v1::Pod,
};
use kube::ResourceExt;

use super::{
    Owner,
    failures::{FailureSubject, Sightings},
    newest, pod_failures, references,
    workload::WorkloadController,
};
use crate::problem::enumerate;

/// How far a rollout has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Every pod runs with the current entries.
    Complete,
    /// Some pods are still missing. The sentence says what the operator is waiting for.
    Progressing(String),
    /// The new pods do not become available. The sentence describes them.
    Failed(String),
}

/// How long the operator waits for pods if the workload sets no limit of its own.
#[derive(Clone, Copy, Debug)]
pub struct RolloutDeadline {
    /// The longest wait.
    pub limit: Duration,
    /// How long a container must fail before the rollout counts as failed.
    pub failure: Duration,
    /// When the wait began, by the clock of the API server.
    pub since: Option<Timestamp>,
    /// The current time, by the clock of the API server.
    pub now: Timestamp,
    /// The current time, by the monotonic clock of this process.
    pub instant: Instant,
}

impl RolloutDeadline {
    /// Whether the wait has exceeded the limit.
    pub fn is_over(&self) -> bool {
        self.waited().is_some_and(|waited| waited > self.limit)
    }

    /// The time since the wait began.
    fn waited(&self) -> Option<Duration> {
        Duration::try_from(self.now.duration_since(self.since?)).ok()
    }
}

/// The entries whose arrival in the pods is judged.
#[derive(Clone, Copy)]
pub(super) struct WatchedEntries<'a> {
    /// The resource to which the entries belong.
    pub owner: &'a Owner,
    /// The revision that the entries refer to. `None` means that the entries have been removed from the target.
    pub number: Option<u64>,
    /// The containers that use the entries. If the list is empty, every container that refers to the revision
    /// counts.
    pub containers: &'a [&'a str],
}

impl WatchedEntries<'_> {
    /// The containers of the pod that use the entries.
    fn containers<'p>(&self, pod: &'p Pod) -> BTreeSet<&'p str> {
        let takers = pod.spec.iter().flat_map(|spec| references::takers(spec, self.owner, self.number));
        takers.filter(|name| self.containers.is_empty() || self.containers.contains(name)).collect()
    }

    /// Whether the pod refers to the revision.
    fn are_in(&self, pod: &Pod) -> bool {
        self.number
            .is_some_and(|number| references::revisions(pod.spec.as_ref(), self.owner).contains(&number))
    }
}

/// The objects that were listed in addition to the workloads.
#[derive(Clone, Copy)]
pub(super) struct ListedObjects<'a> {
    /// The pods.
    pub pods: &'a [Pod],
    /// The `ReplicaSets`. A Deployment makes pods through one for each of its templates.
    pub replica_sets: &'a [ReplicaSet],
}

impl Rollout {
    /// The worst of several states: a failure if there is one, otherwise a rollout that is still going on.
    pub(super) fn worst(rollouts: impl IntoIterator<Item = Self>) -> Self {
        rollouts.into_iter().fold(Self::Complete, |worst, next| match (&worst, &next) {
            (Self::Failed(_), _) | (Self::Progressing(_), Self::Complete | Self::Progressing(_)) => worst,
            (Self::Complete, _) | (Self::Progressing(_), Self::Failed(_)) => next,
        })
    }
}

/// How far the rollout has come according to the status of the workload.
enum RolloutStatus {
    /// Every pod is of the current template and available.
    Complete,
    /// The controller has not observed the template yet, or a person has stopped the rollout. The operator can only
    /// wait.
    Held(String),
    /// No pod is meant to run with the current template. The clause says why.
    Without(String),
    /// Some pods are still missing.
    Waiting {
        /// What the operator is waiting for, as a sentence.
        what: String,
        /// What decides whether the wait is too long.
        deadline: Deadline,
    },
}

/// What decides whether the wait for pods is too long.
enum Deadline {
    /// The deadline of the caller decides.
    Patience,
    /// The controller of the workload decides, and its deadline has not passed yet.
    Running,
    /// The controller of the workload has reported that its deadline is exceeded.
    Exceeded,
}

/// Judges a workload by its status, and by those pods of its newest template that have the entries. A container
/// that keeps failing ends the wait early.
pub(super) fn judge(
    controller: &WorkloadController,
    listed: ListedObjects<'_>,
    watched: WatchedEntries<'_>,
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Rollout {
    let number = watched.number;
    let status = match controller {
        WorkloadController::Deployment(deployment) => {
            of_deployment(&controller.title(), deployment, patience)
        }
        WorkloadController::StatefulSet(set) => of_stateful_set(&controller.title(), set),
    };
    match (status, number) {
        (RolloutStatus::Complete, _) | (RolloutStatus::Without(_), None) => Rollout::Complete,
        (RolloutStatus::Held(what), _) => Rollout::Progressing(what),
        (RolloutStatus::Without(why), Some(number)) => Rollout::Progressing(format!(
            "{why}, so no pod shows whether revision {number} works; the operator looks again when pods run."
        )),
        (RolloutStatus::Waiting { what, deadline }, _) => {
            let is_newest = newest::template(controller, listed.replica_sets);
            let newest: Vec<&Pod> =
                listed.pods.iter().filter(|pod| watched.are_in(pod) && is_newest.made(pod)).collect();
            let begun = match number {
                Some(_) => {
                    RolloutDeadline { since: beginning(controller, &newest, patience, sightings), ..patience }
                }
                None => patience,
            };
            let is_over = match deadline {
                Deadline::Patience => begun.is_over(),
                Deadline::Running => false,
                Deadline::Exceeded => true,
            };
            if let Some(seen) = lasting_failure(&newest, watched, patience, sightings) {
                Rollout::Failed(seen)
            } else if is_over {
                Rollout::Failed(pod_failures::of_delay(&newest, &what, begun.since))
            } else {
                let seen = pod_failures::so_far(&newest).map(|seen| format!(" {seen}")).unwrap_or_default();
                Rollout::Progressing(format!("{what}{seen}"))
            }
        }
    }
}

/// Describes the first pod whose container has failed for so long that it will not recover by itself. Temporary
/// causes look the same at first: a cache of the kubelet that is not filled yet, a container name that is still
/// reserved, or a database that is not up.
fn lasting_failure(
    pods: &[&Pod],
    watched: WatchedEntries<'_>,
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Option<String> {
    let mut lasting = None;
    for pod in pods {
        let containers = watched.containers(pod);
        let subject = FailureSubject::Pod(pod.uid().unwrap_or_default());
        match pod_failures::failing(pod, &containers) {
            Some(status) => {
                sightings.add(subject.clone(), patience.instant);
                if pod_failures::is_conclusive(status) && sightings.lasts(&subject, patience.failure) {
                    lasting = lasting.or_else(|| Some(pod_failures::of_failure(pod, status)));
                }
            }
            None if pod_failures::are_ready(pod, &containers) => sightings.forget(&subject),
            None => {}
        }
    }
    lasting
}

/// When the wait for the revision's pods began, or `None` if pods can still be made. A workload that was scaled to
/// zero or paused makes its pods long after the operator's change, so the wait begins with the newest pod.
fn beginning(
    controller: &WorkloadController,
    pods: &[&Pod],
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Option<Timestamp> {
    let subject = FailureSubject::Workload(controller.title());
    let created = pods.iter().filter_map(|pod| pod.metadata.creation_timestamp.as_ref());
    match created.map(|time| time.0).max() {
        Some(newest) => {
            sightings.forget(&subject);
            patience.since.max(Some(newest))
        }
        // If pods are refused, none will come, and earlier ones may be gone. The wait then begins with the refusal.
        None if is_refused(controller) => {
            let lasted = sightings.add(subject, patience.instant);
            let refused = patience.now.checked_sub(lasted).unwrap_or(patience.now);
            patience.since.max(Some(refused))
        }
        None => None,
    }
}

/// Whether a quota or an admission policy keeps the controller from making any pod.
fn is_refused(controller: &WorkloadController) -> bool {
    match controller {
        WorkloadController::Deployment(deployment) => {
            let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|each| each.type_ == "ReplicaFailure" && each.status == "True")
        }
        // The controller of a StatefulSet makes a pod before it reports that it has observed the spec. So a
        // StatefulSet with an observed spec and no pod is being refused.
        WorkloadController::StatefulSet(set) => {
            set.status.as_ref().is_some_and(|status| status.replicas == 0)
        }
    }
}

/// Judges the workloads that the W&B operator made of its resource. Of those that answer logins, the ones count
/// that refer to revisions of the owner. `lacking` says, as a clause, what these workloads do not have yet.
pub(super) fn judge_rendered(
    workloads: &[WorkloadController],
    listed: ListedObjects<'_>,
    watched: WatchedEntries<'_>,
    patience: RolloutDeadline,
    sightings: &mut Sightings,
    lacking: Option<String>,
) -> Rollout {
    let WatchedEntries { owner, number, .. } = watched;
    let referring: Vec<_> = workloads.iter().filter(|each| !each.revisions(owner).is_empty()).collect();
    let wanted: BTreeSet<u64> = number.into_iter().collect();
    let other = referring.iter().find(|each| each.revisions(owner) != wanted);
    let still = match (number, other) {
        (Some(number), None) if referring.is_empty() => {
            format!("no workload that answers logins refers to the Secret \"{}\"", owner.revision(number))
        }
        (_, Some(other)) => {
            let numbers = other.revisions(owner).into_iter().filter(|number| !wanted.contains(number));
            let names = numbers.map(|number| owner.revision(number));
            format!("{} still refers to: {}", other.title(), enumerate(names))
        }
        (Some(_), None) if let Some(lacking) = lacking => lacking,
        (_, None) => {
            // If any workload has pods, they show whether the revision works, so workloads that are scaled to zero
            // are left out.
            let runs = referring.iter().any(|each| each.desired_replicas() > 0);
            let telling = referring.into_iter().filter(|each| !runs || each.desired_replicas() > 0);
            return Rollout::worst(telling.map(|each| {
                let own: Vec<_> = listed.pods.iter().filter(|pod| each.selects(pod)).cloned().collect();
                judge(each, ListedObjects { pods: &own, ..listed }, watched, patience, sightings)
            }));
        }
    };
    let seen = format!("The W&B operator has not applied it to its workloads yet: {still}.");
    if patience.is_over() { Rollout::Failed(seen) } else { Rollout::Progressing(seen) }
}

/// Judges a Deployment by the same rules as `kubectl rollout status`.
fn of_deployment(name: &str, deployment: &Deployment, patience: RolloutDeadline) -> RolloutStatus {
    let (Some(spec), status) = (&deployment.spec, deployment.status.clone().unwrap_or_default()) else {
        return RolloutStatus::Held(format!("{name} has no spec."));
    };
    if !is_observed(deployment.metadata.generation, status.observed_generation) {
        return RolloutStatus::Held(not_observed(name));
    }
    let desired = spec.replicas.unwrap_or(1);
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let available = status.available_replicas.unwrap_or(0);
    if desired > 0 && updated >= desired && all <= updated && available >= updated {
        return RolloutStatus::Complete;
    }
    if spec.paused == Some(true) {
        return RolloutStatus::Held(format!("{name} is paused. Resume it with `kubectl rollout resume`."));
    }
    if desired == 0 {
        return RolloutStatus::Without(format!("{name} is scaled to zero"));
    }
    let what = format!(
        "Pods of {name}: {desired} wanted, {updated} new, {} old, {available} available.",
        (all - updated).max(0)
    );
    let progress = status.conditions.iter().flatten().find(|condition| condition.type_ == "Progressing");
    let deadline = match progress.and_then(|condition| condition.reason.as_deref()) {
        // The condition of an earlier rollout remains until pods of this one are made. Comparing its time with ours
        // would mix the clocks of two machines, but a deadline of this rollout cannot be exceeded before its
        // seconds have gone by.
        Some("ProgressDeadlineExceeded") if has_run(spec.progress_deadline_seconds, patience) => {
            Deadline::Exceeded
        }
        // Kubernetes applies no deadline when a finished rollout is scaled up, so the caller's deadline applies.
        Some("ProgressDeadlineExceeded" | "NewReplicaSetAvailable") => Deadline::Patience,
        _ if has_deadline(spec.progress_deadline_seconds) => Deadline::Running,
        _ => Deadline::Patience,
    };
    RolloutStatus::Waiting { what, deadline }
}

/// Whether at least this many seconds have gone by since the wait began. An unknown beginning counts as yes.
fn has_run(seconds: Option<i32>, patience: RolloutDeadline) -> bool {
    let limit = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    patience.since.is_none() || patience.waited() >= limit
}

/// Whether the Deployment has a progress deadline. Kubernetes treats the largest number as no deadline.
fn has_deadline(seconds: Option<i32>) -> bool {
    seconds.is_some_and(|seconds| seconds != i32::MAX)
}

/// Judges a StatefulSet by the same rules as `kubectl rollout status`. Pods below the partition keep their
/// template, as the spec says.
fn of_stateful_set(name: &str, set: &StatefulSet) -> RolloutStatus {
    let (Some(spec), Some(status)) = (&set.spec, &set.status) else {
        return RolloutStatus::Held(not_observed(name));
    };
    if !is_observed(set.metadata.generation, status.observed_generation) {
        return RolloutStatus::Held(not_observed(name));
    }
    let desired = spec.replicas.unwrap_or(1);
    let strategy = spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
    let by_hand = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
    let updated = status.updated_replicas.unwrap_or(0);
    let ready = status.ready_replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(ready).min(ready);
    let due = (desired - partition).max(0);
    // With a partition or the strategy `OnDelete`, the current revision remains the old one.
    let is_current = partition > 0 || by_hand || status.current_revision == status.update_revision;
    if desired == 0 {
        return RolloutStatus::Without(format!("{name} is scaled to zero"));
    }
    if due == 0 && updated == 0 {
        return RolloutStatus::Without(format!("The partition of {name} keeps all of its pods as they are"));
    }
    if updated >= due && available >= desired && is_current {
        return RolloutStatus::Complete;
    }
    if by_hand && updated < desired {
        return RolloutStatus::Held(format!(
            "{updated} of {desired} pods of {name} are new, and its updateStrategy is OnDelete. Delete its old pods by hand."
        ));
    }
    let what = format!("Pods of {name}: {due} of {desired} to be new, {updated} new, {available} available.");
    RolloutStatus::Waiting { what, deadline: Deadline::Patience }
}

fn is_observed(generation: Option<i64>, observed: Option<i64>) -> bool {
    generation.is_none() || observed >= generation
}

fn not_observed(name: &str) -> String {
    format!("Kubernetes has not processed the present {name} yet.")
}

#[cfg(test)]
mod tests;
