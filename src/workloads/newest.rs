//! Finds the pods that were made of a workload's newest template. Pods of an earlier template are about to be
//! replaced, and may fail because of a fault that the newest template corrects.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::ResourceExt;

use super::workload::WorkloadController;

/// The annotation in which the Deployment controller numbers the templates, on the `ReplicaSet` of each.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The label whose value is the same on all pods of one template.
pub(super) struct TemplateLabel {
    label: &'static str,
    /// `None` if the controller has not set the value yet.
    value: Option<String>,
}

/// Identifies the newest template of a workload: for a Deployment that of the `ReplicaSet` with the highest number,
/// for a StatefulSet that of the update revision.
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
    /// Whether the pod was made of this template and is not being deleted.
    pub(super) fn made(&self, pod: &Pod) -> bool {
        pod.metadata.deletion_timestamp.is_none()
            && self.value.is_some()
            && pod.labels().get(self.label) == self.value.as_ref()
    }
}
