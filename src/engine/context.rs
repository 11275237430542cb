//! The context that all runs of a kind share, and the events of a resource.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::{
    Contender, EventDraft, Events, Existing, Fetched, Kind, ObjectKey, Registry, ResourceCache, ServerPods,
    TargetSharing,
    inputs::references::version_of,
    precedence,
    publish::secret::published,
    rejection::{is_conflict, rejected},
    scheduling::{
        api_permits::ApiPermits,
        backoff::{Backoff, ResourceKey},
        slots::Slots,
        urgency::{RunOrdinal, Urgency, urgency_of},
    },
    status::events::{EventType, Transition, joined},
};
use crate::{
    api::{CheckStatus, names::EventReason},
    api_server::Cluster,
    error::Error,
    net::SharedNetwork,
    problem::Problem,
};

/// The time limits for states that may still become right by themselves.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long a deletion waits for a server that does not revoke what the resource made there.
    pub deletion: Duration,
    /// How long a container of a target must fail before a rollout is undone.
    pub failure: Duration,
}

/// How many runs of a kind there are at a time by default.
const RUNS: u16 = 64;

/// What every run of a kind shares.
pub struct Context<K: Kind> {
    /// The connection to the API server.
    pub client: Client,
    /// The cluster in which the operator runs.
    pub(super) cluster: Cluster,
    /// The connections to everything else.
    pub network: Arc<SharedNetwork>,
    /// What is remembered of each resource.
    pub memory: ResourceCache<K>,
    /// The waits after failed runs.
    pub(super) backoff: Backoff,
    /// What Prometheus reads.
    pub metrics: Arc<Metrics>,
    /// The queue for events.
    pub events: Events,
    /// Limits how many runs there are at a time.
    pub(super) slots: Slots,
    /// Limits how many runs use the API server at a time.
    pub(super) api_permits: ApiPermits,
    /// The time limits for states that may still become right by themselves.
    pub waits: Waits,
    /// Cancelled when the process must stop.
    pub stopping: CancellationToken,
    /// The resources of every kind.
    pub registry: Arc<Registry>,
    /// How pods are made that make the checks in the place of a server; nothing where the operator makes none.
    pub(super) server_pods: Option<Arc<ServerPods>>,
}

