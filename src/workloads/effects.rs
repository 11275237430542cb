//! Every request that changes a target. What to do is decided elsewhere.

use std::collections::BTreeSet;

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions, ValidationDirective},
    core::{ApiResource, DynamicObject},
};

use super::{
    ApplyResult, Change, Owner, TargetSnapshot, list::pods_of, references, rights::forbidden,
    workload::WorkloadController,
};
use crate::{
    api::Reason,
    error::StepError,
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
) -> Result<ApplyResult, StepError> {
    let changes = match (seen, change) {
        (TargetSnapshot::Several(several), Change::Several(changes)) => several.changed(changes),
        one => vec![one],
    };
    let runs: &[DryRun] = if changes.len() > 1 { &[DryRun::Dry, DryRun::Real] } else { &[DryRun::Real] };
    for run in runs {
        for (seen, change) in &changes {
            match patch(client, namespace, seen, owner, change, *run).await? {
                ApplyResult::Changed => {}
                other @ ApplyResult::Stale(_) => return Ok(other),
            }
        }
    }
    Ok(ApplyResult::Changed)
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
) -> Result<ApplyResult, StepError> {
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
        Change::Several(_) => return Ok(ApplyResult::Stale(String::new())),
    };
    match made {
        Ok(_) => Ok(ApplyResult::Changed),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
            Ok(ApplyResult::Stale(status.message.clone()))
        }
        // Admission plugins answer 403, too, but only a missing RBAC permission is worded like this.
        Err(kube::Error::Api(status))
            if status.is_forbidden() && status.message.contains(" cannot patch resource ") =>
        {
            Err(forbidden("change", &seen.title(), &seen.resource()).into())
        }
        Err(kube::Error::Api(status))
            if status.is_forbidden() || status.is_invalid() || status.code == BAD_REQUEST =>
        {
            Err(Problem::new(
                Reason::TargetRefused,
                format!(
                    "The change to {} was refused: {}. Change the rule that refuses it. Or wire the Secret by hand first, and then remove spec.target.",
                    seen.title(),
                    quote(&status.message).trim_end_matches('.')
                ),
            )
            .into())
        }
        Err(error) => Err(error.into()),
    }
}

const BAD_REQUEST: u16 = 400;

/// Deletes pods of a StatefulSet that refer to revisions in `stuck` and are not ready. The controller of the
/// StatefulSet waits for such pods before it replaces any, so it can go neither on nor back (a known limitation,
/// "Forced rollback" in the Kubernetes documentation of `StatefulSets`).
pub async fn delete_stuck_pods(
    client: &Client,
    namespace: &str,
    seen: &TargetSnapshot,
    owner: &Owner,
    stuck: &BTreeSet<u64>,
) -> Result<(), StepError> {
    for (seen, _) in seen.parts() {
        let TargetSnapshot::Workload(workload) = seen else { continue };
        let WorkloadController::StatefulSet(set) = workload.controller() else { continue };
        let pods = pods_of(client, namespace, workload.controller()).await?;
        // The controller would make pods of the current template again, so deleting them is useless.
        let stuck: BTreeSet<u64> = stuck - &workload.controller().revisions(owner);
        let is_meant = |pod: &&Pod| {
            is_stuck(pod, set) && !references::revisions(pod.spec.as_ref(), owner).is_disjoint(&stuck)
        };
        for pod in pods.iter().filter(is_meant) {
            delete_pod(client, namespace, pod).await?;
        }
    }
    Ok(())
}

async fn delete_pod(client: &Client, namespace: &str, pod: &Pod) -> Result<(), StepError> {
    let resource = ApiResource::erase::<Pod>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let parameters = DeleteParams::default().preconditions(preconditions);
    match api.delete(&pod.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        // The pod is gone, or a new pod has its name.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Err(forbidden("delete", "pods", &resource).into())
        }
        Err(error) => Err(error.into()),
    }
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
