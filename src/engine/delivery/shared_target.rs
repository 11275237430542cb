//! Lets several resources deliver to one target together: the oldest of them writes the values of all.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};

use super::{
    DeliverableValues, Delivered, Progress, Withdrawal, WithdrawalPace,
    contest::Contest,
    revisions::{self, RevisionState},
    withdraw,
};
use crate::{
    api::Reason,
    engine::{
        Contender, Context, Kind, TargetSharing, Values,
        finalizer::Finalizer,
        precedence::{self, PublicationState},
        publish::secret::{OWNER_ANNOTATION, values_of},
    },
    error::StepError,
    problem::Problem,
    workloads::{self, Target},
};

/// The values of the resource, joined with those that the resources that share its target have published.
pub(super) async fn joined<K: Kind>(
    namespace: &str,
    context: &Context<K>,
    competition: &Contest,
    offer: DeliverableValues<'_>,
    target: &Target,
) -> Result<Option<Values>, StepError> {
    let Contest { contender: own, others } = competition;
    let published = match offer {
        _ if K::TARGET_SHARING == TargetSharing::Exclusive => return Ok(None),
        DeliverableValues::Current(values) | DeliverableValues::Held(values) => Some(values),
        // The resource has published values, but they are not known in this run. Until they are, nothing is
        // removed from the target.
        DeliverableValues::Nothing if own.publication == PublicationState::Yes => return Ok(None),
        DeliverableValues::Nothing => None,
    };
    if let Some(Contender { kind, name, .. }) = precedence::unknown_partner(own, others) {
        let told = format!(
            "The {kind} \"{name}\" cannot be read by this version of the operator, nor where it delivers to, so {target} stays as it is. Correct that resource, or delete it."
        );
        return Err(Problem::new(Reason::InvalidSpec, told).into());
    }
    let secrets = Api::<Secret>::namespaced(context.client.clone(), namespace);
    let mut parts: Vec<_> = published.cloned().into_iter().collect();
    for partner in precedence::partners(own, others) {
        let secret = secrets.get_opt(&partner.owner.secret_name).await?;
        let is_theirs = |secret: &Secret| {
            secret.annotations().get(OWNER_ANNOTATION) == Some(&format!("{}/{}", partner.kind, partner.name))
        };
        match secret.filter(is_theirs) {
            Some(secret) => parts.push(values_of(&secret)),
            // The Secret of a published resource is missing and about to be written again, so the target stays as
            // it is until then.
            None if partner.publication == PublicationState::Yes => return Ok(None),
            None => {}
        }
    }
    Ok((!parts.is_empty()).then(|| K::join(&parts)))
}

/// The outcome for a resource whose values an older one writes.
pub(super) async fn report_as_follower<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    offer: DeliverableValues<'_>,
    leader: &Contender,
) -> Result<Delivered, StepError> {
    let (DeliverableValues::Current(own) | DeliverableValues::Held(own)) = offer else {
        return Ok(Delivered::nothing(Progress::NotPublished));
    };
    let namespace = object.namespace().unwrap_or_default();
    let client = &context.client;
    let (kind, name) = (&leader.kind, &leader.name);
    let seen = workloads::read(client, &namespace, target).await?;
    if let Some(theirs) = leader.target.as_ref().filter(|theirs| !target.is_within(theirs)) {
        return Err(StepError::Problem(Problem::new(
            Reason::FieldConflict,
            format!(
                "The older {kind} \"{name}\" writes for all of them, but to {theirs} only, and this resource names {target}. Give both the same spec.target."
            ),
        )));
    }
    let numbers = seen.as_ref().map(|seen| seen.standing(&leader.owner).numbers).unwrap_or_default();
    let environment = seen.as_ref().map(workloads::TargetSnapshot::environment);
    let delivered = |state| Delivered { environment, ..Delivered::nothing(state) };
    let revision = revisions::list_of(client, &namespace, leader)
        .await?
        .into_iter()
        .find(|revision| numbers.iter().eq([&revision.number]));
    let Some(revision) = revision else {
        return Ok(delivered(Progress::Progressing(format!(
            "The older {kind} \"{name}\" writes to {target} for all of them, and has not done so yet."
        ))));
    };
    // Entries that the resource wrote itself, before there was an older one, have been taken over by that one, so
    // they are removed.
    if Finalizer::Target.holds(object)
        && withdraw(object, context, None, WithdrawalPace::AtOnce).await? == Withdrawal::Complete
    {
        context.remove_finalizers(object, &[Finalizer::Target]).await?;
    }
    let held = revisions::read(client, &namespace, &revision.name).await?;
    let has_own = held.is_some_and(|held| K::join(&[held.clone(), own.clone()]) == held);
    Ok(delivered(match revision.mark {
        _ if !has_own => Progress::Progressing(format!(
            "The older {kind} \"{name}\" writes to {target} for all of them; its revision {} does not have the values of this one yet.",
            revision.number
        )),
        RevisionState::RolledOut { .. } => Progress::RolledOut(format!(
            "The pods of {target} run with revision {} of the older {kind} \"{name}\", which writes for all of them.",
            revision.number
        )),
        _ => Progress::Progressing(format!(
            "Revision {} of the older {kind} \"{name}\", which writes to {target} for all of them, is being rolled out to the pods.",
            revision.number
        )),
    }))
}
