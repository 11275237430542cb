//! Delivery to a target: the published values reach the running server, and a bad rollout undoes itself.
//!
//! [`deliver`] is a loop: it reads the target, [`plan`] decides on one step (a pure function), [`step`] carries
//! it out, and the loop begins again. Each step follows from what the API server holds alone: the [`revisions`]
//! with their states, and the target. A process that is killed after any write therefore leaves nothing that the
//! next run cannot finish.
//!
//! The modules in reading order: [`published`] (what of the published values is delivered), [`plan`] (decides),
//! [`step`] (carries out), [`roll_out`] and [`write`](mod@write) (the parts of a step), [`revisions`] (the numbered
//! Secrets), [`contest`] (who else wants to write to the same target), [`handover`] (how a target gets from other
//! people's entries to ours), [`adoption`] (reads entries of other people before they are taken over),
//! [`shared_target`] (resources that write together), [`rollback`] (checks earlier values before they are used
//! again), [`withdraw`] (removes everything), [`target_checks`] (reports what the target itself shows), [`requeue`]
//! (when to read the target again), and [`messages`] (the texts for people).

mod adoption;
mod contest;
mod handover;
mod messages;
mod plan;
mod proxy_matches;
mod published;
mod requeue;
mod revisions;
mod roll_out;
mod rollback;
mod shared_target;
mod step;
mod target_checks;
mod withdraw;
mod write;

pub(super) use adoption::Checks;
pub(super) use contest::claim;
pub(super) use published::deliver_published;
pub(super) use requeue::{requeue_after, withdraw_all};
pub(super) use target_checks::looks;
pub(super) use withdraw::{Withdrawal, WithdrawalPace, is_absent, withdraw};

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{Context, Kind, TargetSharing, Values, precedence::Proof, publish::secret::owner_in_targets};
use crate::{
    api::{RECHECK_ANNOTATION, Reason},
    error::{Error, StepError},
    problem::{Problem, quote},
    workloads::{self, Environment, Target},
};

use self::{contest::Contest, step::DeliveryRun};

/// The outcome of a delivery, as the status reports it.
pub struct Delivered {
    /// How far the delivery came, which becomes the condition `RolledOut`.
    pub state: Progress,
    /// The revision to which the target refers.
    pub revision: Option<u64>,
    /// The revision to which the target would go back.
    pub previous: Option<u64>,
    /// What the target shows of the server's settings.
    pub environment: Option<Environment>,
    /// A sentence about the resource that waits for the exclusive setting that this one has at the target.
    pub watched: Option<String>,
}

/// How far the values have come on their way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There are no values to deliver yet.
    NotPublished,
    /// Pods run with the values; a sentence.
    RolledOut(String),
    /// The rollout has not finished; a sentence.
    Progressing(String),
    /// The values will replace what somebody else has set, once the checks have passed; a sentence.
    AwaitsChecks(String),
    /// Pods run with earlier values, because the newest did not work; a sentence.
    RolledBack(String),
    /// The newest values do not work, and no earlier ones work any more; a sentence.
    NoWorkingRevision(String),
    /// A younger resource keeps the exclusive setting until these values are verified; a sentence.
    Waits(String),
    /// Another resource has the exclusive setting.
    Superseded(Problem),
    /// The values cannot be delivered.
    Failed(Problem),
}

impl Progress {
    /// Whether the delivery waits for something that no watch event may announce.
    pub fn is_underway(&self) -> bool {
        matches!(self, Self::Progressing(_) | Self::NoWorkingRevision(_))
    }
}

impl Delivered {
    fn nothing(state: Progress) -> Self {
        Self { state, revision: None, previous: None, environment: None, watched: None }
    }
}

/// The limit of steps in one run. It is more than any delivery takes: a new revision, the entries, the entries of
/// competitors, revision states and the deletion of old revisions.
const STEPS: usize = 24;

/// The values that a run may deliver.
#[derive(Clone, Copy)]
pub enum DeliverableValues<'a> {
    /// Values that may replace what is there.
    Current(&'a Values),
    /// The last verified values, while the current ones are not verified: they keep or restore what was there.
    Held(&'a Values),
    /// There are no values that are known to work.
    Nothing,
}

/// Brings the values to the target, as far as that is possible now. A problem of the user's becomes
/// [`Progress::Failed`]; other errors are returned.
pub(super) async fn deliver<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    offer: DeliverableValues<'_>,
    (checks, proof): (Checks, Proof),
) -> Result<Delivered, Error> {
    match try_to_deliver(object, context, target, offer, (checks, proof)).await {
        Ok(delivered) => Ok(delivered),
        Err(StepError::Problem(problem)) => Ok(Delivered::nothing(Progress::Failed(problem))),
        Err(StepError::Error(error)) => {
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
) -> Result<Delivered, StepError> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(mut competition) = Contest::of(object, context, proof).await else {
        return Ok(Delivered::nothing(Progress::NotPublished));
    };
    if let Some(unlisted) = context.registry.unlisted(&namespace) {
        let waits = format!(
            "This waits until the operator knows which other resources deliver to {target}. {unlisted}"
        );
        return Err(Problem::new(Reason::Progressing, waits).into());
    }
    if K::TARGET_SHARING == TargetSharing::Merged
        && competition.is_real()
        && let Some(seen) = workloads::read(&context.client, &namespace, target).await?
    {
        competition = competition.at(target, &seen);
    }
    let leader = competition.leader();
    if !leader.is(&competition.contender) {
        return shared_target::report_as_follower(object, context, target, offer, leader).await;
    }
    let joined = shared_target::joined(&namespace, context, &competition, offer, target).await?;
    let offer = match (K::TARGET_SHARING, &joined) {
        (TargetSharing::Exclusive, _) => offer,
        // Each resource published its own part, so every part has passed that resource's publish policy.
        (TargetSharing::Merged, Some(joined)) => DeliverableValues::Current(joined),
        (TargetSharing::Merged, None) => DeliverableValues::Nothing,
    };
    context.cluster.now().await?;
    let now = context.cluster.seconds();
    let mut run = DeliveryRun {
        object,
        context,
        namespace: &namespace,
        target,
        owner: owner_in_targets(object),
        contest: competition,
        displaced: Vec::new(),
        successor: None,
        offer,
        checks,
        inputs: inputs(object),
        stale: 0,
        now,
    };
    let mut used_numbers = BTreeSet::new();
    for _ in 0..STEPS {
        if let Some(delivered) = run.step(&mut used_numbers).await? {
            return Ok(delivered);
        }
    }
    Ok(Delivered::nothing(Progress::Progressing(format!(
        "{target} changes faster than the operator can read it; the operator tries again."
    ))))
}

/// The spec generation and the re-check annotation: what a person changes to have something tried again.
fn inputs<K: Kind>(object: &K) -> String {
    let recheck = object.annotations().get(RECHECK_ANNOTATION).map_or("", String::as_str);
    let uid = object.uid().unwrap_or_default();
    format!(
        "uid={uid} generation={} recheck={}",
        object.meta().generation.unwrap_or_default(),
        quote(recheck)
    )
}
