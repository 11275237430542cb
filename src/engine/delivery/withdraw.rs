//! Taking back what was delivered: from a target that is not the spec's any more, or with the resource.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use kube::ResourceExt;

use super::{
    STEPS,
    error::DeliveryError,
    revisions::{self, Revision},
};
use crate::{
    engine::{Contender, Context, Kind, precedence, publish::secret::owner_in_targets},
    error::Error,
    problem::Problem,
    workloads::{self, Target},
};

/// How far the resource is out of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Withdrawal {
    /// Nothing of it is left.
    Complete,
    /// Its entries are out, and pods of before still refer to its revisions.
    PodsRemain,
}

/// How soon entries go that others may have the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum WithdrawalPace {
    /// Now: who was to have it had its time.
    AtOnce,
    /// As soon as an heir has taken them over in one step, or had the time for that.
    AfterHeirs,
}

/// Whether the target has nothing of the resource, or is gone.
pub(in crate::engine) async fn is_absent<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: Option<&Target>,
) -> Result<bool, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let owner = owner_in_targets(object);
    for target in target.into_iter().flat_map(Target::objects) {
        let seen = workloads::read(&context.client, &namespace, target).await?;
        if seen.ok().flatten().is_some_and(|seen| !seen.standing(&owner).numbers.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes the resource's entries out of every object that is not of `kept`, and then the revisions that no pod
/// refers to. Those that were made for objects of both stay for the ones that are kept.
pub(in crate::engine) async fn withdraw<K: Kind>(
    object: &K,
    context: &Context<K>,
    kept: Option<&Target>,
    pace: WithdrawalPace,
) -> Result<Result<Withdrawal, Problem>, Error> {
    match try_to_withdraw(object, context, kept, pace).await {
        Ok(withdrawal) => Ok(Ok(withdrawal)),
        Err(DeliveryError::Problem(problem)) => Ok(Err(problem)),
        Err(DeliveryError::Error(error)) => {
            context.rejected(object, "what takes the entries out of a target", error).map(Err)
        }
    }
}

async fn try_to_withdraw<K: Kind>(
    object: &K,
    context: &Context<K>,
    kept: Option<&Target>,
    pace: WithdrawalPace,
) -> Result<Withdrawal, DeliveryError> {
    let client = &context.client;
    let all = revisions::list(client, object).await?;
    let is_elsewhere = |revision: &&Revision| kept.is_none_or(|kept| !revision.is_within(kept));
    let mut elsewhere: Vec<_> = all.iter().filter(is_elsewhere).cloned().collect();
    let mut targets: Vec<_> = elsewhere.iter().filter_map(Revision::made_for).collect();
    // Where somebody deleted the revisions, the spec still tells what refers to them.
    targets.extend(Contender::of(object).and_then(|claimant| claimant.target).filter(|_| kept.is_none()));
    let is_kept = |part: &Target| kept.is_some_and(|kept| part.is_within(kept));
    let objects: BTreeSet<_> =
        targets.iter().flat_map(Target::objects).filter(|part| !is_kept(part)).collect();
    let mut used = BTreeMap::new();
    for part in objects {
        if pace == WithdrawalPace::AfterHeirs && awaits_heir(object, context, part).await? {
            return Ok(Withdrawal::PodsRemain);
        }
        // Without certainty that the entries are out, nothing that they refer to goes.
        let Some(numbers) = emptied(object, context, part, &all).await? else {
            return Ok(Withdrawal::PodsRemain);
        };
        used.insert(part.to_string(), numbers);
    }
    for revision in std::mem::take(&mut elsewhere) {
        let own = revision.made_for();
        if let Some(rest) = kept.zip(own.as_ref()).and_then(|(kept, own)| own.common_with(kept)) {
            revisions::limit(client, object, &revision, &rest).await?;
            continue;
        }
        let is_used =
            |part: &Target| used.get(&part.to_string()).is_none_or(|used| used.contains(&revision.number));
        if own.is_none_or(|own| own.objects().into_iter().any(is_used)) {
            elsewhere.push(revision);
        } else {
            revisions::delete(client, object, &revision).await?;
        }
    }
    Ok(if elsewhere.is_empty() { Withdrawal::Complete } else { Withdrawal::PodsRemain })
}

/// Whether the entries stay for another resource, which takes them over in one step.
async fn awaits_heir<K: Kind>(object: &K, context: &Context<K>, left: &Target) -> Result<bool, Error> {
    let Some(claimant) = Contender::of(object) else { return Ok(false) };
    let namespace = object.namespace().unwrap_or_default();
    let patience = context.waits.deletion;
    let is_over = || context.memory.leaving_for(object, Some(left), Instant::now()) >= patience;
    // A resource of a kind that is not listed yet may be the heir.
    if context.registry.unlisted(&namespace).is_some() && !is_absent(object, context, Some(left)).await? {
        return Ok(!is_over());
    }
    let others = context.registry.rivals(&namespace, &claimant.leaving(left));
    if precedence::heir(&claimant, left, &others).is_none() || is_absent(object, context, Some(left)).await? {
        context.memory.left(object, left);
        return Ok(false);
    }
    Ok(!is_over())
}

/// Takes the resource's entries out of the target; tells which revisions pods refer to once they are out.
async fn emptied<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    revisions: &[Revision],
) -> Result<Option<BTreeSet<u64>>, DeliveryError> {
    let client = &context.client;
    let namespace = object.namespace().unwrap_or_default();
    let mut owner = owner_in_targets(object);
    for _ in 0..STEPS {
        let Some(seen) = workloads::read(client, &namespace, target).await?? else {
            // Its pods may live on without it.
            return Ok(Some(workloads::in_use(client, &namespace, None, &owner).await??));
        };
        let numbers = seen.standing(&owner).numbers;
        let unlisted = revisions::look_up(client, object, target, &numbers, revisions).await?;
        if !unlisted.mended.is_empty() {
            // They are listed the next time.
            return Ok(None);
        }
        owner = owner.excluding(unlisted.foreign);
        match seen.change(&owner, None, &[])? {
            None => return Ok(Some(workloads::in_use(client, &namespace, Some(&seen), &owner).await??)),
            Some(change) => workloads::apply_change(client, &namespace, &seen, &owner, &change).await??,
        };
    }
    Ok(None)
}
