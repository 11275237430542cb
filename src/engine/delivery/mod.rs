//! Delivery to a target: the published values reach the running server, and a bad rollout undoes itself.
//!
//! [`deliver`] is a loop: it reads the target, [`plan`] decides on one step (a pure function), [`step`] takes it, and the
//! loop begins again. Each step follows from what the API server holds alone: the [`revisions`] with their states, and
//! the target. A process that is killed after any write therefore leaves nothing that the next run cannot finish.
//!
//! [`contest`] finds out who else wants to write to the same target, and [`handover`] how a target gets from their
//! entries to ours. [`shared_target`] is for resources that write together, [`adoption`] takes entries of other people
//! over, [`rollback`] checks earlier values before they are used again, and [`withdraw`] removes everything. A
//! [`DeliveryError`](error::DeliveryError) says what keeps values from a target, [`target_checks`] reports what the
//! target itself tells, [`requeue`] says when to look again, and [`messages`] has the words for people.

mod adoption;
mod contest;
mod error;
mod handover;
mod messages;
mod plan;
mod requeue;
mod revisions;
mod rollback;
mod shared_target;
mod step;
mod target_checks;
mod withdraw;

pub(super) use adoption::Checks;
pub(super) use contest::claim;
pub(super) use requeue::{requeue_after, withdraw_all};
pub(super) use target_checks::looks;
pub(super) use withdraw::{Withdrawal, WithdrawalPace, is_absent, withdraw};

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{Context, Kind, TargetSharing, Values, precedence::Proof, publish::secret::owner_in_targets};
use crate::{
    api::{RECHECK_ANNOTATION, Reason},
    error::Error,
    problem::{Problem, quote},
    workloads::{self, Environment, Target},
};

use self::{contest::Contest, error::DeliveryError, step::DeliveryRun};

/// What became of the values at their target.
pub struct Delivered {
    /// What `RolledOut` says.
    pub state: Progress,
    /// The revision that the target refers to.
    pub revision: Option<u64>,
    /// The one that it would go back to.
    pub previous: Option<u64>,
    /// What the target tells of the server's settings.
    pub environment: Option<Environment>,
    /// Who waits for the place that the resource has at the target, as a sentence.
    pub watched: Option<String>,
}

/// How far values came on their way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There are no values to deliver yet.
    NotPublished,
    /// Pods run with them.
    RolledOut(String),
    /// Pods are still to come.
    Progressing(String),
    /// They are to take the place of what somebody else has set, once the checks have passed.
    AwaitsChecks(String),
    /// Pods run with earlier ones, since the newest did not work.
    RolledBack(String),
    /// The newest do not work, and no earlier ones do any more.
    NoWorkingRevision(String),
    /// A younger resource has the place until the values are verified, as a sentence.
    Waits(String),
    /// Another resource has the place.
    Superseded(Problem),
    /// They cannot be delivered.
    Failed(Problem),
}

impl Progress {
    /// Whether there is something to wait for that no event may tell of.
    pub fn is_underway(&self) -> bool {
        matches!(self, Self::Progressing(_) | Self::NoWorkingRevision(_))
    }
}

impl Delivered {
    fn nothing(state: Progress) -> Self {
        Self { state, revision: None, previous: None, environment: None, watched: None }
    }
}

/// More steps than any delivery takes: revision, entries, rivals' entries, marks and old revisions.
const STEPS: usize = 24;

/// The values that there are for a target.
#[derive(Clone, Copy)]
pub enum DeliverableValues<'a> {
    /// They may replace what is there.
    Current(&'a Values),
    /// The last verified ones, while the current ones are not verified: they keep or restore what was there.
    Held(&'a Values),
    /// None that are known to work.
    Nothing,
}

/// Brings the values to the target, as far as can be done now.
pub(super) async fn deliver<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    offer: DeliverableValues<'_>,
    (checks, proof): (Checks, Proof),
) -> Result<Delivered, Error> {
    match try_to_deliver(object, context, target, offer, (checks, proof)).await {
        Ok(delivered) => Ok(delivered),
        Err(DeliveryError::Problem(problem)) => Ok(Delivered::nothing(Progress::Failed(problem))),
        Err(DeliveryError::Error(error)) => {
            let what = format!("what is to be delivered to {target}");
            let problem = context.rejected(object, &what, error)?;
            Ok(Delivered::nothing(Progress::Failed(problem)))
        }
    }
}

async fn try_to_deliver<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    offer: DeliverableValues<'_>,
    (checks, proof): (Checks, Proof),
) -> Result<Delivered, DeliveryError> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(mut rivals) = Contest::of(object, context, proof).await else {
        return Ok(Delivered::nothing(Progress::NotPublished));
    };
    if let Some(unlisted) = context.registry.unlisted(&namespace) {
        let waits = format!("Waits until it is known who else delivers to {target}. {unlisted}");
        return Err(Problem::new(Reason::Progressing, waits).into());
    }
    if K::TARGET_SHARING == TargetSharing::Merged
        && rivals.is_real()
        && let Some(seen) = workloads::read(&context.client, &namespace, target).await??
    {
        rivals = rivals.at(target, &seen);
    }
    let leader = rivals.leader();
    if !leader.is(&rivals.claimant) {
        return shared_target::report_as_follower(object, context, target, offer, leader).await;
    }
    let joined = shared_target::joined(&namespace, context, &rivals, offer, target).await?;
    let offer = match (K::TARGET_SHARING, &joined) {
        (TargetSharing::Exclusive, _) => offer,
        // Every part of it was published by itself.
        (TargetSharing::Merged, Some(joined)) => DeliverableValues::Current(joined),
        (TargetSharing::Merged, None) => DeliverableValues::Nothing,
    };
    context.cluster.now().await?;
    let now = context.cluster.seconds();
    let mut round = DeliveryRun {
        object,
        context,
        namespace: &namespace,
        target,
        owner: owner_in_targets(object),
        contest: rivals,
        displaced: Vec::new(),
        successor: None,
        offer,
        checks,
        inputs: inputs(object),
        stale: 0,
        now,
    };
    let mut taken = BTreeSet::new();
    for _ in 0..STEPS {
        if let Some(delivered) = round.step(&mut taken).await? {
            return Ok(delivered);
        }
    }
    Ok(Delivered::nothing(Progress::Progressing(format!(
        "{target} changes faster than it can be looked at; it is tried again."
    ))))
}

/// The spec and the re-check annotation: what a person changes to have something tried again.
fn inputs<K: Kind>(object: &K) -> String {
    let recheck = object.annotations().get(RECHECK_ANNOTATION).map_or("", String::as_str);
    let uid = object.uid().unwrap_or_default();
    format!(
        "uid={uid} generation={} recheck={}",
        object.meta().generation.unwrap_or_default(),
        quote(recheck)
    )
}
