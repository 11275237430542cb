//! What became of a change: pure judgement of workloads and pods.

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

/// How far a rollout came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Every pod runs with the entries as they are.
    Complete,
    /// Pods are still to come; what is waited for, as a sentence.
    Progressing(String),
    /// The new pods do not become available; what was seen of them, as a sentence.
    Failed(String),
}

/// How long is waited for pods, where the workload sets no limit of its own.
#[derive(Clone, Copy, Debug)]
pub struct RolloutDeadline {
    /// The longest wait.
    pub limit: Duration,
    /// How long a container must fail before that counts.
    pub failure: Duration,
    /// Since when, by the clock of the API server.
    pub since: Option<Timestamp>,
    /// The present time by the same clock.
    pub now: Timestamp,
    /// The present time by the monotonic clock of this process.
    pub instant: Instant,
}

impl RolloutDeadline {
    /// Whether the wait has been too long.
    pub fn is_over(&self) -> bool {
        self.waited().is_some_and(|waited| waited > self.limit)
    }

    /// How long the wait has been so far.
    fn waited(&self) -> Option<Duration> {
        Duration::try_from(self.now.duration_since(self.since?)).ok()
    }
}

/// The entries whose arrival is watched.
#[derive(Clone, Copy)]
pub(super) struct WatchedEntries<'a> {
    /// Whose they are.
    pub owner: &'a Owner,
    /// The revision that they refer to; without one they are out of the target.
    pub number: Option<u64>,
    /// The containers that take them; any that does where there is none.
    pub containers: &'a [&'a str],
}

impl WatchedEntries<'_> {
    /// The containers of the pod that take the entries.
    fn containers<'p>(&self, pod: &'p Pod) -> BTreeSet<&'p str> {
        let takers = pod.spec.iter().flat_map(|spec| references::takers(spec, self.owner, self.number));
        takers.filter(|name| self.containers.is_empty() || self.containers.contains(name)).collect()
    }

    /// Whether the pod has the entries.
    fn are_in(&self, pod: &Pod) -> bool {
        self.number
            .is_some_and(|number| references::revisions(pod.spec.as_ref(), self.owner).contains(&number))
    }
}

/// What was listed beside the workloads.
#[derive(Clone, Copy)]
pub(super) struct ListedObjects<'a> {
    /// Pods.
    pub pods: &'a [Pod],
    /// What Deployments make pods with: one for each of their templates.
    pub replica_sets: &'a [ReplicaSet],
}

impl Rollout {
    /// The worst of several: a failure, or else what is still waited for.
    pub(super) fn worst(rollouts: impl IntoIterator<Item = Self>) -> Self {
        rollouts.into_iter().fold(Self::Complete, |worst, next| match (&worst, &next) {
            (Self::Failed(_), _) | (Self::Progressing(_), Self::Complete | Self::Progressing(_)) => worst,
            (Self::Complete, _) | (Self::Progressing(_), Self::Failed(_)) => next,
        })
    }
}

/// How far the workload's own status came.
enum RolloutStatus {
    /// Every pod is of the present template and available.
    Complete,
    /// The controller has not looked at the template yet, or a person holds the rollout: only waiting helps.
    Held(String),
    /// No pod is to run with the present template; why, as a clause.
    Without(String),
    /// Pods are still to come.
    Waiting {
        /// What is waited for, as a sentence.
        what: String,
        /// Whose clock runs.
        deadline: Deadline,
    },
}

/// Who tells when the time for pods is over.
enum Deadline {
    /// The patience of whoever asks.
    Patience,
    /// The workload's own controller, which has not told so yet.
    Running,
    /// The workload's own controller, which has told so.
    Exceeded,
}

/// Judges a workload by its status, and by the pods of its newest template that have the entries: one whose
/// container keeps failing ends the wait early.
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
            "{why}, so no pod shows whether revision {number} works; it is looked at again when pods run."
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

/// What is seen of the first pod whose container has kept failing for so long that no time will mend it. What
/// passes by itself looks the same at first: a cache of the kubelet that is not filled yet, a name that is still
/// reserved, a database that is not up.
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

/// Since when the revision's pods are waited for; nothing where they may still come. A workload that was
/// scaled to zero or paused makes them long after our last change, so the wait begins with the newest.
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
        // Pods that are refused never come, and earlier ones may be gone.
        None if is_refused(controller) => {
            let lasted = sightings.add(subject, patience.instant);
            let refused = patience.now.checked_sub(lasted).unwrap_or(patience.now);
            patience.since.max(Some(refused))
        }
        None => None,
    }
}

/// Whether no pod can be made, because of a quota or an admission policy.
fn is_refused(controller: &WorkloadController) -> bool {
    match controller {
        WorkloadController::Deployment(deployment) => {
            let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|each| each.type_ == "ReplicaFailure" && each.status == "True")
        }
        // Its controller makes a pod before it says that it has looked, so one that still has none cannot.
        WorkloadController::StatefulSet(set) => {
            set.status.as_ref().is_some_and(|status| status.replicas == 0)
        }
    }
}

/// Judges what the W&B operator made of its resource: those of the workloads that answer logins which refer to
/// the owner's revisions. `lacking` says as a clause what these workloads do not have yet, if that is known.
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
            // Where pods of one show that it works, a workload that is scaled to zero need not.
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

/// As `kubectl rollout status` judges.
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
        // That of an earlier rollout stands until pods of this one come. Times that another machine wrote do not
        // tell them apart, but this one's cannot have come sooner.
        Some("ProgressDeadlineExceeded") if has_run(spec.progress_deadline_seconds, patience) => {
            Deadline::Exceeded
        }
        // Kubernetes sets pods no deadline that come when a finished rollout is scaled up.
        Some("ProgressDeadlineExceeded" | "NewReplicaSetAvailable") => Deadline::Patience,
        _ if has_deadline(spec.progress_deadline_seconds) => Deadline::Running,
        _ => Deadline::Patience,
    };
    RolloutStatus::Waiting { what, deadline }
}

/// Whether so many seconds have gone by since the wait began.
fn has_run(seconds: Option<i32>, patience: RolloutDeadline) -> bool {
    let limit = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    patience.since.is_none() || patience.waited() >= limit
}

/// The largest number means that there is none.
fn has_deadline(seconds: Option<i32>) -> bool {
    seconds.is_some_and(|seconds| seconds != i32::MAX)
}

/// As `kubectl rollout status` judges; pods below the partition stay as they are, as the spec says.
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
    // With a partition, or by hand, the current revision stays the old one.
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
    format!("Kubernetes has not looked at the present {name} yet.")
}

#[cfg(test)]
mod tests;
