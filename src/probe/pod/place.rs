//! What a pod has in common with the pods of a server: the place from which it sees the network. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvFromSource, EnvVar, KeyToPath, PodSpec, SecretVolumeSource, Volume, VolumeMount,
};
use serde_json::Value;

use super::key_of_secret;
use crate::{
    references::Requirement,
    values::{CA_FILE, HOST},
    workloads::{AUTHORITIES, DIRECTORY_AUTHORITIES, Owner, ServerTemplate, SourceContents},
};

/// The parts of a server's pod template that decide what a connection meets.
pub(super) struct ServerPlace {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) spec: PodSpec,
    pub(super) variables: Vec<EnvVar>,
    pub(super) sources: Vec<EnvFromSource>,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

/// The domains of annotations by which meshes and networks know what to do with a pod. Others may name containers
/// that the pod does not have, or have secrets put into it.
const NETWORKS: [&str; 11] = [
    "istio.io",
    "linkerd.io",
    "consul.hashicorp.com",
    "kuma.io",
    "openservicemesh.io",
    "cilium.io",
    "projectcalico.org",
    "cncf.io",
    "ovn.org",
    "networking.gke.io",
    "vpc.amazonaws.com",
];

/// Annotations of networks that give a pod its address, which two pods cannot have.
const OF_ONE_ADDRESS: [&str; 8] = [
    "cni.projectcalico.org/ipAddrs",
    "cni.projectcalico.org/ipAddrsNoIpam",
    "cni.projectcalico.org/floatingIPs",
    "cni.projectcalico.org/hwAddr",
    "vpc.amazonaws.com/pod-ips",
    "k8s.ovn.org/pod-networks",
    "k8s.v1.cni.cncf.io/network-status",
    "k8s.v1.cni.cncf.io/networks-status",
];

/// The annotation with the further networks of a pod, each of which may have addresses, too.
const NETWORK_LIST: &str = "k8s.v1.cni.cncf.io/networks";

/// What gives a pod an address in an element of that list.
const ADDRESSES: [&str; 4] = ["ips", "mac", "infiniband-guid", "ipam-claim-reference"];

