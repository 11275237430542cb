//! Which changes lead to a run: of the resources themselves, and of the objects that they refer to or publish.

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt, TryStreamExt, channel::mpsc};
use kube::{
    Api, Resource, ResourceExt,
    api::PartialObjectMeta,
    runtime::{
        Predicate, PredicateConfig, WatchStreamExt, predicates,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;

use super::{
    health::{Importance, WatchHandle},
    trouble::WatchedPlace,
    undecodable::Guarded,
    watch::follow,
};
use crate::engine::{
    Contender, Context, Kind, ReferenceSource, Registry, WatchScope, Watches, precedence::affected,
    publish::secret::owner_in_targets, references, status::patch::mend_status,
};

/// The changes of a kind's resources, without the parts that are not needed in memory.
pub(in crate::engine) fn resources<K: Kind>(
    context: Arc<Context<K>>,
    scope: &WatchScope,
    writer: Writer<Guarded<K>>,
    (place, watched): (WatchedPlace, Arc<WatchHandle>),
    run_again: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
) -> impl Stream<Item = Result<Guarded<K>, watcher::Error>> + Send + use<K> {
    let store = writer.as_reader();
    let sharing = Arc::clone(&context);
    // What was known before a list and was not seen in it yet.
    let mut unseen = HashSet::new();
    follow(scope.api::<Guarded<K>>(context.client.clone()), place, watched)
        .map(Ok)
        .modify(prune)
        .inspect_ok(move |event| match event {
            watcher::Event::Apply(object) => {
                mend_status(&context, object, &run_again);
                requeue_competitors(&context.registry, &store, object, Some(object));
            }
            watcher::Event::Delete(object) => {
                context.forget(&object.namespace().unwrap_or_default(), &object.name_any());
                requeue_competitors(&context.registry, &store, object, None);
            }
            watcher::Event::Init => {
                unseen = store.state().iter().map(|object| ObjectRef::from_obj(&**object)).collect();
            }
            watcher::Event::InitApply(object) => {
                let version = object.resource_version();
                context.memory.reported(object, |reported| reported.listed(version.as_deref()));
                mend_status(&context, object, &run_again);
                let reference = ObjectRef::from_obj(object);
                let before = store.get(&reference);
                // A new resource is run anyway, and so are all resources of a first list.
                if unseen.remove(&reference)
                    && before.is_some_and(|before| before.resource_version() != object.resource_version())
                {
                    requeue_competitors(&context.registry, &store, object, Some(object));
                }
            }
            // Their deletions were missed, and nobody else tells of them.
            watcher::Event::InitDone => {
                for gone in unseen.drain().filter_map(|reference| store.get(&reference)) {
                    context.forget(&gone.namespace().unwrap_or_default(), &gone.name_any());
                    requeue_competitors(&context.registry, &store, &gone, None);
                }
            }
        })
        .map_ok(move |mut event| {
            if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = &mut event
                && let Ok(resource) = &mut object.0
            {
                sharing.memory.share_status(resource);
            }
            event
        })
        .reflect(writer)
        .applied_objects()
        // A status that the operator wrote itself is no reason for another run; a finalizer that somebody removed
        // is one.
        .predicate_filter(
            predicates::generation.combine(predicates::annotations).combine(predicates::finalizers),
            PredicateConfig::default(),
        )
}

/// Runs the resources that may gain or lose a claim because this resource changed or was deleted.
fn requeue_competitors<K: Kind>(
    registry: &Registry,
    store: &Store<Guarded<K>>,
    object: &Guarded<K>,
    now: Option<&Guarded<K>>,
) {
    let claimant = Contender::of_guarded::<K>;
    let before = store.get(&ObjectRef::from_obj(object)).and_then(|before| claimant(&before));
    let now = now.and_then(claimant);
    if before.is_none() && now.is_none() {
        return;
    }
    let namespace = object.namespace().unwrap_or_default();
    let others = registry.claimants(&namespace);
    registry.wake(&namespace, affected(before.as_ref(), now.as_ref(), &others));
}

/// The changes of objects whose contents are not needed here.
pub(in crate::engine) fn metadata<K>(
    api: Api<PartialObjectMeta<K>>,
    kind: &<PartialObjectMeta<K> as Resource>::DynamicType,
    scope: &WatchScope,
    watches: &Watches,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + use<K>
where
    K: Resource + Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource + DeserializeOwned,
{
    let place = WatchedPlace::of::<PartialObjectMeta<K>>(kind, scope.namespace());
    let own = Arc::new(watches.add(place.in_words(), Importance::Needed));
    follow(api, place, own).map(Ok).touched_objects()
}

/// Removes what `kubectl apply` and the API server store for their own use, which is most of an object's size.
fn prune(object: &mut impl Resource) {
    // An empty list would keep its room.
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// Finds the resources that read or publish a Secret or ConfigMap that changed.
pub(in crate::engine) fn users_of<K: Kind, O: Resource>(
    store: Store<Guarded<K>>,
    source: ReferenceSource,
) -> impl Fn(O) -> Vec<ObjectRef<Guarded<K>>> {
    move |changed| {
        let (namespace, name) = (changed.namespace(), changed.name_any());
        let uses = |object: &Guarded<K>| {
            let Ok(resource) = &object.0 else { return false };
            resource.namespace() == namespace
                && (references(resource)
                    .iter()
                    .any(|reference| reference.source == source && reference.name == name)
                    || (source == ReferenceSource::Secret && is_published(resource, &name)))
        };
        store
            .state()
            .iter()
            .filter(|object| uses(object))
            .map(|object| ObjectRef::from_obj(&**object))
            .collect()
    }
}

/// Whether this is the Secret that the resource publishes, or one of its revisions.
fn is_published<K: Kind>(resource: &K, secret: &str) -> bool {
    let owner = owner_in_targets(resource);
    owner.secret_name == secret || resource.common().target.is_some() && owner.number_of(secret).is_some()
}
