//! The effects on targets: each is one request, or a few reads.

use std::collections::BTreeSet;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Pod,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, ValidationDirective},
    core::{ApiResource, DynamicObject},
};
use serde::de::DeserializeOwned;

use super::{
    Change, Made, Owner, Patience, Rollout, Seen, Standing, references,
    rights::forbidden,
    rollout::{judge, judge_rendered},
    weights_and_biases::WeightsAndBiases,
    workload::{Controller, Workload},
};
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// Makes the change, to the version of the target that was seen.
///
/// Server-side apply is forced: the decision refused what belongs to somebody else, and the version that
/// it saw is pinned.
pub async fn make(
    client: &Client,
    namespace: &str,
    seen: &Seen,
    owner: &Owner,
    change: &Change,
) -> Result<Result<Made, Problem>, kube::Error> {
    let resource = seen.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let made = match change {
        Change::Apply(configuration) => {
            let parameters = PatchParams::apply(&owner.manager).force();
            api.patch(seen.name(), &parameters, &Patch::Apply(configuration)).await
        }
        Change::Merge(fields) => {
            // What the installed definition does not know is refused and not silently left out.
            let parameters = PatchParams {
                field_manager: Some(owner.manager.clone()),
                field_validation: Some(ValidationDirective::Strict),
                ..PatchParams::default()
            };
            api.patch(seen.name(), &parameters, &Patch::Merge(fields)).await
        }
    };
    match made {
        Ok(_) => Ok(Ok(Made::Changed)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(Ok(Made::Stale)),
        // Admission answers 403, too, but not in these words.
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
                    "The change to {} was refused: {}. Change what refuses it, or take spec.target out and wire the Secret by hand.",
                    seen.title(),
                    quote(&status.message).trim_end_matches('.')
                ),
            )))
        }
        Err(error) => Err(error),
    }
}

const BAD_REQUEST: u16 = 400;

/// Looks at what became of the owner's entries, which refer to the revision of this number or, without
/// one, are out of the target.
pub async fn rollout(
    client: &Client,
    namespace: &str,
    seen: &Seen,
    owner: &Owner,
    number: Option<u64>,
    patience: Patience,
) -> Result<Result<Rollout, Problem>, kube::Error> {
    let workload = match seen {
        Seen::Workload(workload) => workload,
        Seen::WeightsAndBiases(server) => {
            return rendered(client, namespace, server, owner, number, patience).await;
        }
    };
    let numbers = workload.standing(owner).numbers;
    if number.map_or(!numbers.is_empty(), |number| !numbers.contains(&number)) {
        // What was seen is not what it is to become, so its status says nothing of it.
        return Ok(Ok(Rollout::Progressing(format!("{} is being changed.", seen.title()))));
    }
    Ok(pods_of(client, namespace, workload)
        .await?
        .map(|pods| judge(workload.controller(), &of_revision(pods, owner, number), number, patience)))
}

/// The owner's revisions that pods refer to, or would when they are made: none of them may go.
pub async fn in_use(
    client: &Client,
    namespace: &str,
    seen: &Seen,
    owner: &Owner,
) -> Result<Result<BTreeSet<u64>, Problem>, kube::Error> {
    let used = match seen {
        Seen::Workload(workload) => {
            let pods = pods_of(client, namespace, workload).await?;
            pods.map(|pods| references::anywhere([workload.controller()], &pods, owner))
        }
        Seen::WeightsAndBiases(_) => in_use_anywhere(client, namespace, owner).await?,
    };
    let Standing { numbers: own, .. } = seen.standing(owner);
    Ok(used.map(|used| &used | &own))
}

/// The owner's revisions that any pod of the namespace refers to, or would when it is made. Pods may outlive
/// the target that they were made for.
pub async fn in_use_anywhere(
    client: &Client,
    namespace: &str,
    owner: &Owner,
) -> Result<Result<BTreeSet<u64>, Problem>, kube::Error> {
    let workloads = match workloads(client, namespace).await? {
        Ok(workloads) => workloads,
        Err(problem) => return Ok(Err(problem)),
    };
    let pods = list::<Pod>(client, namespace, &ListParams::default()).await?;
    Ok(pods.map(|pods| references::anywhere(&workloads, &pods, owner)))
}

