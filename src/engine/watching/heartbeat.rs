//! Sends a very small request to the API server from time to time. An answer distinguishes a watch that hangs
//! from an API server that does, and the version in it shows whether the cluster was restored from a backup.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{ListParams, PartialObjectMeta},
    core::ListMeta,
};

use super::{
    health::{Cause, Importance, Trouble},
    trouble::is_unanswered,
};
use crate::engine::{WatchScope, Watches};

/// The time between two requests.
const INTERVAL: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
///
/// The resource version of a list is the version of the whole store, and only a store that was restored from a
/// backup has an earlier one than before. A watch would then wait without any sign until the store reaches the
/// old version again.
pub async fn heartbeat(client: Client, scope: WatchScope, watches: Watches) {
    let api: Api<PartialObjectMeta<ConfigMap>> = scope.api(client);
    let mut newest = None;
    loop {
        match api.list(&ListParams::default().limit(1)).await {
            Ok(list) => {
                watches.answered();
                let now = version(&list.metadata);
                if has_gone_back(newest, now) {
                    tracing::warn!(
                        "the API server stores an earlier state than before, as after a restore of etcd from a backup; everything is listed again"
                    );
                    watches.restart();
                }
                newest = now.or(newest);
            }
            Err(error) if is_unanswered(&error) => {}
            // A refusal is an answer, too.
            Err(_) => watches.answered(),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The time between two checks for a namespace.
const LOOK: Duration = Duration::from_secs(1);

/// How often a namespace is found empty before it is read by its name.
const EMPTY_LOOKS: u32 = 5;

/// Waits until a namespace exists, because a list of a namespace that does not exist is empty and no error.
///
/// Kubernetes puts its own authority into a ConfigMap of every namespace, so a namespace with a ConfigMap exists.
/// Only if there is none, the namespace itself is read. The operator usually has no right to do that, and then it
/// assumes that the namespace exists.
pub async fn look_for_namespace(client: Client, name: String, watches: Watches) {
    let own = watches.add(format!("namespace {name}"), Importance::Needed);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let objects: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, &name);
    let mut empty = 0;
    loop {
        match objects.list(&ListParams::default().limit(1)).await {
            Ok(list) if list.items.is_empty() => empty += 1,
            // The watches of the namespace report this error.
            Err(error) if is_unanswered(&error) => {}
            Ok(_) | Err(_) => return own.listed(),
        }
        if empty >= EMPTY_LOOKS {
            match namespaces.get_opt(&name).await {
                Ok(None) => own.failed(Trouble {
                    cause: Cause::Missing,
                    words: format!("The namespace {name} does not exist: create it, or correct --namespace."),
                }),
                Err(error) if is_unanswered(&error) => {}
                Ok(Some(_)) | Err(_) => return own.listed(),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Resource versions are numbers that grow. (Kubernetes 1.35 guarantees that for all of them; etcd's always did.)
fn version(list: &ListMeta) -> Option<u64> {
    list.resource_version.as_ref()?.parse().ok()
}

fn has_gone_back(newest: Option<u64>, now: Option<u64>) -> bool {
    newest.zip(now).is_some_and(|(newest, now)| now < newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_version_has_gone_back() {
        for (newest, now, gone_back) in [
            (None, Some(5), false),
            (Some(5), Some(5), false),
            (Some(5), Some(6), false),
            (Some(5), Some(4), true),
            (Some(5), None, false),
        ] {
            assert_eq!(has_gone_back(newest, now), gone_back, "{newest:?} {now:?}");
        }
    }
}
