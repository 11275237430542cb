//! The step that delivers: what was published goes to the target that the spec names.

use super::{Checks, DeliverableValues, Delivered, Progress, deliver, withdraw_all};
use crate::engine::{
    Context, Kind, Publication, TargetSharing,
    precedence::{Claim, Proof},
    publish::{secret::SecretWrite, write::PublishOutcome},
};
use crate::{error::Error, workloads::Target};

/// Delivers the published values to the target, and withdraws them from targets that the spec does not name
/// any more. Returns nothing for a spec without a target.
pub(in crate::engine) async fn deliver_published<K: Kind>(
    object: &K,
    context: &Context<K>,
    published: &PublishOutcome,
    checks: (Checks, Proof),
) -> Result<Option<Delivered>, Error> {
    let Some(target) = object.common().target.as_ref().and_then(Target::of) else {
        withdraw_all(object, context).await?;
        return Ok(None);
    };
    context.registry.watch_kind(&target);
    if published.write == SecretWrite::Changed {
        context.requeue_sharers(object);
    }
    let values = match K::TARGET_SHARING {
        TargetSharing::Exclusive => published.deliverable.as_ref(),
        // For a merged target, fall back to what the Secret holds; otherwise the other resources' values
        // would be delivered without ours.
        TargetSharing::Merged => published.values.as_ref(),
    };
    let offer = match (&published.publication, values) {
        (_, None) => DeliverableValues::Nothing,
        (Publication::Current | Publication::Unproven, Some(values)) => DeliverableValues::Current(values),
        (_, Some(values)) => DeliverableValues::Held(values),
    };
    deliver(object, context, &target, offer, checks).await.map(Some)
}

impl Delivered {
    /// Whether a takeover of somebody else's entries waits for the checks.
    pub(in crate::engine) fn awaits_checks(&self) -> bool {
        matches!(self.state, Progress::AwaitsChecks(_))
    }

    /// The same outcome for a resource with this claim. A resource that lost its claim does not deliver because
    /// another one has it; whether delivery would have failed does not matter.
    pub(in crate::engine) fn under(self, claim: Claim) -> Self {
        match (claim, &self.state) {
            (Claim::Lost(problem), Progress::Failed(_) | Progress::NotPublished) => {
                Self { state: Progress::Superseded(problem), ..self }
            }
            _ => self,
        }
    }
}
