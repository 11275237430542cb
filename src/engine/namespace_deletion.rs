//! Handles namespaces that are being deleted: the operator must remove its finalizers there before it loses its
//! rights.
//!
//! Kubernetes marks a namespace as being deleted, waits five seconds, and then deletes what is in it in no
//! certain order, including the Roles that give the operator its rights and the operator itself. The finalizers
//! must be removed within these seconds, because a resource that keeps one would keep the namespace for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Resource};
use tokio::sync::watch;

use super::Registry;

/// The time between two reads of a namespace in which resources have finalizers.
const LOOK: Duration = Duration::from_secs(1);

/// The additional time per namespace, because there may be hundreds of them.
const PER_LOOK: Duration = Duration::from_millis(50);

/// How long a namespace is not read again after the API server refused to show it.
const HIDDEN: Duration = Duration::from_secs(30);

/// How many namespaces are read at the same time.
const AT_A_TIME: usize = 8;

/// The namespaces that are known to be being deleted.
#[derive(Debug, Default)]
pub struct Endings(watch::Sender<BTreeSet<String>>);

/// What the API server reports about a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamespacePhase {
    Stays,
    Ends,
    Gone,
    /// The operator has no right to read it.
    Hidden,
    /// The API server did not answer.
    Unknown,
}

impl Endings {
    /// Waits until the namespace is being deleted.
    pub(super) async fn of(&self, namespace: &str) {
        // The result can be ignored: it is an error only once the sender is dropped, and the sender lives as long
        // as `self`.
        let _ = self.0.subscribe().wait_for(|ending| ending.contains(namespace)).await;
    }

    fn known(&self) -> BTreeSet<String> {
        self.0.borrow().clone()
    }

    /// Records what was seen. Returns whether the deletion of the namespace has just begun.
    fn learn(&self, namespace: &str, seen: NamespacePhase) -> bool {
        self.0.send_if_modified(|ending| match seen {
            NamespacePhase::Ends => ending.insert(namespace.to_owned()),
            NamespacePhase::Stays | NamespacePhase::Gone => ending.remove(namespace),
            NamespacePhase::Hidden | NamespacePhase::Unknown => false,
        }) && seen == NamespacePhase::Ends
    }
}

/// Reads every namespace in which resources have finalizers, again and again until it is dropped. Runs the
/// resources of a namespace whose deletion has begun.
pub async fn look_for_endings(client: Client, registry: &Registry) {
    let namespaces: Api<Namespace> = Api::all(client);
    let mut hidden: BTreeMap<String, Instant> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut pause = LOOK;
    loop {
        tokio::time::sleep(pause).await;
        hidden.retain(|_, since| since.elapsed() < HIDDEN);
        let mut asked = registry.holding();
        asked.extend(registry.endings().known());
        asked.retain(|namespace| !hidden.contains_key(namespace));
        // An operator for very many namespaces does not run in any of them, so it keeps its rights, and longer
        // pauses do no harm.
        pause = LOOK.max(PER_LOOK.saturating_mul(u32::try_from(asked.len()).unwrap_or(u32::MAX)));
        let looks = futures::stream::iter(asked).map(|namespace| {
            let namespaces = &namespaces;
            async move { (look(namespaces, &namespace).await, namespace) }
        });
        let mut looks = std::pin::pin!(looks.buffer_unordered(AT_A_TIME));
        while let Some((seen, namespace)) = looks.next().await {
            if registry.endings().learn(&namespace, seen) {
                tracing::info!(
                    namespace,
                    "the namespace is being deleted, so nothing in it is held any more"
                );
                registry.wake_namespace(&namespace);
            }
            if seen == NamespacePhase::Hidden {
                if told.insert(namespace.clone()) {
                    tracing::warn!(
                        namespace,
                        "the namespace may not be looked at, so its deletion may have to wait for this operator: give it the right to get its namespaces"
                    );
                }
                hidden.insert(namespace, Instant::now());
            }
        }
    }
}

async fn look(namespaces: &Api<Namespace>, name: &str) -> NamespacePhase {
    match namespaces.get_metadata_opt(name).await {
        Ok(Some(found)) if found.meta().deletion_timestamp.is_some() => NamespacePhase::Ends,
        Ok(Some(_)) => NamespacePhase::Stays,
        Ok(None) => NamespacePhase::Gone,
        Err(kube::Error::Api(status)) if status.is_forbidden() => NamespacePhase::Hidden,
        Err(error) => {
            tracing::debug!(
                namespace = name,
                error = crate::error::in_words(&error),
                "the namespace is not shown"
            );
            NamespacePhase::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_ends_until_it_is_gone() {
        let endings = Endings::default();
        for (seen, begins, ends) in [
            (NamespacePhase::Stays, false, false),
            (NamespacePhase::Unknown, false, false),
            (NamespacePhase::Hidden, false, false),
            (NamespacePhase::Ends, true, true),
            (NamespacePhase::Ends, false, true),
            // The right to read the namespace was deleted together with it.
            (NamespacePhase::Hidden, false, true),
            (NamespacePhase::Unknown, false, true),
            (NamespacePhase::Gone, false, false),
            (NamespacePhase::Ends, true, true),
            // A new namespace of the same name exists.
            (NamespacePhase::Stays, false, false),
        ] {
            assert_eq!(endings.learn("wandb", seen), begins, "{seen:?}");
            assert_eq!(endings.known().contains("wandb"), ends, "{seen:?}");
        }
    }
}
