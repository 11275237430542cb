//! How a target gets to a course where somebody else has set what is to be delivered.

use std::collections::BTreeSet;

use super::{
    Delivered, Progress,
    adoption::{self, Checks, Present},
    error::DeliveryError,
    plan::{DesiredRevision, proven_before},
    revisions::{self, RevisionState},
    step::{DeliveryRun, TargetView},
};
use crate::{
    api::AdoptionPolicy,
    engine::{Kind, Values},
    workloads::{AppliedState, Change, Delivery, TargetSnapshot},
};

/// What somebody else has set of a delivery.
pub(super) enum Occupied {
    /// Nothing, or nothing that the resource may take over.
    Free,
    /// These values, which the resource may take over.
    Adoptable(Present),
}

/// What brings a target to a course.
pub(super) enum Handover {
    /// Passed checks.
    Waits,
    /// First a revision of what is there.
    Keep(Values),
    /// This change, if any.
    Change(Option<Change>),
    /// This change, if any, which takes the place of what these field managers have set.
    TakeOver(Option<Change>, BTreeSet<String>),
}

impl<K: Kind> DeliveryRun<'_, K> {
    /// What brings the target to the course.
    pub async fn way(
        &self,
        scene: &TargetView<'_>,
        course: DesiredRevision<'_>,
        delivery: Option<&Delivery<'_>>,
    ) -> Result<Handover, DeliveryError> {
        let TargetView { seen, here, standing, .. } = scene;
        let plain = || seen.change(&self.owner, delivery, &self.displaced_owners());
        let Some(delivery) = delivery else { return Ok(Handover::Change(plain()?)) };
        let Occupied::Adoptable(present) = self.occupied(seen, delivery).await? else {
            return Ok(Handover::Change(plain()?));
        };
        let change = seen.take_over(&self.owner, delivery)?;
        // Who sets an entry anew that has been taken over changes nothing of what there is to go back to.
        if standing.numbers.contains(&delivery.number) {
            return Ok(Handover::TakeOver(change, present.managers));
        }
        // The values of a way back were checked when it was chosen.
        if self.checks != Checks::Fresh && course.rollback.is_none() {
            return Ok(Handover::Waits);
        }
        let is_proven =
            course.rollback.is_some() || matches!(course.newest.mark, RevisionState::RolledOut { .. });
        let managers = present.managers.clone();
        if !is_proven {
            let proven = proven_before(here, course.newest);
            if let Some(present) = self.unkept(present, standing, proven).await? {
                return Ok(Handover::Keep(present));
            }
        }
        Ok(Handover::TakeOver(change, managers))
    }

    /// What somebody else has set of what is to be delivered.
    pub async fn occupied(
        &self,
        seen: &TargetSnapshot,
        delivery: &Delivery<'_>,
    ) -> Result<Occupied, DeliveryError> {
        let policy = self.object.common().target.as_ref().map(|target| target.adopt).unwrap_or_default();
        let present = seen.present(&self.owner, delivery, &self.displaced_owners());
        if policy == AdoptionPolicy::Never || !adoption::is_occupied(&present) {
            return Ok(Occupied::Free);
        }
        // What cannot be taken over whatever its value is told first, with its place.
        seen.take_over(&self.owner, delivery)?;
        let present = adoption::read(&self.context.client, self.namespace, self.target, &present).await??;
        present.judge(policy, delivery.values, self.target)?;
        Ok(Occupied::Adoptable(present))
    }

    /// What the target has as a whole, unless the revision that it would go back to is just that.
    pub async fn unkept(
        &self,
        present: Present,
        standing: &AppliedState,
        proven: Option<u64>,
    ) -> Result<Option<Values>, DeliveryError> {
        let proven = match proven {
            Some(number) => revisions::values(&self.context.client, self.object, number).await?,
            None => None,
        };
        let beside = proven.as_ref().filter(|_| !standing.numbers.is_empty());
        let whole = present.with(beside);
        let is_kept = match &proven {
            Some(proven) => *proven == whole,
            None => whole.iter().next().is_none(),
        };
        Ok((!is_kept).then_some(whole))
    }

    /// Nothing of somebody else's is taken over before the checks have passed, just now.
    pub fn waits(&self, seen: &TargetSnapshot, standing: &AppliedState) -> Delivered {
        let state = Progress::AwaitsChecks(format!(
            "What stands at {} now is replaced once every check has passed; until then it stays as it is.",
            self.target
        ));
        let revision = standing.numbers.last().copied();
        Delivered { revision, environment: Some(seen.environment()), ..Delivered::nothing(state) }
    }
}
