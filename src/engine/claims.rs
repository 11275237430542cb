//! Places that only one resource may hold: the oldest does.

use std::cmp::Reverse;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

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

/// Whether the resource is not on its way out.
pub(super) fn is_present<K: Kind>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_none()
}

/// What was created first comes first; what never met an API server comes last.
fn seniority<K: Kind>(object: &K) -> (Reverse<bool>, Option<&Time>, String) {
    let created = object.meta().creation_timestamp.as_ref();
    (Reverse(created.is_some()), created, object.name_any())
}
