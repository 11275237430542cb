//! What every run of a kind shares, and the effects on a resource itself: its status and its events.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::{
        events::{Event, EventType, Recorder, Reporter},
        reflector::Store,
    },
};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    Kind, Memory,
    backoff::Backoff,
    notices::{Tone, notices},
    secret::field_manager,
};
use crate::{
    api::Status,
    error::{Error, in_words},
    metrics::Metrics,
    net::Network,
};

/// A status as it is written.
#[derive(Serialize)]
struct WholeStatus<'a, D> {
    #[serde(flatten)]
    common: &'a Status,
    #[serde(flatten)]
    details: &'a D,
}

/// What every run of a kind shares.
pub struct Context<K: Kind> {
    /// The connection to the API server.
    pub client: Client,
    /// The connections to everything else.
    pub network: Arc<Network>,
    /// What earlier runs found.
    pub memory: Memory<K>,
    /// How long to wait after runs that failed for reasons of our own.
    pub(super) backoff: Backoff,
    /// What Prometheus reads.
    pub metrics: Arc<Metrics>,
    /// Who events say they come from.
    pub reporter: Reporter,
    /// Limits how many runs speak with the API server at a time: each takes a connection and memory.
    pub(super) turns: Semaphore,
    /// How long a deletion waits for a server that does not let go.
    pub deletion_patience: Duration,
    /// Set when the process is to stop.
    pub stopping: CancellationToken,
    /// The resources of the kind in every scope.
    stores: Mutex<Vec<Store<DeserializeGuard<K>>>>,
}

impl<K: Kind> Context<K> {
    /// A context without memories.
    pub fn new(
        client: Client,
        network: Arc<Network>,
        metrics: Arc<Metrics>,
        reporter: Reporter,
        deletion_patience: Duration,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            client,
            network,
            memory: Memory::default(),
            backoff: Backoff::default(),
            metrics,
            reporter,
            turns: Semaphore::new(TURNS),
            deletion_patience,
            stopping,
            stores: Mutex::default(),
        }
    }

    /// Adds a scope's resources to those that [`Context::peers`] looks through.
    pub(super) fn knows(&self, store: Store<DeserializeGuard<K>>) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store);
    }

    /// Every resource of the kind in the same namespace, where the kind has claims.
    pub(super) fn peers(&self, object: &K) -> Vec<K> {
        if object.claim().is_none() {
            return Vec::new();
        }
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let peers = stores.iter().flat_map(Store::state);
        let peers = peers.filter_map(|peer| peer.0.as_ref().ok().cloned());
        peers.filter(|peer| peer.namespace() == object.namespace()).collect()
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory.forget(namespace, name);
        self.backoff.forget(&format!("{namespace}/{name}"));
        self.metrics.forget::<K>(namespace, name);
    }

    /// Writes the status, and tells of transitions by events.
    pub(super) async fn report(
        &self,
        object: &impl Resource<DynamicType = ()>,
        previous: Option<&Status>,
        status: &Status,
        details: &K::Details,
    ) -> Result<(), Error> {
        // The guard lets the answer pass even where the object's spec does not decode.
        let api = Api::<DeserializeGuard<K>>::namespaced(
            self.client.clone(),
            &object.namespace().unwrap_or_default(),
        );
        let patch = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // An object that was deleted and made again meanwhile is another one.
            "metadata": { "uid": object.uid() },
            "status": WholeStatus { common: status, details },
        });
        let parameters = PatchParams::apply(&field_manager::<K>()).force();
        match api.patch_status(&object.name_any(), &parameters, &Patch::Apply(patch)).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for notice in notices(previous, status) {
            self.tell(object, &notice).await;
        }
        Ok(())
    }

    /// Writes an event, and the same to the log.
    pub(super) async fn tell(&self, object: &impl Resource<DynamicType = ()>, notice: &super::Notice) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let (kind, reason, note) = (K::kind(&()), notice.reason.to_string(), notice.note.as_str());
        let type_ = match notice.tone {
            Tone::Normal => {
                tracing::info!(%kind, namespace, name, reason, "{note}");
                EventType::Normal
            }
            Tone::Warning => {
                tracing::warn!(%kind, namespace, name, reason, "{note}");
                EventType::Warning
            }
        };
        let event = Event {
            type_,
            reason,
            note: Some(note.chars().take(NOTE_LIMIT).collect()),
            action: notice.action.clone(),
            secondary: None,
        };
        // A recorder that lives on would remember every event for minutes, to join equal ones; these tell of
        // transitions only. An event is a courtesy: the status carries the same words.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(error = in_words(&error), "an event was not written");
        }
    }
}

/// Runs of a kind that speak with the API server at a time.
const TURNS: usize = 8;

/// Events take notes of up to 1024 bytes; a character has at most four.
const NOTE_LIMIT: usize = 256;
