//! Places that only one resource may hold: the oldest does.

use std::cmp::Reverse;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    ResourceExt,
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};

use super::Kind;
use crate::{api::Reason, problem::Problem};

/// The resource that holds the place which this one claims, if that is another one.
///
/// `others` are the resources of the kind in the same namespace, this one included or not.
pub fn superseded<'a, K: Kind>(object: &K, others: impl IntoIterator<Item = &'a K>) -> Option<Problem> {
    let claim = object.claim()?;
    let holder = others
        .into_iter()
        .filter(|other| other.name_any() != object.name_any() && is_present(*other))
        .filter(|other| other.claim().as_ref() == Some(&claim))
        .min_by_key(|other| seniority(*other))?;
    (seniority(holder) < seniority(object)).then(|| {
        let (kind, name) = (K::kind(&()), holder.name_any());
        Problem::new(
            Reason::Superseded,
            format!(
                "The older {kind} \"{name}\" has {claim} already. Delete one of the two, or change this one."
            ),
        )
    })
}

/// The resources whose turn may come, or be over, when this one's claim changes or goes.
pub(super) fn rivals_of<K: Kind>(
    object: &DeserializeGuard<K>,
    store: &Store<DeserializeGuard<K>>,
) -> Vec<ObjectRef<DeserializeGuard<K>>> {
    let claim =
        |object: &DeserializeGuard<K>| object.0.as_ref().ok().filter(|object| is_present(*object))?.claim();
    let reference = ObjectRef::from_obj(object);
    let before = store.get(&reference).and_then(|before| claim(&before));
    let now = claim(object).filter(|_| before != claim(object));
    let changed: Vec<_> = before.into_iter().chain(now).collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let peers = store.state().into_iter().filter(|peer| peer.namespace() == object.namespace());
    let peers = peers.filter(|peer| claim(peer).is_some_and(|claim| changed.contains(&claim)));
    peers.map(|peer| ObjectRef::from_obj(&*peer)).filter(|peer| *peer != reference).collect()
}

/// Whether the resource is not on its way out.
fn is_present<K: Kind>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_none()
}

/// What was created first comes first; what never met an API server comes last.
fn seniority<K: Kind>(object: &K) -> (Reverse<bool>, Option<&Time>, String) {
    let created = object.meta().creation_timestamp.as_ref();
    (Reverse(created.is_some()), created, object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ServiceAccount;

    fn account(name: &str, created: &str, subject: &str) -> ServiceAccount {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "auth.wandb.com/v1alpha1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {
                "instance": {"baseURL": "https://wandb.example.com"},
                "team": "research",
                "credentials": {"federated": {
                    "issuerRef": {"name": "ci"},
                    "subject": subject,
                    "audience": "wandb",
                    "token": {"secretRef": {"name": "token", "key": "token"}},
                }},
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_oldest_holds_a_place_and_the_name_decides_between_equals() {
        let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let others = [account("b", old, "ci"), account("c", new, "ci"), account("d", old, "cd")];
        for (object, holder) in [
            (account("a", new, "ci"), Some("\"b\"")),
            (account("c", new, "ci"), Some("\"b\"")),
            (account("b", old, "ci"), None),
            (account("a", old, "ci"), None),
            (account("x", new, "somebody else"), None),
        ] {
            let problem = superseded(&object, &others);
            assert_eq!(problem.is_some(), holder.is_some(), "{:?}", object.metadata.name);
            if let (Some(problem), Some(holder)) = (problem, holder) {
                assert_eq!(problem.reason, Reason::Superseded);
                assert!(problem.message.contains(holder), "{}", problem.message);
            }
        }
    }

    #[test]
    fn what_is_on_its_way_out_holds_nothing() {
        let mut leaving = account("b", "2026-01-01T00:00:00Z", "ci");
        leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
        assert!(superseded(&account("a", "2026-01-02T00:00:00Z", "ci"), [&leaving]).is_none());
    }
}
