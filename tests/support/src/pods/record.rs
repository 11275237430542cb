//! What a player has seen and done, for the test to ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
};

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{ResourceExt, core::ObjectList};

use super::{
    inputs::{BrokenReference, ContainerInputs},
    status::is_ready,
};

/// The names of the pods that were ready since something happened.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// When it was seen.
    at: Timestamp,
    /// What happened to a pod.
    event: String,
    ready: BTreeSet<String>,
}

impl Moment {
    fn count(&self, prefix: &str) -> usize {
        self.ready.iter().filter(|name| name.starts_with(prefix)).count()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready: Vec<_> = self.ready.iter().map(String::as_str).collect();
        write!(f, "{} {}; ready: {}", self.at, self.event, ready.join(", "))
    }
}

/// The record of one namespace.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// What was ready, in the order of the API's events; each moment differs from the one before.
    moments: Vec<Moment>,
    /// What else happened to pods: each a line with its time.
    events: Vec<String>,
    /// The version that was last seen of each pod.
    versions: BTreeMap<String, u64>,
    /// The starts of each pod's first container.
    starts: BTreeMap<String, Vec<ContainerInputs>>,
    broken: BTreeSet<BrokenReference>,
    /// Where the pods' stand-in servers listen.
    addresses: BTreeMap<String, SocketAddr>,
    /// How often the test asked for a restart of each pod.
    restarts_asked: BTreeMap<String, usize>,
}

impl Record {
    pub(super) fn pod_is_seen(&mut self, pod: &Pod) {
        let name = pod.name_any();
        let before = self.versions.insert(name.clone(), version(pod.resource_version().as_deref()));
        if before.is_none() {
            self.note(&format!("{name} was seen for the first time"));
        }
        let mut ready = self.now();
        if is_ready(pod) {
            ready.insert(name.clone());
            self.add(format!("{name} became ready"), ready);
        } else {
            ready.remove(&name);
            let why =
                if pod.metadata.deletion_timestamp.is_some() { "is being deleted" } else { "is not ready" };
            self.add(format!("{name} {why}"), ready);
        }
    }

    pub(super) fn pod_is_gone(&mut self, name: &str) {
        self.note(&format!("{name} was deleted"));
        self.versions.remove(name);
        self.addresses.remove(name);
        let mut ready = self.now();
        ready.remove(name);
        self.add(format!("{name} was deleted"), ready);
    }

    /// The pods are these and no others, after a gap in the events.
    pub(super) fn pods_are(&mut self, names: &BTreeSet<String>) {
        self.versions.retain(|name, _| names.contains(name));
        let ready = self.now().intersection(names).cloned().collect();
        self.add("the pods were listed anew".to_owned(), ready);
    }

    fn now(&self) -> BTreeSet<String> {
        self.moments.last().map(|moment| moment.ready.clone()).unwrap_or_default()
    }

    fn add(&mut self, event: String, ready: BTreeSet<String>) {
        if ready != self.now() {
            self.moments.push(Moment { at: Timestamp::now(), event, ready });
        }
    }

    /// Whether all has been seen that led to these pods.
    pub(super) fn has_seen(&self, pods: &ObjectList<Pod>) -> bool {
        let listed_at = version(pods.metadata.resource_version.as_deref());
        let is_current = |pod: &Pod| {
            self.versions.get(&pod.name_any()) >= Some(&version(pod.resource_version().as_deref()))
        };
        let is_listed = |name: &str| pods.iter().any(|pod| pod.name_any() == name);
        pods.iter().all(is_current)
            && self.versions.iter().all(|(name, version)| *version > listed_at || is_listed(name))
    }

    /// The smallest number of ready pods since there were so many for the first time.
    pub(super) fn fewest_ready(&self, prefix: &str, replicas: usize) -> Option<usize> {
        let counts = self.moments.iter().map(|moment| moment.count(prefix));
        counts.skip_while(|count| *count < replicas).min()
    }

    fn note(&mut self, event: &str) {
        self.events.push(format!("{} {event}", Timestamp::now()));
    }

    /// Every change of what is ready, and what else happened, a line each in the order of their times.
    pub(super) fn history(&self) -> String {
        let mut lines: Vec<_> = self.moments.iter().map(ToString::to_string).collect();
        lines.extend(self.events.iter().cloned());
        // Each line begins with its time.
        lines.sort();
        lines.join("\n")
    }

    pub(super) fn container_started(&mut self, pod: &str, inputs: ContainerInputs) {
        self.starts.entry(pod.to_owned()).or_default().push(inputs);
    }

    pub(super) fn starts_of(&self, pod: &str) -> Vec<ContainerInputs> {
        self.starts.get(pod).cloned().unwrap_or_default()
    }

    pub(super) fn pods(&self) -> Vec<String> {
        self.starts.keys().cloned().collect()
    }

    pub(super) fn reference_is_broken(&mut self, reference: BrokenReference) {
        self.note(&format!("{} could not start: {}", reference.pod, reference.message));
        self.broken.insert(reference);
    }

    pub(super) fn broken_references(&self) -> Vec<BrokenReference> {
        self.broken.iter().cloned().collect()
    }

    pub(super) fn serves(&mut self, pod: &str, address: SocketAddr) {
        self.addresses.insert(pod.to_owned(), address);
    }

    pub(super) fn serves_no_more(&mut self, pod: &str) {
        self.addresses.remove(pod);
    }

    pub(super) fn address_of(&self, pod: &str) -> Option<SocketAddr> {
        self.addresses.get(pod).copied()
    }

    pub(super) fn ask_for_restart(&mut self, pod: &str) {
        *self.restarts_asked.entry(pod.to_owned()).or_default() += 1;
    }

    pub(super) fn restarts_asked(&self, pod: &str) -> usize {
        self.restarts_asked.get(pod).copied().unwrap_or_default()
    }
}

/// Versions grow, as the one API server of a test counts them.
fn version(resource_version: Option<&str>) -> u64 {
    resource_version.and_then(|version| version.parse().ok()).unwrap_or_default()
}
