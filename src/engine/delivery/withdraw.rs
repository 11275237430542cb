//! Taking back what was delivered: from a target that is not the spec's any more, or with the resource.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{
    STEPS,
    obstacle::Obstacle,
    revisions::{self, Revision},
};
use crate::{
    engine::{Claimant, Context, Kind, secret::owner_in_targets},
    error::Error,
    problem::Problem,
    target::{self, Target},
};

/// How far the resource is out of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Withdrawal {
    /// Nothing of it is left.
    Complete,
    /// Its entries are out, and pods of before still refer to its revisions.
    PodsRemain,
}

/// Whether the target has nothing of the resource, or is gone.
pub(in crate::engine) async fn is_absent<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: Option<&Target>,
) -> Result<bool, Error> {
    let Some(target) = target else { return Ok(true) };
    let namespace = object.namespace().unwrap_or_default();
    let seen = target::read(&context.client, &namespace, target).await?;
    let owner = owner_in_targets(object);
    Ok(seen.ok().flatten().is_none_or(|seen| seen.standing(&owner).numbers.is_empty()))
}

/// Takes the resource's entries out of every target but `kept`, and then the revisions that no pod refers to.
pub(in crate::engine) async fn withdraw<K: Kind>(
    object: &K,
    context: &Context<K>,
    kept: Option<&Target>,
) -> Result<Result<Withdrawal, Problem>, Error> {
    match attempt(object, context, kept).await {
        Ok(withdrawal) => Ok(Ok(withdrawal)),
        Err(Obstacle::Problem(problem)) => Ok(Err(problem)),
        Err(Obstacle::Error(error)) => {
            context.rejected(object, "what takes the entries out of a target", error).map(Err)
        }
    }
}

async fn attempt<K: Kind>(
    object: &K,
    context: &Context<K>,
    kept: Option<&Target>,
) -> Result<Withdrawal, Obstacle> {
    let client = &context.client;
    let all = revisions::list(client, object).await?;
    let mut elsewhere: Vec<_> = all
        .iter()
        .filter(|revision| kept.is_none_or(|kept| revision.target != kept.to_string()))
        .cloned()
        .collect();
    let mut targets: BTreeSet<_> =
        elsewhere.iter().filter_map(|revision| Target::parse(&revision.target)).collect();
    // Where somebody deleted the revisions, the spec still tells what refers to them.
    let own = Claimant::of(object).and_then(|claimant| claimant.target);
    targets.extend(own.filter(|_| kept.is_none()));
    for target in targets {
        // Without certainty that the entries are out, nothing that they refer to goes.
        let Some(used) = emptied(object, context, &target, &all).await? else {
            return Ok(Withdrawal::PodsRemain);
        };
        let is_free =
            |revision: &Revision| revision.target == target.to_string() && !used.contains(&revision.number);
        for revision in elsewhere.extract_if(.., |revision| is_free(revision)) {
            revisions::delete(client, object, &revision).await?;
        }
    }
    Ok(if elsewhere.is_empty() { Withdrawal::Complete } else { Withdrawal::PodsRemain })
}

/// Takes the resource's entries out of the target; tells which revisions pods refer to once they are out.
async fn emptied<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    revisions: &[Revision],
) -> Result<Option<BTreeSet<u64>>, Obstacle> {
    let client = &context.client;
    let namespace = object.namespace().unwrap_or_default();
    let mut owner = owner_in_targets(object);
    for _ in 0..STEPS {
        let Some(seen) = target::read(client, &namespace, target).await?? else {
            // Its pods may live on without it.
            return Ok(Some(target::in_use(client, &namespace, None, &owner).await??));
        };
        let numbers = seen.standing(&owner).numbers;
        owner = owner.excluding(revisions::foreign(client, object, &numbers, revisions).await?);
        match seen.change(&owner, None, &[])? {
            None => return Ok(Some(target::in_use(client, &namespace, Some(&seen), &owner).await??)),
            Some(change) => target::make(client, &namespace, &seen, &owner, &change).await??,
        };
    }
    Ok(None)
}
