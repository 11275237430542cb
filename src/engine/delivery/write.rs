//! The writes of one step: new revisions, the entries at the target, and what is left of other resources' entries.

use std::{collections::BTreeSet, time::Instant};

use super::{
    DeliverableValues, Delivered,
    adoption::Checks,
    handover::Occupied,
    plan::{DesiredRevision, previous_of_next, working_below},
    revisions::{self, Blueprint, Revision, RevisionCreation, RevisionSource},
    step::{DeliveryRun, STALE_LOOKS, delivery},
};
use crate::{
    engine::{Contender, Kind, cache::Repair, finalizer::Finalizer},
    error::StepError,
    workloads::{self, AppliedState, ApplyResult, Change, TargetSnapshot},
};

/// What a write did to the entries of the resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// The write changed no entry.
    Nothing,
    /// The entries were written for the first time with these inputs.
    First,
    /// The same entries had been written before, so somebody else had removed or changed them.
    Again,
}

impl<K: Kind> DeliveryRun<'_, K> {
    pub(super) async fn create(
        &self,
        seen: &TargetSnapshot,
        here: &[Revision],
        standing: &AppliedState,
        number: u64,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, StepError> {
        let (DeliverableValues::Current(values) | DeliverableValues::Held(values)) = self.offer else {
            return Ok(None);
        };
        let delivery = delivery::<K>(number, values);
        let present = match self.occupied(seen, &delivery).await? {
            // Check that the change can be applied before creating a revision for it.
            Occupied::Free => {
                seen.change(&self.owner, Some(&delivery), &self.displaced_owners())?;
                None
            }
            Occupied::Adoptable(_) if self.checks != Checks::Fresh => {
                return Ok(Some(self.waits(seen, standing)));
            }
            Occupied::Adoptable(present) => {
                seen.take_over(&self.owner, &delivery)?;
                self.unkept(present, standing, working_below(here, number)).await?
            }
        };
        self.context.add_finalizer(self.object, Finalizer::Target).await?;
        let (values, source) = match &present {
            Some(present) => (present, RevisionSource::Target),
            None => (values, RevisionSource::Resource),
        };
        let previous = previous_of_next(here, number, standing);
        self.make(Blueprint { number, target: self.target, values, source, previous }, used_numbers).await?;
        Ok(None)
    }

    /// Creates a revision. If another Secret has its name, the number is recorded as used.
    pub(super) async fn make(
        &self,
        blueprint: Blueprint<'_>,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<(), StepError> {
        let number = blueprint.number;
        let created = revisions::create(self.context, self.object, blueprint, self.now).await?;
        if created == RevisionCreation::Taken {
            used_numbers.insert(number);
        }
        Ok(())
    }

    /// Changes the target. Returns a problem if somebody else keeps undoing that change.
    pub(super) async fn write(
        &mut self,
        seen: &TargetSnapshot,
        change: &Change,
        number: Option<u64>,
        repair: Repair,
        by: &BTreeSet<String>,
    ) -> Result<Wrote, StepError> {
        // The identity of the objects is part of the attempt: an object that was deleted and created again has no
        // entries, and that is not a conflict with another field manager.
        let attempt = (number, format!("{} objects={}", self.inputs, seen.uids().join(",")));
        let memory = &self.context.memory;
        // A change that only claims ownership of fields finds the entries in place, so it repairs nothing.
        let is_repair = !change.is_claim();
        if is_repair && !memory.may_deliver(self.object, &attempt, repair, Instant::now()) {
            return Err(self.field_conflict(repair, by).into());
        }
        let made =
            workloads::apply_change(&self.context.client, self.namespace, seen, &self.owner, change).await?;
        match made {
            ApplyResult::Changed if is_repair => {
                let is_same = memory.delivered(self.object, attempt, Instant::now());
                return Ok(if is_same { Wrote::Again } else { Wrote::First });
            }
            ApplyResult::Changed => {}
            ApplyResult::Stale(words) => {
                self.stale += 1;
                if self.stale >= STALE_LOOKS {
                    return Err(self.not_taken(&words).into());
                }
            }
        }
        Ok(Wrote::Nothing)
    }

    /// Publishes an event if entries that were in place before had been removed or changed by somebody else.
    pub(super) fn tell_of_repair(
        &self,
        wrote: Wrote,
        desired: DesiredRevision<'_>,
        standing: &AppliedState,
        by: &BTreeSet<String>,
    ) {
        let were_there = desired.was_there() || standing.moved.is_some();
        if wrote == Wrote::Again || wrote == Wrote::First && were_there {
            self.context.publish_event(self.object, &self.repaired(by));
        }
    }

    /// Removes what is left of the entries of displaced resources, once our own entries are in place. Returns
    /// whether anything was left.
    pub(super) async fn take_over(&self, seen: &TargetSnapshot) -> Result<bool, StepError> {
        for Contender { owner, .. } in &self.displaced {
            if let Some(change) = seen.change(owner, None, &[])? {
                workloads::apply_change(&self.context.client, self.namespace, seen, owner, &change).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
