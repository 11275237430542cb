//! The step that delivers: what was published goes to the target that the spec names.

use super::{Checks, DeliverableValues, Delivered, deliver, withdraw_all};
use crate::engine::{
    Context, Kind, Publication, TargetSharing, precedence::Proof, publish::write::PublishOutcome,
};
use crate::{error::Error, workloads::Target};

impl PublishOutcome {
    /// Delivers the published values to the target, and withdraws them from targets that the spec does not name
    /// any more.
    pub(in crate::engine) async fn deliver_published<K: Kind>(
        &self,
        object: &K,
        context: &Context<K>,
        checks: (Checks, Proof),
    ) -> Result<Option<Delivered>, Error> {
        let Some(target) = object.common().target.as_ref().and_then(Target::of) else {
            withdraw_all(object, context).await?;
            return Ok(None);
        };
        context.registry.watch_kind(&target);
        if self.notice.is_some() {
            context.requeue_sharers(object);
        }
        let values = match K::TARGET_SHARING {
            TargetSharing::Exclusive => self.deliverable.as_ref(),
            // For a merged target, fall back to what the Secret holds; otherwise the other resources' values
            // would be delivered without ours.
            TargetSharing::Merged => self.values.as_ref(),
        };
        let offer = match (&self.publication, values) {
            (_, None) => DeliverableValues::Nothing,
            (Publication::Current | Publication::Unproven, Some(values)) => {
                DeliverableValues::Current(values)
            }
            (_, Some(values)) => DeliverableValues::Held(values),
        };
        deliver(object, context, &target, offer, checks).await.map(Some)
    }
}
