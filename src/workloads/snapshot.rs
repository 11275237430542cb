//! A target, as it was when it was read.

use std::collections::BTreeSet;

use kube::core::ApiResource;

use super::{
    AppliedState, Change, Delivery, Environment, Owner, PresentVariable, Target, Undone,
    combined::{Reach, Several},
    read_target::ReadTarget,
    weights_and_biases::WeightsAndBiases,
    workload::Workload,
};
use crate::problem::Problem;

/// A target, as it was when it was read.
#[derive(Clone, Debug)]
pub enum TargetSnapshot {
    /// A Deployment or a StatefulSet.
    Workload(Workload),
    /// The W&B operator's own resource.
    WeightsAndBiases(WeightsAndBiases),
    /// Several workloads, or several containers of one, as one target.
    Several(Several),
}

impl TargetSnapshot {
    fn target(&self) -> &dyn ReadTarget {
        match self {
            Self::Workload(seen) => seen,
            Self::WeightsAndBiases(seen) => seen,
            Self::Several(seen) => seen,
        }
    }

    /// The UIDs of the objects. An object that was deleted and created again has another one.
    pub fn uids(&self) -> Vec<&str> {
        let parts = self.parts().into_iter();
        parts
            .filter_map(|(seen, _)| match seen {
                Self::Workload(seen) => Some(seen.uid()),
                Self::WeightsAndBiases(seen) => Some(seen.uid()),
                Self::Several(_) => None,
            })
            .collect()
    }

    /// The objects that have entries of the owner, such as `Deployment/wandb`.
    pub fn objects_with(&self, owner: &Owner) -> BTreeSet<String> {
        let has_entries = |(seen, _): &(&Self, Reach)| !seen.standing(owner).numbers.is_empty();
        self.parts().into_iter().filter(has_entries).map(|(seen, _)| seen.title()).collect()
    }

    /// Which revisions the owner's entries refer to, and who changed that last.
    pub fn standing(&self, owner: &Owner) -> AppliedState {
        self.target().standing(owner)
    }

    /// The change that brings the owner's entries to the delivery or, without a delivery, removes them. It is
    /// `None` if nothing has to change. Entries of the owners in `displaced` may be taken over; entries of anybody
    /// else are a problem.
    pub fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        displaced: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        self.target().change(owner, delivery, displaced)
    }

    /// Like [`change`](Self::change), but takes over the variables of everybody else that are in the way.
    pub fn take_over(&self, owner: &Owner, delivery: &Delivery<'_>) -> Result<Option<Change>, Problem> {
        self.target().take_over(owner, delivery)
    }

    /// The variables that the target has now under the names of the delivery, and all other variables of the owner.
    pub fn present(
        &self,
        owner: &Owner,
        delivery: &Delivery<'_>,
        displaced: &[Owner],
    ) -> Vec<PresentVariable> {
        self.target().present(owner, delivery, displaced)
    }

    /// The change that makes the workloads match the target again, or `None` if that change has already been made.
    pub fn repair(&self, owner: &Owner, undone: &Undone) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(_) | Self::Several(_) => Ok(None),
            Self::WeightsAndBiases(seen) => seen.repair(owner, undone),
        }
    }

    /// The settings of the server, as far as the target shows them.
    pub fn environment(&self) -> Environment {
        self.target().environment()
    }

    /// The same target, with deliveries limited to the objects of `target`. A rollback must reach only the objects
    /// for which the earlier revision was made.
    #[must_use]
    pub fn reaching(self, target: &Target) -> Self {
        match self {
            Self::Several(seen) => Self::Several(seen.reaching(target)),
            one => one,
        }
    }

    /// Each object, and whether deliveries include it.
    pub(super) fn parts(&self) -> Vec<(&Self, Reach)> {
        match self {
            Self::Several(seen) => seen.parts().collect(),
            one => vec![(one, Reach::Within)],
        }
    }

    /// The object as messages name it, such as `Deployment/wandb`.
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.resource().kind, self.name())
    }

    pub(super) fn resource(&self) -> ApiResource {
        self.target().resource()
    }

    pub(super) fn name(&self) -> &str {
        self.target().name()
    }
}
