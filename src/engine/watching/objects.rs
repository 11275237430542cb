//! Changes of Secrets and ConfigMaps lead to runs of the resources that read or publish them.
//!
//! There is one watch of each in a scope for all kinds, of metadata only: the API server has work with every watch for
//! every Secret of the namespace.

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Client, Resource, ResourceExt, runtime::watcher::Event};
use tokio_util::sync::CancellationToken;

use super::{health::Importance, lean::VersionOnly, trouble::WatchedPlace, watch::follow};
use crate::engine::{
    ObjectKey, ReferenceSource, Registry, WatchScope, Watches, index::known, inputs::references::version_of,
};

/// Watches everything in a scope that resources read by name.
pub fn watch_references(
    client: &Client,
    scope: &WatchScope,
    registry: &Arc<Registry>,
    watches: &Watches,
    stopping: &CancellationToken,
) -> [BoxFuture<'static, ()>; 2] {
    [
        watch::<Secret>(ReferenceSource::Secret, client, scope, registry, watches),
        watch::<ConfigMap>(ReferenceSource::ConfigMap, client, scope, registry, watches),
    ]
    .map(|watching| {
        let stopping = stopping.clone();
        async move {
            tokio::select! {
                () = watching => {}
                () = stopping.cancelled() => {}
            }
        }
        .boxed()
    })
}

fn watch<O>(
    source: ReferenceSource,
    client: &Client,
    scope: &WatchScope,
    registry: &Arc<Registry>,
    watches: &Watches,
) -> BoxFuture<'static, ()>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
{
    let api = scope.api::<VersionOnly<O>>(client.clone());
    let place = WatchedPlace::of::<VersionOnly<O>>(&(), scope.namespace());
    let own = Arc::new(watches.add(place.in_words(), Importance::Needed));
    let mut objects =
        Objects { source, scope: scope.clone(), registry: Arc::clone(registry), listed: HashSet::new() };
    follow(api, place, own)
        .for_each(move |event| {
            objects.take_in(event);
            std::future::ready(())
        })
        .boxed()
}

/// What a watch brings of one kind of object.
struct Objects {
    source: ReferenceSource,
    scope: WatchScope,
    registry: Arc<Registry>,
    /// What was seen in the list that is under way.
    listed: HashSet<(String, String)>,
}

impl Objects {
    fn take_in<O: Resource>(&mut self, event: Event<O>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.changed(&object, Some(&version_of(object.meta())));
                self.listed.insert((object.namespace().unwrap_or_default(), object.name_any()));
            }
            // What was deleted while nobody watched is in no list.
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let used = self.registry.used(self.source, &self.scope);
                for object in used.into_iter().filter(|object| !listed.contains(object)) {
                    let (namespace, name) = (object.0, object.1.into());
                    self.registry.object_changed(&namespace, &ObjectKey { source: self.source, name }, None);
                }
            }
            Event::Apply(object) => self.changed(&object, Some(&version_of(object.meta()))),
            Event::Delete(object) => self.changed(&object, None),
        }
    }

    fn changed<O: Resource>(&self, object: &O, version: Option<&str>) {
        let Some(key) = known(self.source, &object.name_any()) else { return };
        let namespace = object.namespace().unwrap_or_default();
        self.registry.object_changed(&namespace, &key, version);
    }
}