/// Deletes the pods of a StatefulSet that refer to revisions that may be stuck, and keep its controller from
/// going on or back: it waits for them to become ready before it replaces any (a known limitation of
/// `StatefulSet`s, "Forced rollback" in the Kubernetes documentation).
pub async fn unblock(
    client: &Client,
    namespace: &str,
    seen: &Seen,
    owner: &Owner,
    stuck: &BTreeSet<u64>,
) -> Result<Result<(), Problem>, kube::Error> {
    let Seen::Workload(workload) = seen else {
        return Ok(Ok(()));
    };
    let Controller::StatefulSet(set) = workload.controller() else {
        return Ok(Ok(()));
    };
    let pods = match pods_of(client, namespace, workload).await? {
        Ok(pods) => pods,
        Err(problem) => return Ok(Err(problem)),
    };
    // Pods of the present template would only come again.
    let stuck: BTreeSet<u64> = stuck - &workload.controller().revisions(owner);
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let is_meant = |pod: &&Pod| {
        is_stuck(pod, set) && !references::revisions(pod.spec.as_ref(), owner).is_disjoint(&stuck)
    };
    for pod in pods.iter().filter(is_meant) {
        let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
        let parameters = DeleteParams::default().preconditions(preconditions);
        match api.delete(&pod.name_any(), &parameters).await {
            Ok(_) => {}
            // It is gone, or another one stands in its place.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                return Ok(Err(forbidden("delete", "pods", &ApiResource::erase::<Pod>(&()))));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(()))
}

/// Whether the pod is the set's, and neither ready nor on its way out.
fn is_stuck(pod: &Pod, set: &StatefulSet) -> bool {
    let mut owners = pod.owner_references().iter();
    let is_of_set =
        owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == set.metadata.uid.as_ref());
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.into_iter().any(|each| each.type_ == "Ready" && each.status == "True");
    is_of_set && !is_ready && pod.metadata.deletion_timestamp.is_none()
}

/// Looks at what the W&B operator made of its resource.
async fn rendered(
    client: &Client,
    namespace: &str,
    server: &WeightsAndBiases,
    owner: &Owner,
    number: Option<u64>,
    patience: Patience,
) -> Result<Result<Rollout, Problem>, kube::Error> {
    let workloads = match workloads(client, namespace).await? {
        Ok(workloads) => server.answering_logins(workloads, owner),
        Err(problem) => return Ok(Err(problem)),
    };
    let lacking = server.lacking(&workloads, owner);
    let pods = list::<Pod>(client, namespace, &ListParams::default()).await?;
    Ok(pods.map(|pods| {
        judge_rendered(&workloads, &of_revision(pods, owner, number), owner, number, patience, lacking)
    }))
}

/// The pods that refer to the revision; none without one, so that only the workload's status counts.
fn of_revision(pods: Vec<Pod>, owner: &Owner, number: Option<u64>) -> Vec<Pod> {
    let mut pods = pods;
    pods.retain(|pod| {
        number.is_some_and(|number| references::revisions(pod.spec.as_ref(), owner).contains(&number))
    });
    pods
}

/// Every workload of the namespace that may run W&B Server.
pub(super) async fn workloads(
    client: &Client,
    namespace: &str,
) -> Result<Result<Vec<Controller>, Problem>, kube::Error> {
    let all = ListParams::default();
    let deployments = match list::<Deployment>(client, namespace, &all).await? {
        Ok(deployments) => deployments,
        Err(problem) => return Ok(Err(problem)),
    };
    let sets = match list::<StatefulSet>(client, namespace, &all).await? {
        Ok(sets) => sets,
        Err(problem) => return Ok(Err(problem)),
    };
    let deployments = deployments.into_iter().map(|each| Controller::Deployment(Box::new(each)));
    let sets = sets.into_iter().map(|each| Controller::StatefulSet(Box::new(each)));
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

async fn list<K>(
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
    match Api::<K>::namespaced(client.clone(), namespace).list(parameters).await {
        Ok(list) => Ok(Ok(list.items)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let resource = ApiResource::erase::<K>(&());
            Ok(Err(forbidden("list", &resource.plural, &resource)))
        }
        Err(error) => Err(error),
    }
}

impl Seen {
    /// The object, such as `Deployment/wandb`.
    fn title(&self) -> String {
        format!("{}/{}", self.resource().kind, self.name())
    }
}