/// What makes the container wait until the proxy of a mesh is ready, which would otherwise refuse its connections.
/// Linkerd does so by itself.
const WAITING_FOR_MESHES: [(&str, &str); 2] = [
    ("proxy.istio.io/config", r#"{"holdApplicationUntilProxyStarts": true}"#),
    ("kuma.io/wait-for-dataplane-ready", "true"),
];

/// Labels that mean one pod of a controller.
const OF_ONE_POD: [&str; 4] = [
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

/// Variables of the server that change how a Go program connects, in capital letters.
const OF_CONNECTIONS: [&str; 7] =
    ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG"];

impl ServerPlace {
    pub(super) fn of(template: &ServerTemplate, resource: &Owner) -> Self {
        let (sources, server) = (&template.sources, template.server().cloned().unwrap_or_default());
        let template = &template.template;
        let metadata = template.metadata.clone().unwrap_or_default();
        let mut labels = metadata.labels.unwrap_or_default();
        labels.retain(|name, _| !OF_ONE_POD.contains(&name.as_str()));
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|name, _| is_of_network(name) && !OF_ONE_ADDRESS.contains(&name.as_str()));
        for (_, networks) in annotations.iter_mut().filter(|(name, _)| *name == NETWORK_LIST) {
            *networks = without_addresses(networks);
        }
        for (name, value) in WAITING_FOR_MESHES {
            annotations.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let pod = template.spec.clone().unwrap_or_default();
        // What the resource has put there now may go with the candidate.
        let others: Vec<_> = pod
            .volumes
            .iter()
            .flatten()
            .filter(|volume| !is_of_resource(volume, resource))
            .cloned()
            .collect();
        let mounts = trusted_mounts(&server, &others, sources);
        let is_used = |volume: &&Volume| mounts.iter().any(|mount| mount.name == volume.name);
        let volumes = others.iter().filter(is_used).cloned().collect();
        // A ConfigMap may have the proxies. Of a Secret the check gets what is of connections alone.
        let maps = server.env_from.iter().flatten().filter(|source| source.config_map_ref.is_some());
        Self {
            labels,
            annotations,
            variables: connection_variables(&server, sources),
            sources: maps.cloned().collect(),
            volumes,
            mounts,
            spec: placement(pod),
        }
    }
}

/// Whether the resource has put the volume into the template.
fn is_of_resource(volume: &Volume, resource: &Owner) -> bool {
    let secret = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref());
    volume.name == resource.volume || secret.is_some_and(|secret| resource.number_of(secret).is_some())
}

/// Where the pod runs, and how it looks names up.
fn placement(pod: PodSpec) -> PodSpec {
    // With the labels of the server, its own wish to be away from itself would be this pod's, too.
    let affinity = pod.affinity.and_then(|affinity| affinity.node_affinity);
    let affinity = affinity.map(|node| Affinity { node_affinity: Some(node), ..Affinity::default() });
    PodSpec {
        affinity,
        dns_config: pod.dns_config,
        // This policy is for the node's network, which the pod does not have.
        dns_policy: pod.dns_policy.filter(|policy| policy != "ClusterFirstWithHostNet"),
        enable_service_links: pod.enable_service_links,
        host_aliases: pod.host_aliases,
        node_selector: pod.node_selector,
        overhead: None,
        runtime_class_name: pod.runtime_class_name,
        scheduler_name: pod.scheduler_name,
        service_account_name: pod.service_account_name.or(pod.service_account),
        tolerations: pod.tolerations,
        ..PodSpec::default()
    }
}

fn is_of_network(annotation: &str) -> bool {
    let domain = annotation.split('/').next().unwrap_or_default();
    annotation.contains('/')
        && NETWORKS.iter().any(|network| {
            domain.strip_suffix(network).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

/// A list of networks without the addresses in them. One that is only of names has none.
fn without_addresses(networks: &str) -> String {
    let Ok(Value::Array(mut list)) = serde_json::from_str(networks) else { return networks.to_owned() };
    for network in list.iter_mut().filter_map(Value::as_object_mut) {
        network.retain(|name, _| !ADDRESSES.contains(&name.as_str()));
    }
    Value::Array(list).to_string()
}

fn is_of_connections(variable: &str) -> bool {
    let capitals = variable.to_ascii_uppercase();
    OF_CONNECTIONS.contains(&capitals.as_str()) || HOST.names().any(|name| name == variable)
}

/// The variables of the server that change how a program connects, and those before them of which they are made, in the
/// order of the server: those of whole Secrets come before its own.
fn connection_variables(server: &Container, sources: &[SourceContents]) -> Vec<EnvVar> {
    let all = server.env.as_deref().unwrap_or_default();
    let mut chosen = Vec::new();
    let mut named = BTreeSet::new();
    // A value can refer only to variables before it.
    for variable in all.iter().rev() {
        if is_of_connections(&variable.name) || named.contains(variable.name.as_str()) {
            named.extend(references(variable.value.as_deref().unwrap_or_default()));
            chosen.push(variable.clone());
        }
    }
    // Of several sources with a key the last one counts, and none where the container has the variable itself.
    let mut taken: BTreeSet<_> = all.iter().map(|variable| variable.name.clone()).collect();
    for (reference, source) in sources_of(server, sources).rev() {
        let name = |key: &str| format!("{}{key}", reference.prefix.as_deref().unwrap_or_default());
        match (source, &reference.secret_ref) {
            (SourceContents::Secret(keys), Some(secret)) => {
                for (key, name) in keys.iter().map(|key| (key, name(key))) {
                    let is_wanted = is_of_connections(&name) || named.contains(name.as_str());
                    if is_wanted && taken.insert(name.clone()) {
                        chosen.push(key_of_secret(&name, &secret.name, key, Requirement::Optional));
                    }
                }
            }
            (SourceContents::ConfigMap(data), _) => taken.extend(data.keys().map(|key| name(key))),
            (SourceContents::Secret(_), None) => {}
        }
    }
    chosen.reverse();
    chosen
}

/// Each source of the server's `envFrom`, with what it has.
fn sources_of<'a>(
    server: &'a Container,
    sources: &'a [SourceContents],
) -> impl DoubleEndedIterator<Item = (&'a EnvFromSource, &'a SourceContents)> {
    server.env_from.as_deref().unwrap_or_default().iter().zip(sources)
}

/// What the server has as a variable, where a person can read it in the template or in a ConfigMap.
enum Readable<'a> {
    Nothing,
    Text(&'a str),
    /// It comes from elsewhere, or is made of other variables.
    Hidden,
}

fn variable<'a>(name: &str, server: &'a Container, sources: &'a [SourceContents]) -> Readable<'a> {
    if let Some(own) = server.env.iter().flatten().rev().find(|variable| variable.name == name) {
        return match own.value.as_deref() {
            Some(text) if !text.contains("$(") => Readable::Text(text),
            Some(_) => Readable::Hidden,
            None if own.value_from.is_some() => Readable::Hidden,
            None => Readable::Nothing,
        };
    }
    for (reference, source) in sources_of(server, sources).rev() {
        let Some(key) = name.strip_prefix(reference.prefix.as_deref().unwrap_or_default()) else { continue };
        match source {
            SourceContents::ConfigMap(data) => {
                if let Some(text) = data.get(key) {
                    return Readable::Text(text);
                }
            }
            SourceContents::Secret(keys) if keys.iter().any(|each| each == key) => return Readable::Hidden,
            SourceContents::Secret(_) => {}
        }
    }
    Readable::Nothing
}

/// The names to which a value refers by `$(NAME)`. A name too many, such as one of an escaped `$$(NAME)`, does no harm.
fn references(value: &str) -> impl Iterator<Item = &str> {
    value.split("$(").skip(1).filter_map(|rest| rest.split_once(')')).map(|(name, _)| name)
}

/// The mounts of files from which the server takes authorities, if they come from a Secret or a ConfigMap. Where it cannot
/// be read which files those are, all of ConfigMaps.
fn trusted_mounts(server: &Container, volumes: &[Volume], sources: &[SourceContents]) -> Vec<VolumeMount> {
    let named = ["SSL_CERT_DIR", "SSL_CERT_FILE"].map(|name| variable(name, server, sources));
    let is_hidden = named.iter().any(|found| matches!(found, Readable::Hidden));
    let named = named.into_iter().filter_map(|found| match found {
        Readable::Text(text) => Some(text),
        Readable::Nothing | Readable::Hidden => None,
    });
    let trusted: Vec<_> = [AUTHORITIES, DIRECTORY_AUTHORITIES]
        .into_iter()
        .chain(named.flat_map(|text| text.split(':')))
        .filter(|path| !path.is_empty())
        .collect();
    let is_of_map = |mount: &VolumeMount| {
        volumes.iter().any(|volume| volume.name == mount.name && volume.config_map.is_some())
    };
    let is_plain = |mount: &VolumeMount| {
        volumes.iter().find(|volume| volume.name == mount.name).is_some_and(|volume| {
            volume.secret.is_some() || volume.config_map.is_some() || is_plain_projection(volume)
        })
    };
    let mounts = server.volume_mounts.iter().flatten();
    let mounts = mounts.filter(|mount| {
        let path = mount.mount_path.as_str();
        let is_trusted = trusted.iter().any(|place| is_within(path, place) || is_within(place, path));
        is_trusted && is_plain(mount) || is_hidden && is_of_map(mount)
    });
    mounts.map(|mount| VolumeMount { read_only: Some(true), ..mount.clone() }).collect()
}

/// A projected volume without a token.
fn is_plain_projection(volume: &Volume) -> bool {
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let mut sources = sources.map(|source| source.service_account_token.is_none()).peekable();
    sources.peek().is_some() && sources.all(|is_plain| is_plain)
}

fn is_within(path: &str, folder: &str) -> bool {
    let (path, folder) = (path.trim_end_matches('/'), folder.trim_end_matches('/'));
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where the authorities among the candidate values are. It is a place of their own: below a volume of the server nothing
/// can be mounted.
const CANDIDATE_AUTHORITIES: &str = "/var/run/wandb-auth/authorities";

/// The file with them.
pub(super) fn authorities_file() -> String {
    format!("{CANDIDATE_AUTHORITIES}/{CA_FILE}")
}

/// The authorities among the candidate values.
pub(super) fn authorities(values: &str) -> (Volume, VolumeMount) {
    const NAME: &str = "candidate-authorities";
    let volume = Volume {
        name: NAME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(values.to_owned()),
            items: Some(vec![KeyToPath { key: CA_FILE.to_owned(), path: CA_FILE.to_owned(), mode: None }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mount = VolumeMount {
        name: NAME.to_owned(),
        mount_path: CANDIDATE_AUTHORITIES.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (volume, mount)
}
