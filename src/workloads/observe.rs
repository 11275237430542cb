//! Reads how far the rollout of a target has come. How to judge that is decided elsewhere.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{Client, api::ListParams};

use super::{
    Owner, Rollout, RolloutDeadline, Sightings, TargetSnapshot,
    combined::Reach,
    list::{list, pods_of, workloads},
    read_target::ReadTarget,
    rollout::{ListedObjects, WatchedEntries, judge, judge_rendered},
    weights_and_biases::WeightsAndBiases,
    workload::{Workload, WorkloadController},
};
use crate::error::StepError;

/// What is observed of a rollout, and for how long.
pub struct Observer<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The namespace of the target.
    pub namespace: &'a str,
    /// The resource whose entries are rolled out.
    pub owner: &'a Owner,
    /// How long the rollout may take.
    pub patience: RolloutDeadline,
    /// The failures of pods that were seen so far, to which new ones are added.
    pub sightings: &'a mut Sightings,
}

impl Observer<'_> {
    /// Judges the rollout of the owner's entries. With a number, the entries refer to that revision; without one, they
    /// have been removed from the target. Of several objects, the worst state counts.
    pub async fn rollout(
        &mut self,
        seen: &TargetSnapshot,
        number: Option<u64>,
    ) -> Result<Rollout, StepError> {
        let parts = seen.parts();
        // If any workload has pods, they show whether the revision works, so workloads that are scaled to zero are
        // left out.
        let runs = parts.iter().any(|(seen, _)| seen.has_pods());
        let mut rollouts = Vec::new();
        for (seen, reach) in parts.into_iter().filter(|(seen, _)| !runs || seen.has_pods()) {
            let number = number.filter(|_| reach == Reach::Within);
            rollouts.push(match seen {
                TargetSnapshot::Workload(workload) => self.of_workload(workload, number).await?,
                TargetSnapshot::WeightsAndBiases(server) => self.of_rendered(server, number).await?,
                // `parts` has already split the target.
                TargetSnapshot::Several(_) => Rollout::Complete,
            });
        }
        Ok(Rollout::worst(rollouts))
    }

    async fn of_workload(&mut self, workload: &Workload, number: Option<u64>) -> Result<Rollout, StepError> {
        let controller = workload.controller();
        let numbers = workload.standing(self.owner).numbers;
        if number.map_or(!numbers.is_empty(), |number| !numbers.contains(&number)) {
            // The snapshot is older than the change, so its status says nothing about the new template.
            return Ok(Rollout::Progressing(format!("{} is being changed.", controller.title())));
        }
        let pods = pods_of(self.client, self.namespace, controller).await?;
        let replica_sets = match (controller, controller.selector()) {
            (WorkloadController::Deployment(_), Some(selector)) => {
                let selected = ListParams::default().labels_from(&selector);
                list::<ReplicaSet>(self.client, self.namespace, &selected).await?
            }
            _ => Vec::new(),
        };
        let containers = workload.container_names();
        let watched = WatchedEntries { owner: self.owner, number, containers: &containers };
        let listed = ListedObjects { pods: &pods, replica_sets: &replica_sets };
        Ok(judge(controller, listed, watched, self.patience, self.sightings))
    }

    /// Judges the workloads that the W&B operator made of its resource.
    async fn of_rendered(
        &mut self,
        server: &WeightsAndBiases,
        number: Option<u64>,
    ) -> Result<Rollout, StepError> {
        let all = ListParams::default();
        let workloads = workloads(self.client, self.namespace).await?;
        let workloads = server.answering_logins(workloads, self.owner);
        let lacking = server.lacking(&workloads, self.owner);
        let pods = list::<Pod>(self.client, self.namespace, &all).await?;
        let replica_sets = list::<ReplicaSet>(self.client, self.namespace, &all).await?;
        let watched = WatchedEntries { owner: self.owner, number, containers: &[] };
        let listed = ListedObjects { pods: &pods, replica_sets: &replica_sets };
        Ok(judge_rendered(&workloads, listed, watched, self.patience, self.sightings, lacking))
    }
}

impl TargetSnapshot {
    /// Whether the target is meant to run pods. The W&B operator decides that for its own resource, so the answer
    /// for it is always yes.
    fn has_pods(&self) -> bool {
        match self {
            Self::Workload(workload) => workload.controller().desired_replicas() > 0,
            Self::WeightsAndBiases(_) | Self::Several(_) => true,
        }
    }
}