impl<K: Kind> Context<K> {
    /// A context that remembers nothing yet.
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
            api_permits: ApiPermits::new(cluster.load().clone(), K::kind(&())),
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
            server_pods: None,
        }
    }

    /// The same, with pods that make checks in the place of a server.
    #[must_use]
    pub fn with_server_pods(self, server_pods: Option<ServerPods>) -> Self {
        Self { server_pods: server_pods.map(Arc::new), ..self }
    }

    /// The same with so many runs at a time.
    #[must_use]
    pub fn with_runs(self, runs: u16) -> Self {
        Self { slots: Slots::new(runs), ..self }
    }

    /// What a run of the resource goes ahead of.
    pub(super) fn urgency(&self, object: &K) -> Urgency {
        let run = if self.memory.reported(object, |reported| reported.own().is_none()) {
            RunOrdinal::First
        } else {
            RunOrdinal::Later
        };
        let expiration = K::metric_timestamps(&object.details()).token_expiration;
        urgency_of(run, object.status(), object.meta().generation, expiration, self.cluster.seconds())
    }

    /// Every resource in the same namespace that may compete with this one.
    pub(super) async fn others(&self, object: &K) -> Vec<Contender> {
        let Some(contender) = Contender::of(object) else { return Vec::new() };
        let namespace = object.namespace().unwrap_or_default();
        self.registry.listed(&namespace).await;
        self.registry.rivals(&namespace, &contender)
    }

    /// Every resource in the same namespace that may stand for the same as this one.
    pub(super) async fn namesakes(&self, object: &K) -> Vec<Contender> {
        let Some(contender) = Contender::of(object) else { return Vec::new() };
        let namespace = object.namespace().unwrap_or_default();
        self.registry.listed(&namespace).await;
        self.registry.namesakes(&namespace, &contender)
    }

    /// Runs the resources again that share the target of this one.
    pub(super) fn requeue_sharers(&self, object: &K) {
        if K::TARGET_SHARING == TargetSharing::Exclusive {
            return;
        }
        let namespace = object.namespace().unwrap_or_default();
        if let Some(contender) = Contender::of(object) {
            let beside = self.registry.beside(&namespace, &contender);
            let others = beside.iter().map(|other| &**other);
            self.registry.wake(&namespace, precedence::partners(&contender, others));
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
                Fetched::Found { version, .. } => Some(version.as_str()),
                Fetched::Missing { .. } => None,
                // The version of its spec is that of no event, so every event about the resource is news.
                Fetched::Resource(found) => Some(found.version.as_str()),
                Fetched::Forbidden => Some(""),
            };
            self.registry.observe(object, key.clone(), version);
        }
        // One that may not be read was not read.
        if present.is_some() || matches!(existing, Existing::Missing) {
            let version = present.map(|secret| version_of(&secret.metadata));
            self.registry.observe(object, published(object), version.as_deref());
        }
    }

    /// Forgets a resource that does not exist any more.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory.forget(namespace, name);
        let key = ResourceKey::new(namespace, name);
        self.backoff.forget(&key);
        self.slots.forget(&key);
        self.metrics.forget::<K>(namespace, name);
    }

    /// Whether the resource still exists with the same uid and is not being deleted.
    pub(super) async fn is_alive(&self, object: &K) -> Result<bool, Error> {
        let api = Api::<K>::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let found = api.get_metadata_opt(&object.name_any()).await?;
        Ok(found
            .is_some_and(|found| found.uid() == object.uid() && found.metadata.deletion_timestamp.is_none()))
    }

    /// The problem that a write was refused. A first conflict between two writers is returned as an error
    /// instead, because the next run sees what the other one wrote.
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

    /// Publishes an event, and writes the same to the log.
    pub(super) fn publish_event(&self, object: &impl Resource<DynamicType = ()>, event: &EventDraft) {
        Self::log_event(object, event);
        self.publish_events(object, vec![event.clone()]);
    }

    /// Writes an event to the log.
    pub(super) fn log_event(object: &impl Resource<DynamicType = ()>, event: &EventDraft) {
        let reason = event.reason.to_string();
        Self::log(object, event.tone, &LogLine { reason: &reason, text: &event.note, ..LogLine::default() });
    }

    /// Writes a change of the status to the log, which says all that the status does.
    pub(super) fn log_transition(
        object: &impl Resource<DynamicType = ()>,
        transition: &Transition,
        failed: Option<&CheckStatus>,
    ) {
        let event = transition.notice.as_ref().map(|notice| notice.reason);
        let reason = event.map_or_else(|| transition.reason.clone(), |event| event.to_string());
        let check = failed.filter(|_| event == Some(EventReason::CheckFailed));
        let found = check.map(|check| format!("{}: {}", check.name, check.message));
        let line = LogLine {
            reason: &reason,
            condition: Some(transition.condition.as_str()),
            check: check.map(|check| check.name.as_str()),
            check_reason: check.map(|check| check.reason.as_str()),
            text: found.as_deref().unwrap_or(&transition.message),
        };
        Self::log(object, transition.tone, &line);
    }

    /// Publishes the events of one run, which are in the log already. It does not wait for the API server.
    pub(super) fn publish_events(&self, object: &impl Resource<DynamicType = ()>, events: Vec<EventDraft>) {
        for event in &events {
            self.metrics.happened::<K>(object, event.reason);
        }
        for event in joined(events) {
            self.events.publish_event(object.object_ref(&()), &event);
        }
    }

    fn log(object: &impl Resource<DynamicType = ()>, tone: EventType, line: &LogLine<'_>) {
        let (kind, namespace, name) =
            (K::kind(&()), object.namespace().unwrap_or_default(), object.name_any());
        let LogLine { reason, condition, check, check_reason, text } = *line;
        match tone {
            EventType::Normal => tracing::info!(%kind, namespace, name, condition, reason, "{text}"),
            EventType::Warning => {
                tracing::warn!(%kind, namespace, name, condition, reason, check, check_reason, "{text}");
            }
        }
    }
}

/// What a line of the log says of a resource.
#[derive(Clone, Copy, Default)]
struct LogLine<'a> {
    /// The event's reason, or the condition's where there is no event.
    reason: &'a str,
    /// The condition that changed.
    condition: Option<&'a str>,
    /// The check that failed, and why.
    check: Option<&'a str>,
    check_reason: Option<&'a str>,
    text: &'a str,
}
