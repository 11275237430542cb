//! Every request that reads the rollout of a target or changes the target. What to do is decided elsewhere.

use std::collections::BTreeSet;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        core::v1::Pod,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, ValidationDirective},
    core::{ApiResource, DynamicObject, Request},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    ApplyResult, Change, Owner, Rollout, RolloutDeadline, Sightings, TargetSnapshot,
    combined::Reach,
    references,
    rights::forbidden,
    rollout::{ListedObjects, WatchedEntries, judge, judge_rendered},
    weights_and_biases::WeightsAndBiases,
    workload::{Workload, WorkloadController},
};
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// Makes the change, provided that the target still has the version of the snapshot. Of several objects all are
/// changed or none: a dry run comes first and finds what the API server would refuse.
pub async fn apply_change(
    client: &Client,
    namespace: &str,
    seen: &TargetSnapshot,
    owner: &Owner,
    change: &Change,
) -> Result<Result<ApplyResult, Problem>, kube::Error> {
    let changes = match (seen, change) {
        (TargetSnapshot::Several(several), Change::Several(changes)) => several.changed(changes),
        one => vec![one],
    };
    let runs: &[DryRun] = if changes.len() > 1 { &[DryRun::Dry, DryRun::Real] } else { &[DryRun::Real] };
    for run in runs {
        for (seen, change) in &changes {
            match patch(client, namespace, seen, owner, change, *run).await? {
                Ok(ApplyResult::Changed) => {}
                other => return Ok(other),
            }
        }
    }
    Ok(Ok(ApplyResult::Changed))
}

/// Whether the API server stores the result of a patch or only validates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DryRun {
    Dry,
    Real,
}

/// Patches one object.
///
/// Server-side apply can be forced safely, because the decision has already refused to touch what belongs to
/// somebody else, and the patch pins the version on which the decision was based.
async fn patch(
    client: &Client,
    namespace: &str,
    seen: &TargetSnapshot,
    owner: &Owner,
    change: &Change,
    run: DryRun,
) -> Result<Result<ApplyResult, Problem>, kube::Error> {
    let dry_run = run == DryRun::Dry;
    let resource = seen.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let made = match change {
        Change::Apply(configuration) | Change::Claim(configuration) => {
            let parameters = PatchParams { dry_run, ..PatchParams::apply(&owner.manager).force() };
            api.patch(seen.name(), &parameters, &Patch::Apply(configuration)).await
        }
        Change::Merge(fields) => {
            // Strict validation: the API server must refuse fields that the installed definition does not know,
            // instead of dropping them silently.
            let parameters = PatchParams {
                dry_run,
                field_manager: Some(owner.manager.clone()),
                field_validation: Some(ValidationDirective::Strict),
                ..PatchParams::default()
            };
            api.patch(seen.name(), &parameters, &Patch::Merge(fields)).await
        }
        // `apply_change` has already split a combined change into its parts.
        Change::Several(_) => return Ok(Ok(ApplyResult::Stale(String::new()))),
    };
    match made {
        Ok(_) => Ok(Ok(ApplyResult::Changed)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
            Ok(Ok(ApplyResult::Stale(status.message.clone())))
        }
        // Admission plugins answer 403, too, but only a missing RBAC permission is worded like this.
        Err(kube::Error::Api(status))
            if status.is_forbidden() && status.message.contains(" cannot patch resource ") =>
        {
            Ok(Err(forbidden("change", &seen.title(), &seen.resource())))
        }
        Err(kube::Error::Api(status))
            if status.is_forbidden() || status.is_invalid() || status.code == BAD_REQUEST =>
        {
            Ok(Err(Problem::new(
                Reason::TargetRefused,
                format!(
                    "The change to {} was refused: {}. Change the rule that refuses it. Or wire the Secret by hand first, and then remove spec.target.",
                    seen.title(),
                    quote(&status.message).trim_end_matches('.')
                ),
            )))
        }
        Err(error) => Err(error),
    }
}

const BAD_REQUEST: u16 = 400;

