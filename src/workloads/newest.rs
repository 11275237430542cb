//! Which pods are of a workload's newest template: those of an earlier one are about to go, and may be broken by
//! what the newest one mends.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::ResourceExt;

use super::workload::WorkloadController;

/// Counts the templates of a Deployment; its controller writes it on the `ReplicaSet` of each.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The label that pods of one template share.
pub(super) struct TemplateLabel {
    label: &'static str,
    /// Nothing where the controller has not said yet which it is.
    value: Option<String>,
}

/// The newest template of a workload: the one whose `ReplicaSet` has the highest number, or the update revision of
/// a StatefulSet.
pub(super) fn template(controller: &WorkloadController, replica_sets: &[ReplicaSet]) -> TemplateLabel {
    match controller {
        WorkloadController::Deployment(deployment) => {
            let uid = deployment.metadata.uid.as_ref();
            let is_own = |set: &&ReplicaSet| {
                set.owner_references()
                    .iter()
                    .any(|each| each.controller == Some(true) && uid.is_some_and(|uid| *uid == each.uid))
            };
            let number = |set: &&ReplicaSet| set.annotations().get(REVISION)?.parse::<u64>().ok();
            let newest = replica_sets.iter().filter(is_own).max_by_key(number);
            let label = "pod-template-hash";
            TemplateLabel { label, value: newest.and_then(|set| set.labels().get(label).cloned()) }
        }
        WorkloadController::StatefulSet(set) => TemplateLabel {
            label: "controller-revision-hash",
            value: set.status.as_ref().and_then(|status| status.update_revision.clone()),
        },
    }
}

impl TemplateLabel {
    /// Whether the pod is of this template, and to stay.
    pub(super) fn made(&self, pod: &Pod) -> bool {
        pod.metadata.deletion_timestamp.is_none()
            && self.value.is_some()
            && pod.labels().get(self.label) == self.value.as_ref()
    }
}
