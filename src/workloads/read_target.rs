//! What every kind of target offers, once it was read.

use kube::core::ApiResource;

use super::{AppliedState, Change, Delivery, Environment, Owner, PresentVariable};
use crate::problem::Problem;

/// What can be read of every kind of target, and decided about it.
pub(super) trait ReadTarget {
    /// Which revisions the owner's entries refer to, and who changed that last.
    fn standing(&self, owner: &Owner) -> AppliedState;

    /// The change that brings the owner's entries to the delivery or, without a delivery, removes them. It is
    /// `None` if nothing has to change. Entries of the owners in `displaced` may be taken over; entries of anybody
    /// else are a problem.
    fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        displaced: &[Owner],
    ) -> Result<Option<Change>, Problem>;

    /// Like [`change`](Self::change), but takes over the variables of everybody else that are in the way.
    fn take_over(&self, owner: &Owner, delivery: &Delivery<'_>) -> Result<Option<Change>, Problem>;

    /// The variables that the target has now under the names of the delivery, and all other variables of the owner.
    fn present(&self, owner: &Owner, delivery: &Delivery<'_>, displaced: &[Owner]) -> Vec<PresentVariable>;

    /// The settings of the server, as far as the target shows them.
    fn environment(&self) -> Environment;

    /// The type of the object; of several objects, of the first.
    fn resource(&self) -> ApiResource;

    /// The name of the object; of several objects, of the first.
    fn name(&self) -> &str;
}
