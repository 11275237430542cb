//! Which changes of the resources themselves lead to a run, of which resources.

use std::{collections::HashSet, future::ready, sync::Arc, time::Instant};

use futures::{Stream, StreamExt, TryStreamExt, channel::mpsc};
use kube::{
    ResourceExt,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, store::Writer},
        watcher,
    },
};

use super::{
    changes::Changes, health::WatchHandle, trouble::WatchedPlace, undecodable::Guarded, watch::follow,
};
use crate::engine::{
    Context, Kind, ObjectKey, ReferenceSource, ReferencedKind, Registry, WatchScope, index::KindKey,
    status::patch::mend_status,
};

/// Follows a kind's resources for as long as the stream is polled: takes every change in, and has those run whom it
/// concerns. The stream itself brings nothing.
pub(in crate::engine) fn resources<K: Kind>(
    context: Arc<Context<K>>,
    scope: &WatchScope,
    writer: Writer<Guarded<K>>,
    (place, watched): (WatchedPlace, Arc<WatchHandle>),
    run_again: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
) -> impl Stream<Item = Result<Guarded<K>, watcher::Error>> + Send + use<K> {
    let (registry, sharing) = (Arc::clone(&context.registry), Arc::clone(&context));
    let (scope_of_list, has_begun) = (scope.clone(), Arc::clone(&watched));
    // What was known before a list and was not seen in it yet, and when that was asked for.
    let (mut unseen, mut asked) = (HashSet::new(), Instant::now());
    let (mut changes, mending) = (Changes::new(), Arc::clone(&context));
    let forget = {
        let (context, registry) = (Arc::clone(&context), Arc::clone(&registry));
        move |namespace: String, key: KindKey| {
            context.forget(&namespace, &key.name);
            neighbour_changed::<K>(&registry, &namespace, &key.name, None);
            let change = registry.remove(&namespace, key);
            registry.requeue_competitors(&namespace, &change);
        }
    };
    follow(scope.api::<Guarded<K>>(context.client.clone()), place, watched)
        .map(Ok)
        .inspect_ok(move |event| match event {
            watcher::Event::Apply(object) => take_in(&registry, object, Others::Wake),
            watcher::Event::Delete(object) => {
                forget(object.namespace().unwrap_or_default(), KindKey::of::<K>(object));
            }
            watcher::Event::Init => {
                (unseen, asked) = (registry.of_kind::<K>(&scope_of_list), Instant::now());
            }
            watcher::Event::InitApply(object) => {
                let version = object.resource_version();
                context.memory.reported(object, |reported| reported.listed(version.as_deref(), asked));
                context.memory.forget_spec(object);
                unseen.remove(&(object.namespace().unwrap_or_default(), KindKey::of::<K>(object)));
                // All of a first list run by themselves.
                take_in(&registry, object, if has_begun.has_begun() { Others::Wake } else { Others::Leave });
            }
            // Their deletions were missed, and nobody else tells of them.
            watcher::Event::InitDone => {
                for (namespace, key) in unseen.drain() {
                    forget(namespace, key);
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
        .try_filter_map(move |event| {
            for reference in changes.take_in(&event, |object| mend_status(&mending, object)) {
                // Nobody listens any more only when the process stops.
                let _ = run_again.unbounded_send(reference);
            }
            ready(Ok(None))
        })
}

/// What becomes of the resources that a change concerns.
#[derive(Clone, Copy, PartialEq)]
enum Others {
    /// They run.
    Wake,
    /// They run anyway.
    Leave,
}

/// Takes a resource in as it is now.
fn take_in<K: Kind>(registry: &Registry, object: &Guarded<K>, others: Others) {
    let namespace = object.namespace().unwrap_or_default();
    let change = registry.put(object);
    if others == Others::Wake {
        registry.requeue_competitors(&namespace, &change);
    }
    neighbour_changed::<K>(registry, &namespace, &object.name_any(), object.resource_version().as_deref());
}

/// Has those run that refer to this resource.
fn neighbour_changed<K: Kind>(registry: &Registry, namespace: &str, name: &str, version: Option<&str>) {
    let Some(neighbour) = ReferencedKind::of::<K>() else { return };
    let object = ObjectKey { source: ReferenceSource::Neighbour(neighbour), name: name.into() };
    registry.object_changed(namespace, &object, version);
}
