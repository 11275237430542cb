//! Who else is there: the resources of every kind, and how to have them run again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::channel::mpsc;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::sync::watch;

use super::{
    Contender, Kind, WatchScope,
    finalizer::Finalizer,
    namespace_deletion::Endings,
    watching::{
        health::{WatchHandle, all_settled},
        undecodable::Guarded,
    },
};
use crate::workloads::Target;

/// The resources of every kind, as the controllers of this process know them.
#[derive(Default)]
pub struct Registry {
    controllers: Mutex<Vec<Arc<dyn Controlled>>>,
    /// The kinds of targets that any resource named so far.
    targets: watch::Sender<Vec<&'static str>>,
    /// Whether anybody was told to wait for a kind to be listed.
    is_awaited: AtomicBool,
    /// The namespaces that are being deleted.
    endings: Endings,
}

/// One kind in one scope.
trait Controlled: Send + Sync {
    fn covers(&self, namespace: &str) -> bool;
    fn claimants(&self, namespace: &str) -> Vec<Contender>;
    fn watched(&self) -> &WatchHandle;
    fn wake(&self, namespace: &str, claimant: &Contender);
    fn wake_all(&self);
    fn wake_namespace(&self, namespace: &str);
    fn holding(&self) -> Vec<String>;
}

struct RegisteredController<K: Kind> {
    scope: WatchScope,
    store: Store<Guarded<K>>,
    watched: Arc<WatchHandle>,
    runs: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
}

impl<K: Kind> Controlled for RegisteredController<K> {
    fn covers(&self, namespace: &str) -> bool {
        self.scope.covers(namespace)
    }

    fn claimants(&self, namespace: &str) -> Vec<Contender> {
        let objects = self.store.state();
        objects
            .iter()
            .filter(|object| object.namespace().as_deref() == Some(namespace))
            .filter_map(|object| Contender::of_guarded(object))
            .collect()
    }

    fn watched(&self) -> &WatchHandle {
        &self.watched
    }

    fn wake(&self, namespace: &str, claimant: &Contender) {
        if claimant.kind == K::kind(&()) {
            // Nobody listens any more only when the process stops.
            let _ = self.runs.unbounded_send(ObjectRef::new(&claimant.name).within(namespace));
        }
    }

    fn wake_all(&self) {
        for object in self.store.state() {
            let _ = self.runs.unbounded_send(ObjectRef::from_obj(&*object));
        }
    }

    fn wake_namespace(&self, namespace: &str) {
        for object in self.store.state() {
            if object.namespace().as_deref() == Some(namespace) {
                let _ = self.runs.unbounded_send(ObjectRef::from_obj(&*object));
            }
        }
    }

    fn holding(&self) -> Vec<String> {
        let objects = self.store.state();
        let held = objects.iter().filter(|object| Finalizer::is_on(&***object));
        held.filter_map(|object| object.namespace()).collect()
    }
}

impl Registry {
    /// Adds a kind in a scope: `watched` says whether the store has every resource, and `runs` takes those that are
    /// to run again.
    pub(super) fn add<K: Kind>(
        &self,
        scope: WatchScope,
        store: Store<Guarded<K>>,
        watched: Arc<WatchHandle>,
        runs: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
    ) {
        let controller = Arc::new(RegisteredController { scope, store, watched, runs });
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner).push(controller);
    }

    /// Every resource of the namespace that stands in anybody's way.
    pub fn claimants(&self, namespace: &str) -> Vec<Contender> {
        self.covering(namespace).iter().flat_map(|controller| controller.claimants(namespace)).collect()
    }

    /// Waits until every kind is listed: who does not know all cannot tell the oldest. A kind that cannot be listed
    /// is waited for some seconds only; then [`Registry::unlisted`] names it.
    pub async fn listed(&self, namespace: &str) {
        let controllers = self.covering(namespace);
        let watches: Vec<_> = controllers.iter().map(|controller| controller.watched()).collect();
        all_settled(&watches).await;
    }

    /// What keeps kinds of this namespace from being listed, if one is not. Whoever asks runs again when that changes.
    pub fn unlisted(&self, namespace: &str) -> Option<String> {
        let controllers = self.covering(namespace);
        let missing = || {
            let words = controllers.iter().filter_map(|controller| controller.watched().unsettled());
            let words: BTreeSet<_> = words.collect();
            (!words.is_empty()).then(|| words.into_iter().collect::<Vec<_>>().join(" "))
        };
        missing()?;
        self.is_awaited.store(true, Ordering::SeqCst);
        // Who was listed before that was noted has nobody run again.
        missing()
    }

    /// Has everybody run again where somebody was told to wait for a kind that is listed now.
    pub(super) fn newly_listed(&self) {
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for controller in controllers {
                controller.wake_all();
            }
        }
    }

    /// Has resources run again.
    pub fn wake<'a>(&self, namespace: &str, claimants: impl IntoIterator<Item = &'a Contender>) {
        let controllers = self.covering(namespace);
        for claimant in claimants {
            for controller in &controllers {
                controller.wake(namespace, claimant);
            }
        }
    }

    /// The namespaces in which the operator holds a resource.
    pub(super) fn holding(&self) -> BTreeSet<String> {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        controllers.iter().flat_map(|controller| controller.holding()).collect()
    }

    /// Has every resource of the namespace run again.
    pub(super) fn wake_namespace(&self, namespace: &str) {
        for controller in self.covering(namespace) {
            controller.wake_namespace(namespace);
        }
    }

    /// The namespaces that are being deleted.
    pub(super) fn endings(&self) -> &Endings {
        &self.endings
    }

    /// Has the resources run again that deliver to this object.
    pub fn target_changed(&self, namespace: &str, kind: &str, name: &str) {
        let claimants = self.claimants(namespace);
        let delivers = |claimant: &&Contender| {
            claimant.target.as_ref().is_some_and(|target| target.includes(kind, name))
        };
        self.wake(namespace, claimants.iter().filter(delivers));
    }

    /// Notes that objects of the target's kinds matter from now on, and those of which they are made.
    pub(super) fn watch_kind(&self, target: &Target) {
        self.targets.send_if_modified(|kinds| {
            let before = kinds.len();
            for kind in target.parts().iter().flat_map(Target::watched_kinds) {
                if !kinds.contains(kind) {
                    kinds.push(kind);
                }
            }
            kinds.len() > before
        });
    }

    /// Waits until objects of this kind matter to any resource.
    pub async fn wait_for_kind(&self, kind: &str) {
        // The sender lives as long as this registry.
        let _ = self.targets.subscribe().wait_for(|kinds| kinds.contains(&kind)).await;
    }

    fn covering(&self, namespace: &str) -> Vec<Arc<dyn Controlled>> {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        controllers.iter().filter(|controller| controller.covers(namespace)).cloned().collect()
    }
}
