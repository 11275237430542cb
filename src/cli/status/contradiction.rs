//! What the cluster shows that contradicts a status which says Ready: nobody has written the status anew since. Pure.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::PodSpec;
use kube::core::PartialObjectMeta;

use super::{
    moments::minute,
    observed::{ObservedCluster, ObservedResource, Surroundings},
    pods::{TargetWorkload, is_alive, server, workloads_of},
    standing::{LAG, WHERE_TO_LOOK},
};
use crate::{
    api::ObservedReference,
    workloads::{Owner, Target, revisions_in},
};

/// Why a status that says Ready does not hold any more, as far as the cluster shows it, and where to look.
pub(super) fn contradiction(observed: &ObservedCluster, resource: &ObservedResource) -> Option<String> {
    let around = observed.around(&resource.namespace);
    let target = resource.target();
    let seen = unpublished(around, resource)
        .or_else(|| resource.status.observed_references.iter().find_map(|each| unread(around, each)))
        .or_else(|| target.and_then(|target| missing(around, resource, target)))
        .or_else(|| target.and_then(|target| undelivered(around, resource, target)))
        .or_else(|| unchecked(observed, resource))?;
    Some(format!("The status says Ready{seen} {WHERE_TO_LOOK}"))
}

/// The published Secret is gone.
fn unpublished(around: &Surroundings, resource: &ObservedResource) -> Option<String> {
    let (secret, secrets) = (resource.status.secret_ref.as_ref()?, around.secrets.as_ref()?);
    version(secrets, &secret.name)
        .is_none()
        .then(|| format!(", but the Secret \"{}\" does not exist.", secret.name))
}

/// What the status was made of is gone, or was changed.
fn unread(around: &Surroundings, reference: &ObservedReference) -> Option<String> {
    let ObservedReference { kind, name, resource_version } = reference;
    let found = match kind.as_str() {
        "Secret" => version(around.secrets.as_ref()?, name),
        "ConfigMap" => version(around.config_maps.as_ref()?, name),
        _ => return None,
    };
    match found {
        None => Some(format!(", but the {kind} \"{name}\", which it speaks of, does not exist any more.")),
        Some(found) if found != resource_version.as_str() => {
            Some(format!(" of an earlier version of the {kind} \"{name}\", which has changed since."))
        }
        Some(_) => None,
    }
}

/// The version of the object of this name, if there is one.
fn version<'a, K>(objects: &'a [PartialObjectMeta<K>], name: &str) -> Option<&'a str> {
    let object = objects.iter().find(|object| object.metadata.name.as_deref() == Some(name))?;
    Some(object.metadata.resource_version.as_deref().unwrap_or_default())
}

/// An object of the target is gone.
fn missing(around: &Surroundings, resource: &ObservedResource, target: &Target) -> Option<String> {
    let parts = target.objects().into_iter();
    let servers = parts.map(|part| server(around, resource.namespace.clone(), part.kind(), part.name()));
    let gone = servers.into_iter().find(|server| server.exists == Some(false))?;
    Some(format!(", but {} does not exist.", gone.title()))
}

/// The target's pods have other values than the status says, and nothing is about to change that. A resource without a
/// revision of its own delivers by another one.
fn undelivered(around: &Surroundings, resource: &ObservedResource, target: &Target) -> Option<String> {
    let (current, owner) = (resource.status.revision?, &resource.spec.as_ref().ok()?.owner);
    let workloads = workloads_of(around, target);
    let seen = workloads
        .iter()
        .find_map(|workload| elsewhere(workload, current, owner))
        .or_else(|| workloads.iter().find_map(|workload| left_behind(around, workload, current, owner)))
        .or_else(|| bypassed(around, workloads.is_empty().then_some(target)?, current, owner))?;
    Some(format!(" with revision {current}, but {seen}."))
}

/// The pod template does not refer to the revision.
fn elsewhere(workload: &TargetWorkload<'_>, current: u64, owner: &Owner) -> Option<String> {
    let seen = revisions_in(workload.template, owner);
    (!seen.contains(&current)).then(|| match seen.last() {
        Some(other) => format!("{} refers to revision {other}", workload.title),
        None => format!("{} refers to no revision of it", workload.title),
    })
}

/// Pods of the workload run with something else, and no rollout replaces them.
fn left_behind(
    around: &Surroundings,
    workload: &TargetWorkload<'_>,
    current: u64,
    owner: &Owner,
) -> Option<String> {
    let pods = around.pods.as_ref().filter(|_| !workload.is_rolling)?;
    let own = pods.iter().filter(|pod| is_alive(pod) && workload.selects(pod));
    let old: Vec<_> = own
        .map(|pod| revisions_in(pod.spec.as_ref(), owner))
        .filter(|revisions| !revisions.contains(&current))
        .collect();
    let first = old.first()?;
    let what =
        first.last().map_or_else(|| "without one".to_owned(), |other| format!("with revision {other}"));
    let (pods, verb, all) = if old.len() == 1 { ("pod", "runs", "it") } else { ("pods", "run", "them") };
    Some(format!("{} {pods} of {} {verb} {what}, and nothing replaces {all}", old.len(), workload.title))
}

/// With a target of which only the pods show what they run with: all of those that have a revision have another one.
fn bypassed(around: &Surroundings, target: &Target, current: u64, owner: &Owner) -> Option<String> {
    let pods = around.pods.iter().flatten().filter(|pod| is_alive(pod));
    let specs = pods.filter_map(|pod| pod.spec.as_ref());
    let seen: Vec<u64> = specs.flat_map(|spec: &PodSpec| revisions_in(Some(spec), owner)).collect();
    let newest = seen.iter().max().filter(|_| !seen.contains(&current))?;
    Some(format!("the pods of {target} run with revision {newest}"))
}

/// The last check is too long ago.
fn unchecked(observed: &ObservedCluster, resource: &ObservedResource) -> Option<String> {
    let checked = resource.status.last_check_time.as_ref()?.0;
    let patience = LAG + resource.spec.as_ref().ok()?.check_interval * 2;
    let patience = SignedDuration::try_from(patience).ok()?;
    (observed.now.duration_since(checked) > patience)
        .then(|| format!(", but the last check was at {}.", minute(checked)))
}
