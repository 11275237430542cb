//! Finds the Secrets to which a pod refers.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::Owner;

/// The owner's revisions to which a pod of this spec refers in any container or volume, whoever wrote the
/// references.
pub fn revisions(pod: Option<&PodSpec>, owner: &Owner) -> BTreeSet<u64> {
    let Some(pod) = pod else {
        return BTreeSet::new();
    };
    let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    let names = containers.flat_map(of_container).chain(of_volumes(pod));
    names.filter_map(|name| owner.number_of(name)).collect()
}

/// The names of the containers that use this revision, without init containers: those with a variable of it or, if
/// there are none, those that mount a volume of it.
pub(super) fn takers<'a>(pod: &'a PodSpec, owner: &Owner, number: Option<u64>) -> Vec<&'a str> {
    let is_meant = |secret: &String| number.is_some() && owner.number_of(secret) == number;
    let by_variable = pod.containers.iter().filter(|each| of_container(each).any(is_meant));
    let names: Vec<_> = by_variable.map(|each| each.name.as_str()).collect();
    if !names.is_empty() {
        return names;
    }
    let volumes = pod.volumes.iter().flatten().filter(|volume| of_volume(volume).any(is_meant));
    let volumes: Vec<_> = volumes.map(|volume| &volume.name).collect();
    let mounts =
        |each: &&Container| each.volume_mounts.iter().flatten().any(|mount| volumes.contains(&&mount.name));
    pod.containers.iter().filter(mounts).map(|each| each.name.as_str()).collect()
}

fn of_container(container: &Container) -> impl Iterator<Item = &String> {
    let entries = container.env.iter().flatten();
    let entries = entries.filter_map(|entry| Some(&entry.value_from.as_ref()?.secret_key_ref.as_ref()?.name));
    let sources = container.env_from.iter().flatten();
    entries.chain(sources.filter_map(|source| Some(&source.secret_ref.as_ref()?.name)))
}

fn of_volumes(pod: &PodSpec) -> impl Iterator<Item = &String> {
    pod.volumes.iter().flatten().flat_map(of_volume)
}

fn of_volume(volume: &Volume) -> impl Iterator<Item = &String> {
    let whole = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_ref());
    let parts = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    whole.into_iter().chain(parts.filter_map(|part| Some(&part.secret.as_ref()?.name)))
}
