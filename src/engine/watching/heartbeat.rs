//! Asks the API server for next to nothing from time to time: that it answers tells a watch that hangs from an API
//! server that does, and the version of what it stores tells when that went back.

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

/// Time between two questions.
const INTERVAL: Duration = Duration::from_secs(10);

/// Goes on until it is dropped.
///
/// The version of a list is that of the whole store, and only a store that was restored from a backup has an earlier
/// one than before. A watch would then wait without a word for the store to come to where it was.
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
            // A refusal is an answer.
            Err(_) => watches.answered(),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Time between two looks for a namespace.
const LOOK: Duration = Duration::from_secs(1);

/// How often a namespace is found empty before it is asked for by its name.
const EMPTY_LOOKS: u32 = 5;

/// Looks for a namespace until it exists: lists of one that does not are empty, not an error.
///
/// Kubernetes puts its own authority into a ConfigMap of every namespace. Only where there is none is the namespace
/// itself asked for: that is a right which the operator usually does not have, and then it does without.
pub async fn look_for_namespace(client: Client, name: String, watches: Watches) {
    let own = watches.add(format!("namespace {name}"), Importance::Needed);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let objects: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, &name);
    let mut empty = 0;
    loop {
        match objects.list(&ListParams::default().limit(1)).await {
            Ok(list) if list.items.is_empty() => empty += 1,
            // The watches of the namespace say so.
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

/// Versions are numbers that grow (`Kubernetes 1.35` says so of all of them, and etcd's always were).
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
