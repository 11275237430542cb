//! Decides how a target gets to the desired revision where somebody else has set the same variables.

use std::collections::BTreeSet;

use super::{
    Delivered, Progress,
    adoption::{self, Checks, Present},
    plan::{DesiredRevision, working_before},
    revisions::{self, RevisionState},
    step::{DeliveryRun, TargetView},
};
use crate::{
    api::AdoptionPolicy,
    engine::{Kind, Values},
    error::StepError,
    workloads::{AppliedState, Change, Delivery, TargetSnapshot},
};

/// Whether somebody else has set variables that a delivery sets.
pub(super) enum Occupied {
    /// Nobody has, or nothing of it may be adopted.
    Free,
    /// Somebody has, and these values may be adopted.
    Adoptable(Present),
}

/// What must happen before the target has the desired revision.
pub(super) enum Handover {
    /// The checks must pass first.
    Waits,
    /// The present values must first become a revision of their own.
    Keep(Values),
    /// This change must be applied, if there is one.
    Change(Option<Change>),
    /// This change must be applied, if there is one. It replaces what these field managers have set.
    TakeOver(Option<Change>, BTreeSet<String>),
}

impl<K: Kind> DeliveryRun<'_, K> {
    /// Decides what brings the target to the desired revision.
    pub async fn way(
        &self,
        view: &TargetView<'_>,
        desired: DesiredRevision<'_>,
        delivery: Option<&Delivery<'_>>,
    ) -> Result<Handover, StepError> {
        let TargetView { seen, here, standing, .. } = view;
        let plain = || seen.change(&self.owner, delivery, &self.displaced_owners());
        let Some(delivery) = delivery else { return Ok(Handover::Change(plain()?)) };
        let Occupied::Adoptable(present) = self.occupied(seen, delivery).await? else {
            return Ok(Handover::Change(plain()?));
        };
        let change = seen.take_over(&self.owner, delivery)?;
        // Once our revision has been in place, a field manager that sets an entry again does not alter what a
        // rollback restores, so the present values need not be kept.
        if standing.numbers.contains(&delivery.number) {
            return Ok(Handover::TakeOver(change, present.managers));
        }
        // The values of a rollback were already checked when it was chosen.
        if self.checks != Checks::Fresh && desired.rollback.is_none() {
            return Ok(Handover::Waits);
        }
        let is_proven =
            desired.rollback.is_some() || matches!(desired.newest.mark, RevisionState::RolledOut { .. });
        let managers = present.managers.clone();
        if !is_proven {
            let working = working_before(here, desired.newest);
            if let Some(present) = self.unkept(present, standing, working).await? {
                return Ok(Handover::Keep(present));
            }
        }
        Ok(Handover::TakeOver(change, managers))
    }

    /// Finds what somebody else has set of the variables to deliver, and whether it may be adopted.
    pub async fn occupied(
        &self,
        seen: &TargetSnapshot,
        delivery: &Delivery<'_>,
    ) -> Result<Occupied, StepError> {
        let policy = self.object.common().target.as_ref().map(|target| target.adopt).unwrap_or_default();
        let present = seen.present(&self.owner, delivery, &self.displaced_owners());
        if policy == AdoptionPolicy::Never || !adoption::is_occupied(&present) {
            return Ok(Occupied::Free);
        }
        // Entries that cannot be taken over whatever their values are reported first, because that error names
        // their place.
        seen.take_over(&self.owner, delivery)?;
        let present = adoption::read(&self.context.client, self.namespace, self.target, &present).await?;
        present.judge(policy, delivery.values, self.target)?;
        Ok(Occupied::Adoptable(present))
    }

    /// The present values of the target as a whole, unless the revision for a rollback has exactly these values
    /// already.
    pub async fn unkept(
        &self,
        present: Present,
        standing: &AppliedState,
        working: Option<u64>,
    ) -> Result<Option<Values>, StepError> {
        let working = match working {
            Some(number) => revisions::values(&self.context.client, self.object, number).await?,
            None => None,
        };
        let beside = working.as_ref().filter(|_| !standing.numbers.is_empty());
        let whole = present.with(beside);
        let is_kept = match &working {
            Some(working) => *working == whole,
            None => whole.iter().next().is_none(),
        };
        Ok((!is_kept).then_some(whole))
    }

    /// The outcome while entries of somebody else wait for checks that pass in the same run.
    pub fn waits(&self, seen: &TargetSnapshot, standing: &AppliedState) -> Delivered {
        let state = Progress::AwaitsChecks(format!(
            "The present values of {} are replaced once every check has passed; until then they stay.",
            self.target
        ));
        let revision = standing.numbers.last().copied();
        Delivered { revision, environment: Some(seen.environment()), ..Delivered::nothing(state) }
    }
}
