//! Finds the workloads that answer logins, and which of the entries they have. This is pure.
//!
//! W&B's chart gives the same environment to every part of the server. Only `wandb/local` (`app`) and the API of
//! the split services (`api`) serve `/oidc` and check passwords, so only these parts show whether people can log
//! in.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar};
use kube::core::ObjectMeta;

use super::{edit::WANDB_OPERATOR, v1::LOGIN_APPLICATIONS};
use crate::workloads::{Owner, RepointedBy, workload::WorkloadController};

/// The label with the name of the application that a workload runs.
const APPLICATION: &str = "app.kubernetes.io/name";
/// The label with the Helm release of a workload. The release of the chart has the name of the resource.
const RELEASE: &str = "app.kubernetes.io/instance";
/// The suffix that the chart appends to the name of the workload of `wandb/local`.
const POSTFIX: &str = "-bc";

/// The workloads of the release that answer logins.
pub(super) fn of_release(workloads: Vec<WorkloadController>, release: &str) -> Vec<WorkloadController> {
    let mut workloads = workloads;
    workloads.retain(|each| {
        let metadata = each.metadata();
        release_of(metadata) == Some(release)
            && (is_labelled(metadata) || login_containers(each).next().is_some())
    });
    workloads
}

/// The release of a workload that answers logins, as far as its metadata show that.
pub(in crate::workloads) fn release_answering_logins(metadata: &ObjectMeta) -> Option<&str> {
    release_of(metadata).filter(|_| is_labelled(metadata))
}

/// The workloads with entries of the owner that answer logins, or all with entries if none is known to answer
/// logins.
pub(super) fn among(workloads: Vec<WorkloadController>, owner: &Owner) -> Vec<WorkloadController> {
    let mut referring = workloads;
    referring.retain(|each| !each.revisions(owner).is_empty());
    let answers =
        |each: &WorkloadController| is_labelled(each.metadata()) || login_containers(each).next().is_some();
    if referring.iter().any(answers) {
        referring.retain(answers);
    }
    referring
}

/// The first workload that answers logins, and its container that does. One of the release counts; if there is none, one
/// with entries of the owner does, or one without a release. Another release is another server.
pub(super) fn serving(
    workloads: &[WorkloadController],
    release: &str,
    owner: &Owner,
) -> Option<(WorkloadController, Option<String>)> {
    let answers =
        |each: &&WorkloadController| is_labelled(each.metadata()) || login_containers(each).next().is_some();
    let answering: Vec<_> = workloads.iter().filter(answers).collect();
    let of_release = answering.iter().find(|each| release_of(each.metadata()) == Some(release));
    let referring = || answering.iter().find(|each| !each.revisions(owner).is_empty());
    let unlabelled = || answering.iter().find(|each| release_of(each.metadata()).is_none());
    let found = of_release.or_else(referring).or_else(unlabelled)?;
    let container = login_containers(found).next().map(|container| container.name.clone());
    Some(((*found).clone(), container))
}

/// Compares the workload with these variables, each of which must come from the Secret beside it. Returns the
/// revisions of the owner that other variables refer to instead, or `None` if there is no difference.
pub(super) fn difference(
    controller: &WorkloadController,
    variables: &[(&str, &str)],
    owner: &Owner,
) -> Option<BTreeSet<u64>> {
    let idle = controller.desired_replicas() == 0 && controller.revisions(owner).is_empty();
    let mut containers: Vec<_> = login_containers(controller).collect();
    if containers.is_empty() {
        containers = controller.containers().collect();
    }
    let entries = || containers.iter().flat_map(|container| variables.iter().map(|each| (*container, *each)));
    let others = entries().filter_map(|(container, (name, secret))| {
        let found = secret_of(container, name);
        (found != Some(secret)).then_some(found)
    });
    let others: Vec<_> = others.collect();
    let numbers = others.iter().flatten().filter_map(|secret| owner.number_of(secret));
    (!idle && !others.is_empty()).then(|| numbers.collect())
}

/// The Secret from which the variable of the container comes. If the name occurs several times, the last entry
/// counts.
fn secret_of<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    let entries = container.env.iter().flatten();
    let last: &EnvVar = entries.rev().find(|entry| entry.name == name)?;
    Some(last.value_from.as_ref()?.secret_key_ref.as_ref()?.name.as_str())
}

fn login_containers(controller: &WorkloadController) -> impl Iterator<Item = &Container> {
    controller.containers().filter(|container| LOGIN_APPLICATIONS.contains(&container.name.as_str()))
}

/// The last change of the workload's pod template.
pub(super) fn last_change(controller: &WorkloadController) -> RepointedBy {
    let has_template = |fields: &serde_json::Value| fields.pointer("/f:spec/f:template").is_some();
    let entries = controller.metadata().managed_fields.iter().flatten();
    let entries =
        entries.filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| has_template(&fields.0)));
    // Times in `managedFields` are whole seconds. If a person and the W&B operator wrote in the same second, the
    // person counts.
    let newest = entries.max_by_key(|entry| {
        let is_person = entry.manager.as_deref() != Some(WANDB_OPERATOR);
        (entry.time.as_ref().map(|time| time.0), is_person)
    });
    RepointedBy {
        by: newest.and_then(|entry| entry.manager.clone()).unwrap_or_default(),
        at: newest.and_then(|entry| entry.time.as_ref()).map(|time| time.0),
    }
}

fn release_of(metadata: &ObjectMeta) -> Option<&str> {
    metadata.labels.as_ref()?.get(RELEASE).map(String::as_str)
}

/// Whether the label or the name of the workload is that of an application which answers logins.
fn is_labelled(metadata: &ObjectMeta) -> bool {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(APPLICATION)).map(String::as_str);
    let name = metadata.name.as_deref().zip(release_of(metadata));
    let name = name.and_then(|(name, release)| name.strip_prefix(release)?.strip_prefix('-'));
    let name = name.map(|name| name.strip_suffix(POSTFIX).unwrap_or(name));
    label.into_iter().chain(name).any(|each| LOGIN_APPLICATIONS.contains(&each))
}

#[cfg(test)]
mod tests;
