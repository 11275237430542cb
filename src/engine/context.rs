//! What every run of a kind shares, and the events of a resource.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::{
    Contender, EventDraft, Events, Existing, Fetched, Kind, ObjectKey, Registry, ResourceCache,
    TargetSharing,
    inputs::references::version_of,
    precedence,
    publish::secret::published,
    rejection::{is_conflict, rejected},
    scheduling::{
        api_permits::Turns,
        backoff::{Backoff, ResourceKey},
        slots::Slots,
    },
    status::events::{EventType, joined},
};
use crate::{api::CheckStatus, api_server::Cluster, error::Error, net::SharedNetwork, problem::Problem};

/// How long is waited for what may still come right.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long a deletion waits for a server that does not revoke what the resource made there.
    pub deletion: Duration,
    /// How long a container of a target must fail before a rollout is undone.
    pub failure: Duration,
}

/// Runs of a kind at a time, where nobody says how many.
const RUNS: u16 = 64;

/// What every run of a kind shares.
pub struct Context<K: Kind> {
    /// The connection to the API server.
    pub client: Client,
    /// The cluster that tokens are from.
    pub(super) cluster: Cluster,
    /// The connections to everything else.
    pub network: Arc<SharedNetwork>,
    /// What earlier runs found.
    pub memory: ResourceCache<K>,
    /// How long to wait after runs that failed for reasons of our own.
    pub(super) backoff: Backoff,
    /// What Prometheus reads.
    pub metrics: Arc<Metrics>,
    /// Where events go.
    pub events: Events,
    /// Limits how many runs there are at a time.
    pub(super) slots: Slots,
    /// Limits how many runs speak with the API server at a time.
    pub(super) api_permits: Turns,
    /// How long is waited for what may still come right.
    pub waits: Waits,
    /// Set when the process is to stop.
    pub stopping: CancellationToken,
    /// The resources of every kind.
    pub registry: Arc<Registry>,
}

impl<K: Kind> Context<K> {
    /// A context without memories.
    pub fn new(
        cluster: Cluster,
        network: Arc<SharedNetwork>,
        metrics: Arc<Metrics>,
        events: Events,
        waits: Waits,
        stopping: CancellationToken,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            client: cluster.client.clone(),
            api_permits: Turns::new(cluster.load().clone()),
            cluster,
            network,
            memory: ResourceCache::default(),
            backoff: Backoff::default(),
            metrics,
            events,
            slots: Slots::new(RUNS),
            waits,
            stopping,
            registry,
        }
    }

    /// The same with so many runs at a time.
    #[must_use]
    pub fn with_runs(self, runs: u16) -> Self {
        Self { slots: Slots::new(runs), ..self }
    }

    /// Every resource in the same namespace that may have to do with what this one wants.
    pub(super) async fn others(&self, object: &K) -> Vec<Contender> {
        let Some(claimant) = Contender::of(object) else { return Vec::new() };
        let namespace = object.namespace().unwrap_or_default();
        self.registry.listed(&namespace).await;
        self.registry.rivals(&namespace, &claimant)
    }

    /// Every resource in the same namespace that may stand for the same as this one.
    pub(super) async fn namesakes(&self, object: &K) -> Vec<Contender> {
        let Some(claimant) = Contender::of(object) else { return Vec::new() };
        let namespace = object.namespace().unwrap_or_default();
        self.registry.listed(&namespace).await;
        self.registry.namesakes(&namespace, &claimant)
    }

    /// Has those run that write to the resource's target together with it.
    pub(super) fn requeue_sharers(&self, object: &K) {
        if K::TARGET_SHARING == TargetSharing::Exclusive {
            return;
        }
        let namespace = object.namespace().unwrap_or_default();
        if let Some(claimant) = Contender::of(object) {
            let beside: Vec<_> = self
                .registry
                .beside(&namespace, &claimant)
                .iter()
                .map(|other| Contender::clone(other))
                .collect();
            self.registry.wake(&namespace, precedence::partners(&claimant, &beside));
        }
    }

    /// Notes which versions of other objects a run has read: events about them tell it nothing new.
    pub(super) fn observe(
        &self,
        object: &K,
        objects: &BTreeMap<ObjectKey, Fetched>,
        (present, existing): (Option<&Secret>, &Existing),
    ) {
        for (key, fetched) in objects {
            let version = match fetched {
                Fetched::Found { version, .. } => Some(version.clone()),
                Fetched::Missing => None,
                Fetched::Resource(_) | Fetched::Forbidden => continue,
            };
            self.registry.observe(object, key.clone(), version);
        }
        // One that may not be read was not read.
        if present.is_some() || matches!(existing, Existing::Missing) {
            let version = present.map(|secret| version_of(&secret.metadata));
            self.registry.observe(object, published(object), version);
        }
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory.forget(namespace, name);
        let key = ResourceKey::new(namespace, name);
        self.backoff.forget(&key);
        self.slots.forget(&key);
        self.metrics.forget::<K>(namespace, name);
    }

    /// Whether the very resource is there, and not on its way out.
    pub(super) async fn is_alive(&self, object: &K) -> Result<bool, Error> {
        let api = Api::<K>::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let found = api.get_metadata_opt(&object.name_any()).await?;
        Ok(found
            .is_some_and(|found| found.uid() == object.uid() && found.metadata.deletion_timestamp.is_none()))
    }

    /// The problem that something was not written. Where two writers met for the first time it is an error
    /// instead: the next run sees what the other one wrote.
    pub(super) fn rejected(&self, object: &K, what: &str, error: Error) -> Result<Problem, Error> {
        match error {
            Error::Api(error)
                if !is_conflict(&error) || self.backoff.is_failing(&ResourceKey::of(object)) =>
            {
                Ok(rejected(what, &error))
            }
            error => Err(error),
        }
    }

    /// Has an event written, and writes the same to the log. It waits for nothing.
    pub(super) fn publish_event(&self, object: &impl Resource<DynamicType = ()>, notice: &EventDraft) {
        Self::log(object, notice, None);
        self.events.publish_event(object.object_ref(&()), notice);
    }

    /// Has the events of one run written, which are in the log already.
    pub(super) fn publish_events(&self, object: &impl Resource<DynamicType = ()>, notices: Vec<EventDraft>) {
        for notice in joined(notices) {
            self.events.publish_event(object.object_ref(&()), &notice);
        }
    }

    /// Writes what is told to the log, with the check that it is about, if it is about one.
    pub(super) fn log(
        object: &impl Resource<DynamicType = ()>,
        notice: &EventDraft,
        check: Option<&CheckStatus>,
    ) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let (kind, reason, note) = (K::kind(&()), notice.reason.to_string(), notice.note.as_str());
        let (check, check_reason) = check.map(|check| (check.name.as_str(), check.reason.as_str())).unzip();
        match notice.tone {
            EventType::Normal => tracing::info!(%kind, namespace, name, reason, "{note}"),
            EventType::Warning => {
                tracing::warn!(%kind, namespace, name, reason, check, check_reason, "{note}")
            }
        }
    }
}
