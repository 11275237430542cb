//! The resources of every kind in this process, and how one of them makes others run again.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::channel::mpsc;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::sync::watch;

use super::{
    Contender, Kind, ObjectKey, ReferenceSource, WatchScope,
    index::{ClaimChange, Index, IndexEntry, KindKey},
    namespace_deletion::Endings,
    precedence::affected,
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
    /// Which of them a change concerns.
    index: Mutex<Index>,
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
    fn watched(&self) -> &WatchHandle;
    fn wake(&self, namespace: &str, kind: &str, name: &str);
}

struct RegisteredController<K: Kind> {
    scope: WatchScope,
    watched: Arc<WatchHandle>,
    runs: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
}

impl<K: Kind> Controlled for RegisteredController<K> {
    fn covers(&self, namespace: &str) -> bool {
        self.scope.covers(namespace)
    }

    fn watched(&self) -> &WatchHandle {
        &self.watched
    }

    fn wake(&self, namespace: &str, kind: &str, name: &str) {
        if kind == K::kind(&()) {
            // Nobody listens any more only when the process stops.
            let _ = self.runs.unbounded_send(ObjectRef::new(name).within(namespace));
        }
    }
}

impl Registry {
    /// Adds a kind in a scope: `watched` says whether every resource is known, and `runs` takes those that are to run
    /// again.
    pub(super) fn add<K: Kind>(
        &self,
        scope: WatchScope,
        watched: Arc<WatchHandle>,
        runs: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
    ) {
        let controller = Arc::new(RegisteredController { scope, watched, runs });
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner).push(controller);
    }

    /// Takes a resource in as it is now; tells what it claims, and claimed before.
    pub(super) fn put<K: Kind>(&self, object: &Guarded<K>) -> ClaimChange {
        let namespace = object.namespace().unwrap_or_default();
        // Outside of the lock, since it takes the longest.
        let entry = IndexEntry::of(object);
        self.index().put(&namespace, KindKey::of::<K>(object), entry)
    }

    /// Takes a resource out that is gone.
    pub(super) fn remove(&self, namespace: &str, key: KindKey) -> ClaimChange {
        self.index().remove(namespace, key)
    }

    /// The resources of a kind that are known in a scope, each with its namespace.
    pub(super) fn of_kind<K: Kind>(&self, scope: &WatchScope) -> HashSet<(String, KindKey)> {
        self.index().of_kind(&K::kind(&()), scope)
    }

    /// Every resource that may have to do with what the claimant wants, which may include it.
    pub fn rivals(&self, namespace: &str, claimant: &Contender) -> Vec<Contender> {
        self.index().rivals(namespace, claimant)
    }

    /// Every resource that may stand for the same as the claimant, which may include it.
    pub(super) fn namesakes(&self, namespace: &str, claimant: &Contender) -> Vec<Contender> {
        self.index().namesakes(namespace, claimant)
    }

    /// Every resource that shares a place or an object with the claimant, which may include it.
    pub(super) fn beside(&self, namespace: &str, claimant: &Contender) -> Vec<Arc<Contender>> {
        self.index().beside(namespace, &[claimant])
    }

    /// Has those run whose turn may come, or be over, now that a resource's claims are others.
    pub(super) fn requeue_competitors(&self, namespace: &str, ClaimChange { before, now }: &ClaimChange) {
        let (before, now) = (before.as_deref(), now.as_deref());
        let claimants: Vec<_> = before.into_iter().chain(now).collect();
        if claimants.is_empty() {
            return;
        }
        let beside = self.index().beside(namespace, &claimants);
        self.wake(namespace, affected(before, now, beside.iter().map(|claimant| &**claimant)));
    }

    /// Has the resources run that read or publish this object, which has this version now or is gone.
    pub(super) fn object_changed(&self, namespace: &str, object: &ObjectKey, version: Option<&str>) {
        let users = self.index().object_changed(namespace, object, version);
        self.wake_keys(namespace, users.iter().map(|key| &**key));
    }

    /// The objects of a source that any resource of a scope uses, by namespace and name.
    pub(super) fn used(&self, source: ReferenceSource, scope: &WatchScope) -> Vec<(String, String)> {
        self.index().used(source, scope)
    }

    /// A run of the resource has read or written this version of an object, or found that there is none.
    pub(super) fn observe<K: Kind>(&self, resource: &K, object: ObjectKey, version: Option<&str>) {
        let namespace = resource.namespace().unwrap_or_default();
        self.index().observe(&namespace, &KindKey::of::<K>(resource), object, version);
    }

    /// A run of the resource has read the versions of all its revisions.
    pub(super) fn observe_revisions<K: Kind>(&self, resource: &K, revisions: Vec<(ObjectKey, String)>) {
        let namespace = resource.namespace().unwrap_or_default();
        self.index().observe_revisions(&namespace, &KindKey::of::<K>(resource), revisions);
    }

    /// A run of the resource is under way until what this gives is dropped. What the run does not know of then has the
    /// resource run again.
    pub(super) fn begin_run<K: Kind>(self: &Arc<Self>, resource: &Guarded<K>) -> RunUnderWay {
        let (namespace, key) = (resource.namespace().unwrap_or_default(), KindKey::of::<K>(resource));
        self.index().run_began(&namespace, &key);
        RunUnderWay { registry: Arc::clone(self), namespace, key }
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
            self.wake_known(None);
        }
    }

    /// Runs these resources again.
    pub fn wake<'a>(&self, namespace: &str, claimants: impl IntoIterator<Item = &'a Contender>) {
        let names = claimants.into_iter().map(|claimant| (claimant.kind.as_str(), claimant.name.as_str()));
        self.wake_named(namespace, names);
    }

    fn wake_keys<'a>(&self, namespace: &str, keys: impl IntoIterator<Item = &'a KindKey>) {
        self.wake_named(namespace, keys.into_iter().map(|key| (&*key.kind, key.name.as_str())));
    }

    /// Runs the resources of these kinds and names again.
    fn wake_named<'a>(&self, namespace: &str, names: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut names = names.peekable();
        if names.peek().is_none() {
            return;
        }
        let controllers = self.covering(namespace);
        for (kind, name) in names {
            for controller in &controllers {
                controller.wake(namespace, kind, name);
            }
        }
    }

    fn wake_known(&self, namespace: Option<&str>) {
        let keys = self.index().keys(namespace);
        for (namespace, key) in &keys {
            self.wake_keys(namespace, [&**key]);
        }
    }

    /// The namespaces in which the operator holds a resource.
    pub(super) fn holding(&self) -> BTreeSet<String> {
        self.index().holding().cloned().collect()
    }

    /// Runs every resource of the namespace again.
    pub(super) fn wake_namespace(&self, namespace: &str) {
        self.wake_known(Some(namespace));
    }

    /// The namespaces that are being deleted.
    pub(super) fn endings(&self) -> &Endings {
        &self.endings
    }

    /// Runs the resources again that deliver to this object.
    pub fn target_changed(&self, namespace: &str, kind: &str, name: &str) {
        let claimants = self.index().at_object(namespace, format!("{kind}/{name}"));
        let delivers = |claimant: &&Contender| {
            claimant.target.as_ref().is_some_and(|target| target.includes(kind, name))
        };
        self.wake(namespace, claimants.iter().map(|claimant| &**claimant).filter(delivers));
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

    fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing that happens under the lock panics half way through a change.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn covering(&self, namespace: &str) -> Vec<Arc<dyn Controlled>> {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        controllers.iter().filter(|controller| controller.covers(namespace)).cloned().collect()
    }
}

/// A run that is under way.
pub(super) struct RunUnderWay {
    registry: Arc<Registry>,
    namespace: String,
    key: KindKey,
}

impl Drop for RunUnderWay {
    fn drop(&mut self) {
        let has_missed = self.registry.index().run_ended(&self.namespace, &self.key);
        if has_missed {
            self.registry.wake_keys(&self.namespace, [&self.key]);
        }
    }
}
