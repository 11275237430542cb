//! Removes what was delivered: from a target that the spec does not name any more, or from every target when the
//! resource is deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use kube::ResourceExt;

use super::{
    STEPS,
    revisions::{self, Revision},
};
use crate::{
    engine::{Contender, Context, Kind, precedence, publish::secret::owner_in_targets},
    error::{Error, StepError},
    workloads::{self, Target},
};

/// How far the resource has been removed from its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Withdrawal {
    /// Nothing of it is left.
    Complete,
    /// Its entries are removed, or are about to be; older pods or pod templates may still refer to its revisions.
    PodsRemain,
}

/// How soon entries are removed that another resource may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum WithdrawalPace {
    /// Now: a resource that could take them over has had its time.
    AtOnce,
    /// As soon as another resource has taken them over in one step, or the time for that has passed.
    AfterHeirs,
}

/// Whether the target has no entries of the resource, or does not exist.
pub(in crate::engine) async fn is_absent<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: Option<&Target>,
) -> Result<bool, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let owner = owner_in_targets(object);
    for target in target.into_iter().flat_map(Target::objects) {
        let seen = match workloads::read(&context.client, &namespace, target).await {
            Ok(seen) => seen,
            Err(StepError::Problem(_)) => None,
            Err(StepError::Error(error)) => return Err(error),
        };
        if seen.is_some_and(|seen| !seen.standing(&owner).numbers.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the resource's entries from every object that is not part of `kept`, and then deletes the revisions to
/// which no pod refers. A revision that was made for objects of both is limited to those that are kept.
pub(in crate::engine) async fn withdraw<K: Kind>(
    object: &K,
    context: &Context<K>,
    kept: Option<&Target>,
    pace: WithdrawalPace,
) -> Result<Withdrawal, StepError> {
    match try_to_withdraw(object, context, kept, pace).await {
        Err(StepError::Error(error)) => {
            Err(context.rejected(object, "what takes the entries out of a target", error)?.into())
        }
        ended => ended,
    }
}

async fn try_to_withdraw<K: Kind>(
    object: &K,
    context: &Context<K>,
    kept: Option<&Target>,
    pace: WithdrawalPace,
) -> Result<Withdrawal, StepError> {
    let all = revisions::list(context, object).await?;
    let is_elsewhere = |revision: &&Revision| kept.is_none_or(|kept| !revision.is_within(kept));
    let mut elsewhere: Vec<_> = all.iter().filter(is_elsewhere).cloned().collect();
    let mut targets: Vec<_> = elsewhere.iter().filter_map(Revision::made_for).collect();
    // Where somebody deleted the revisions, the spec still says where entries may be.
    targets.extend(Contender::of(object).and_then(|contender| contender.target).filter(|_| kept.is_none()));
    let is_kept = |part: &Target| kept.is_some_and(|kept| part.is_within(kept));
    let objects: BTreeSet<_> =
        targets.iter().flat_map(Target::objects).filter(|part| !is_kept(part)).collect();
    let mut used = BTreeMap::new();
    for part in objects {
        if pace == WithdrawalPace::AfterHeirs && awaits_heir(object, context, part).await? {
            return Ok(Withdrawal::PodsRemain);
        }
        // Revisions are deleted only when it is certain that the entries are removed.
        let Some(numbers) = emptied(object, context, part, &all).await? else {
            return Ok(Withdrawal::PodsRemain);
        };
        used.insert(part.to_string(), numbers);
    }
    for revision in std::mem::take(&mut elsewhere) {
        let own = revision.made_for();
        if let Some(rest) = kept.zip(own.as_ref()).and_then(|(kept, own)| own.common_with(kept)) {
            revisions::limit(context, object, &revision, &rest).await?;
            continue;
        }
        let is_used =
            |part: &Target| used.get(&part.to_string()).is_none_or(|used| used.contains(&revision.number));
        if own.is_none_or(|own| own.objects().into_iter().any(is_used)) {
            elsewhere.push(revision);
        } else {
            revisions::delete(context, object, &revision).await?;
        }
    }
    Ok(if elsewhere.is_empty() { Withdrawal::Complete } else { Withdrawal::PodsRemain })
}

/// Whether the entries stay for another resource, which takes them over in one step.
async fn awaits_heir<K: Kind>(object: &K, context: &Context<K>, left: &Target) -> Result<bool, Error> {
    let Some(contender) = Contender::of(object) else { return Ok(false) };
    let namespace = object.namespace().unwrap_or_default();
    let patience = context.waits.deletion;
    let is_over = || context.memory.leaving_for(object, Some(left), Instant::now()) >= patience;
    // Resources of a kind that is not listed yet might take the entries over.
    if context.registry.unlisted(&namespace).is_some() && !is_absent(object, context, Some(left)).await? {
        return Ok(!is_over());
    }
    let others = context.registry.rivals(&namespace, &contender.clone().leaving(left));
    if precedence::heir(&contender, left, &others).is_none() || is_absent(object, context, Some(left)).await?
    {
        context.memory.left(object, left);
        return Ok(false);
    }
    Ok(!is_over())
}

/// Removes the resource's entries from the target. Returns the revisions to which pods refer once the entries are
/// removed; `None` while that is not certain.
async fn emptied<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    revisions: &[Revision],
) -> Result<Option<BTreeSet<u64>>, StepError> {
    let client = &context.client;
    let namespace = object.namespace().unwrap_or_default();
    let mut owner = owner_in_targets(object);
    for _ in 0..STEPS {
        let Some(seen) = workloads::read(client, &namespace, target).await? else {
            // Pods of the target may outlive it.
            return Ok(Some(workloads::in_use(client, &namespace, None, &owner).await?));
        };
        let numbers = seen.standing(&owner).numbers;
        let unlisted = revisions::look_up(context, object, target, &numbers, revisions).await?;
        if !unlisted.mended.is_empty() {
            // The revisions whose metadata was restored are in the list of the next run.
            return Ok(None);
        }
        owner = owner.excluding(unlisted.foreign);
        match seen.change(&owner, None, &[])? {
            None => return Ok(Some(workloads::in_use(client, &namespace, Some(&seen), &owner).await?)),
            Some(change) => workloads::apply_change(client, &namespace, &seen, &owner, &change).await?,
        };
    }
    Ok(None)
}
