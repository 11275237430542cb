//! Who else is there: the resources of every kind, and how to have them run again.

use std::sync::{Arc, Mutex, PoisonError};

use futures::{channel::mpsc, future::join_all};
use kube::{
    ResourceExt,
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Claimant, Kind, Scope};
use crate::target::Target;

/// The resources of every kind, as the controllers of this process know them.
#[derive(Default)]
pub struct Registry {
    controllers: Mutex<Vec<Arc<dyn Controlled>>>,
    /// The kinds of targets that any resource named so far.
    targets: watch::Sender<Vec<&'static str>>,
}

/// One kind in one scope.
trait Controlled: Send + Sync {
    fn covers(&self, namespace: &str) -> bool;
    fn claimants(&self, namespace: &str) -> Vec<Claimant>;
    fn listed(&self) -> &CancellationToken;
    fn wake(&self, namespace: &str, claimant: &Claimant);
}

struct Controller<K: Kind> {
    scope: Scope,
    store: Store<DeserializeGuard<K>>,
    listed: CancellationToken,
    runs: mpsc::UnboundedSender<ObjectRef<DeserializeGuard<K>>>,
}

impl<K: Kind> Controlled for Controller<K> {
    fn covers(&self, namespace: &str) -> bool {
        self.scope.covers(namespace)
    }

    fn claimants(&self, namespace: &str) -> Vec<Claimant> {
        let objects = self.store.state();
        let objects = objects.iter().filter_map(|object| object.0.as_ref().ok());
        objects
            .filter(|object| object.namespace().as_deref() == Some(namespace))
            .filter_map(Claimant::of)
            .collect()
    }

    fn listed(&self) -> &CancellationToken {
        &self.listed
    }

    fn wake(&self, namespace: &str, claimant: &Claimant) {
        if claimant.kind == K::kind(&()) {
            // Nobody listens any more only when the process stops.
            let _ = self.runs.unbounded_send(ObjectRef::new(&claimant.name).within(namespace));
        }
    }
}

impl Registry {
    /// Adds a kind in a scope: `listed` is cancelled once the store has every resource, and `runs` takes those
    /// that are to run again.
    pub(super) fn add<K: Kind>(
        &self,
        scope: Scope,
        store: Store<DeserializeGuard<K>>,
        listed: CancellationToken,
        runs: mpsc::UnboundedSender<ObjectRef<DeserializeGuard<K>>>,
    ) {
        let controller = Arc::new(Controller { scope, store, listed, runs });
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner).push(controller);
    }

    /// Every resource of the namespace that stands in anybody's way.
    pub fn claimants(&self, namespace: &str) -> Vec<Claimant> {
        self.covering(namespace).iter().flat_map(|controller| controller.claimants(namespace)).collect()
    }

    /// Waits until every kind is listed: who does not know all cannot tell the oldest.
    pub async fn listed(&self, namespace: &str) {
        let controllers = self.covering(namespace);
        join_all(controllers.iter().map(|controller| controller.listed().cancelled())).await;
    }

    /// Has resources run again.
    pub fn wake<'a>(&self, namespace: &str, claimants: impl IntoIterator<Item = &'a Claimant>) {
        let controllers = self.covering(namespace);
        for claimant in claimants {
            for controller in &controllers {
                controller.wake(namespace, claimant);
            }
        }
    }

    /// Has the resources run again that deliver to this object.
    pub fn target_changed(&self, namespace: &str, kind: &str, name: &str) {
        let claimants = self.claimants(namespace);
        let delivers =
            |claimant: &&Claimant| claimant.target.as_ref().is_some_and(|target| target.includes(kind, name));
        self.wake(namespace, claimants.iter().filter(delivers));
    }

    /// Notes that objects of the target's kinds matter from now on, and those of which they are made.
    pub(super) fn matters(&self, target: &Target) {
        self.targets.send_if_modified(|kinds| {
            let before = kinds.len();
            for kind in target.parts().iter().flat_map(|part| part.watched_kinds()) {
                if !kinds.contains(kind) {
                    kinds.push(kind);
                }
            }
            kinds.len() > before
        });
    }

    /// Waits until objects of this kind matter to any resource.
    pub async fn until_it_matters(&self, kind: &str) {
        // The sender lives as long as this registry.
        let _ = self.targets.subscribe().wait_for(|kinds| kinds.contains(&kind)).await;
    }

    fn covering(&self, namespace: &str) -> Vec<Arc<dyn Controlled>> {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        controllers.iter().filter(|controller| controller.covers(namespace)).cloned().collect()
    }
}
