//! The resources of every kind in this process, and how one of them makes others run again.

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
    /// Whether any run was answered that a kind is not listed yet.
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
            // A failed send can be ignored: the receiver is dropped only when the process stops.
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

    /// Every resource of the namespace that may compete with another one.
    pub fn claimants(&self, namespace: &str) -> Vec<Contender> {
        self.covering(namespace).iter().flat_map(|controller| controller.claimants(namespace)).collect()
    }

    /// Waits until every kind is listed, because the oldest resource can only be found among all of them. A kind
    /// that cannot be listed is waited for some seconds only; then [`Registry::unlisted`] names it.
    pub async fn listed(&self, namespace: &str) {
        let controllers = self.covering(namespace);
        let watches: Vec<_> = controllers.iter().map(|controller| controller.watched()).collect();
        all_settled(&watches).await;
    }

    /// The reason why some kinds of this namespace are not listed, if there is one. The caller's resource is run
    /// again once they are.
    pub fn unlisted(&self, namespace: &str) -> Option<String> {
        let controllers = self.covering(namespace);
        let missing = || {
            let words = controllers.iter().filter_map(|controller| controller.watched().unsettled());
            let words: BTreeSet<_> = words.collect();
            (!words.is_empty()).then(|| words.into_iter().collect::<Vec<_>>().join(" "))
        };
        missing()?;
        self.is_awaited.store(true, Ordering::SeqCst);
        // A kind may have been listed just before the flag was set, and then no run would follow, so this is
        // checked again.
        missing()
    }

    /// Runs all resources again if any run was answered that a kind is not listed yet.
    pub(super) fn newly_listed(&self) {
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for controller in controllers {
                controller.wake_all();
            }
        }
    }

    /// Runs these resources again.
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

    /// Runs every resource of the namespace again.
    pub(super) fn wake_namespace(&self, namespace: &str) {
        for controller in self.covering(namespace) {
            controller.wake_namespace(namespace);
        }
    }

    /// The namespaces that are being deleted.
    pub(super) fn endings(&self) -> &Endings {
        &self.endings
    }

    /// Runs the resources again that deliver to this object.
    pub fn target_changed(&self, namespace: &str, kind: &str, name: &str) {
        let claimants = self.claimants(namespace);
        let delivers = |claimant: &&Contender| {
            claimant.target.as_ref().is_some_and(|target| target.includes(kind, name))
        };
        self.wake(namespace, claimants.iter().filter(delivers));
    }

    /// Requests watches of the target's kinds, and of the kinds from which they are made.
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

    /// Waits until a resource names a target of this kind.
    pub async fn wait_for_kind(&self, kind: &str) {
        // The result can be ignored: it is an error only once the sender is dropped, and the sender lives as long
        // as this registry.
        let _ = self.targets.subscribe().wait_for(|kinds| kinds.contains(&kind)).await;
    }

    fn covering(&self, namespace: &str) -> Vec<Arc<dyn Controlled>> {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        controllers.iter().filter(|controller| controller.covers(namespace)).cloned().collect()
    }
}