/// Judges the rollout of the owner's entries. With a number, the entries refer to that revision; without one, they
/// have been removed from the target. Failures of pods are recorded in `sightings`. Of several objects, the worst
/// state counts.
pub async fn rollout(
    client: &Client,
    namespace: &str,
    seen: &TargetSnapshot,
    (owner, number): (&Owner, Option<u64>),
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Result<Result<Rollout, Problem>, kube::Error> {
    let parts = seen.parts();
    // If any workload has pods, they show whether the revision works, so workloads that are scaled to zero are left
    // out.
    let runs = parts.iter().any(|(seen, _)| seen.has_pods());
    let mut rollouts = Vec::new();
    for (seen, reach) in parts.into_iter().filter(|(seen, _)| !runs || seen.has_pods()) {
        let watched = (owner, number.filter(|_| reach == Reach::Within));
        match rollout_of_object(client, namespace, seen, watched, patience, sightings).await? {
            Ok(rollout) => rollouts.push(rollout),
            Err(problem) => return Ok(Err(problem)),
        }
    }
    Ok(Ok(Rollout::worst(rollouts)))
}

async fn rollout_of_object(
    client: &Client,
    namespace: &str,
    seen: &TargetSnapshot,
    (owner, number): (&Owner, Option<u64>),
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Result<Result<Rollout, Problem>, kube::Error> {
    let workload = match seen {
        TargetSnapshot::Workload(workload) => workload,
        TargetSnapshot::WeightsAndBiases(server) => {
            let watched = WatchedEntries { owner, number, containers: &[] };
            return rendered(client, namespace, server, watched, patience, sightings).await;
        }
        // `rollout` has already split the target into its parts.
        TargetSnapshot::Several(_) => return Ok(Ok(Rollout::Complete)),
    };
    let numbers = workload.standing(owner).numbers;
    if number.map_or(!numbers.is_empty(), |number| !numbers.contains(&number)) {
        // The snapshot is older than the change, so its status says nothing about the new template.
        return Ok(Ok(Rollout::Progressing(format!("{} is being changed.", seen.title()))));
    }
    let pods = match pods_of(client, namespace, workload).await? {
        Ok(pods) => pods,
        Err(problem) => return Ok(Err(problem)),
    };
    let replica_sets = match (workload.controller(), workload.controller().selector()) {
        (WorkloadController::Deployment(_), Some(selector)) => {
            list::<ReplicaSet>(client, namespace, &ListParams::default().labels_from(&selector)).await?
        }
        _ => Ok(Vec::new()),
    };
    let containers = workload.container_names();
    let watched = WatchedEntries { owner, number, containers: &containers };
    Ok(replica_sets.map(|replica_sets| {
        let listed = ListedObjects { pods: &pods, replica_sets: &replica_sets };
        judge(workload.controller(), listed, watched, patience, sightings)
    }))
}

/// Deletes pods of a StatefulSet that refer to revisions in `stuck` and are not ready. The controller of the
/// StatefulSet waits for such pods before it replaces any, so it can go neither on nor back (a known limitation,
/// "Forced rollback" in the Kubernetes documentation of `StatefulSets`).
pub async fn delete_stuck_pods(
    client: &Client,
    namespace: &str,
    seen: &TargetSnapshot,
    owner: &Owner,
    stuck: &BTreeSet<u64>,
) -> Result<Result<(), Problem>, kube::Error> {
    for (seen, _) in seen.parts() {
        if let Err(problem) = unblock_object(client, namespace, seen, owner, stuck).await? {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(()))
}

async fn unblock_object(
    client: &Client,
    namespace: &str,
    seen: &TargetSnapshot,
    owner: &Owner,
    stuck: &BTreeSet<u64>,
) -> Result<Result<(), Problem>, kube::Error> {
    let TargetSnapshot::Workload(workload) = seen else {
        return Ok(Ok(()));
    };
    let WorkloadController::StatefulSet(set) = workload.controller() else {
        return Ok(Ok(()));
    };
    let pods = match pods_of(client, namespace, workload).await? {
        Ok(pods) => pods,
        Err(problem) => return Ok(Err(problem)),
    };
    // The controller would make pods of the current template again, so deleting them is useless.
    let stuck: BTreeSet<u64> = stuck - &workload.controller().revisions(owner);
    let resource = ApiResource::erase::<Pod>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let is_meant = |pod: &&Pod| {
        is_stuck(pod, set) && !references::revisions(pod.spec.as_ref(), owner).is_disjoint(&stuck)
    };
    for pod in pods.iter().filter(is_meant) {
        let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
        let parameters = DeleteParams::default().preconditions(preconditions);
        match api.delete(&pod.name_any(), &parameters).await {
            Ok(_) => {}
            // The pod is gone, or a new pod has its name.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                return Ok(Err(forbidden("delete", "pods", &resource)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(()))
}

/// Whether the pod belongs to the set, is not ready and is not being deleted yet.
fn is_stuck(pod: &Pod, set: &StatefulSet) -> bool {
    let mut owners = pod.owner_references().iter();
    let is_of_set =
        owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == set.metadata.uid.as_ref());
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.into_iter().any(|each| each.type_ == "Ready" && each.status == "True");
    is_of_set && !is_ready && pod.metadata.deletion_timestamp.is_none()
}

/// Judges the workloads that the W&B operator made of its resource.
async fn rendered(
    client: &Client,
    namespace: &str,
    server: &WeightsAndBiases,
    watched: WatchedEntries<'_>,
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Result<Result<Rollout, Problem>, kube::Error> {
    let workloads = match workloads(client, namespace).await? {
        Ok(workloads) => server.answering_logins(workloads, watched.owner),
        Err(problem) => return Ok(Err(problem)),
    };
    let lacking = server.lacking(&workloads, watched.owner);
    let pods = match list::<Pod>(client, namespace, &ListParams::default()).await? {
        Ok(pods) => pods,
        Err(problem) => return Ok(Err(problem)),
    };
    let replica_sets = list::<ReplicaSet>(client, namespace, &ListParams::default()).await?;
    Ok(replica_sets.map(|replica_sets| {
        let listed = ListedObjects { pods: &pods, replica_sets: &replica_sets };
        judge_rendered(&workloads, listed, watched, patience, sightings, lacking)
    }))
}

/// Lists every workload of the namespace that may run W&B Server.
pub(super) async fn workloads(
    client: &Client,
    namespace: &str,
) -> Result<Result<Vec<WorkloadController>, Problem>, kube::Error> {
    let all = ListParams::default();
    let deployments = match list::<Deployment>(client, namespace, &all).await? {
        Ok(deployments) => deployments,
        Err(problem) => return Ok(Err(problem)),
    };
    let sets = match list::<StatefulSet>(client, namespace, &all).await? {
        Ok(sets) => sets,
        Err(problem) => return Ok(Err(problem)),
    };
    let deployments = deployments.into_iter().map(|each| WorkloadController::Deployment(Box::new(each)));
    let sets = sets.into_iter().map(|each| WorkloadController::StatefulSet(Box::new(each)));
    Ok(Ok(deployments.chain(sets).collect()))
}

async fn pods_of(
    client: &Client,
    namespace: &str,
    workload: &Workload,
) -> Result<Result<Vec<Pod>, Problem>, kube::Error> {
    match workload.controller().selector() {
        Some(selector) => list(client, namespace, &ListParams::default().labels_from(&selector)).await,
        None => Ok(Ok(Vec::new())),
    }
}

pub(super) async fn list<K>(
    client: &Client,
    namespace: &str,
    parameters: &ListParams,
) -> Result<Result<Vec<K>, Problem>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    // Every type is read from the same form everywhere: the code that reads the large ones is in the program once.
    let request = Request::new(K::url_path(&(), Some(namespace)));
    let request = request.list(parameters).map_err(kube::Error::BuildRequest)?;
    match client.request::<Value>(request).await {
        Ok(list) => {
            let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
            items.map(K::deserialize).collect::<Result<_, _>>().map(Ok).map_err(kube::Error::SerdeError)
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let resource = ApiResource::erase::<K>(&());
            Ok(Err(forbidden("list", &resource.plural, &resource)))
        }
        Err(error) => Err(error),
    }
}

impl TargetSnapshot {
    /// The object as messages name it, such as `Deployment/wandb`.
    fn title(&self) -> String {
        format!("{}/{}", self.resource().kind, self.name())
    }

    /// Whether the target is meant to run pods. The W&B operator decides that for its own resource, so the answer
    /// for it is always yes.
    fn has_pods(&self) -> bool {
        match self {
            Self::Workload(workload) => workload.controller().desired_replicas() > 0,
            Self::WeightsAndBiases(_) | Self::Several(_) => true,
        }
    }
}
