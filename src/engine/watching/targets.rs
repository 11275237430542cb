//! Watches targets, and runs the resources that deliver to a target that changed.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{
    Client, ResourceExt,
    core::{ApiResource, DynamicObject, PartialObjectMeta},
    runtime::watcher::Event,
};
use tokio_util::sync::CancellationToken;

use super::{health::Importance, trouble::WatchedPlace, watch::follow};
use crate::engine::{Registry, WatchScope, Watches};
use crate::workloads::{self, Target};

/// The interval at which is checked whether the W&B operator's resource is served by now.
const UNKNOWN_KIND_RETRY: Duration = Duration::from_secs(5);

/// Watches one kind of target in a scope, from the time when the first resource names a target of that kind. An
/// operator without targets needs no right to watch them.
pub async fn watch_targets(
    client: Client,
    scope: WatchScope,
    kind: &'static str,
    registry: Arc<Registry>,
    watches: Watches,
    stopping: CancellationToken,
) {
    let watching = async {
        registry.wait_for_kind(kind).await;
        let resource = resource(&client, kind).await;
        let objects = scope.objects::<PartialObjectMeta<DynamicObject>>(client.clone(), &resource);
        let place = WatchedPlace::of::<PartialObjectMeta<DynamicObject>>(&resource, scope.namespace());
        let own = Arc::new(watches.add(place.in_words(), Importance::Optional));
        follow(objects, place, own)
            .for_each(|event| {
                if let Event::Apply(object) | Event::Delete(object) | Event::InitApply(object) = event {
                    let namespace = object.namespace().unwrap_or_default();
                    registry.target_changed(&namespace, kind, &object.name_any());
                    if let Some((kind, name)) = Target::source_of(kind, &object.metadata) {
                        registry.target_changed(&namespace, kind, name);
                    }
                }
                std::future::ready(())
            })
            .await;
    };
    tokio::select! {
        () = watching => {}
        () = stopping.cancelled() => {}
    }
}

/// The kind with the version in which it is served.
async fn resource(client: &Client, kind: &str) -> ApiResource {
    match kind {
        "Deployment" => return ApiResource::erase::<Deployment>(&()),
        "StatefulSet" => return ApiResource::erase::<StatefulSet>(&()),
        _ => {}
    }
    loop {
        if let Ok(Some(resource)) = workloads::stored_resource(client).await {
            return resource;
        }
        tokio::time::sleep(UNKNOWN_KIND_RETRY).await;
    }
}
