//! Brings a target to the desired revision, and judges what its pods make of it.

use std::{collections::BTreeSet, time::Instant};

use super::{
    Delivered, Progress, WithdrawalPace,
    handover::Handover,
    messages,
    plan::{DesiredRevision, Judgement, next_number, previous_of_next, working_before},
    revisions::{self, Blueprint, Revision, RevisionSource, RevisionState},
    rollback::{self, RollbackCheck},
    step::{DeliveryRun, TargetView, delivery},
    withdraw,
};
use crate::{
    engine::{Kind, Values, cache::Repair, finalizer::Finalizer},
    error::StepError,
    workloads::{self, AppliedState, Observer, Rollout, RolloutDeadline, TargetSnapshot},
};

/// How many revisions are kept for a target at least, so that people can go back to them.
const KEPT: usize = 3;

impl<K: Kind> DeliveryRun<'_, K> {
    /// Brings the target to the desired revision. Returns the outcome once the target is there.
    pub(super) async fn roll_out(
        &mut self,
        view: TargetView<'_>,
        desired: DesiredRevision<'_>,
        newest: Option<Values>,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, StepError> {
        let client = &self.context.client;
        let TargetView { seen, here, elsewhere, standing, ref attempt } = view;
        let values = match desired.number {
            Some(number) if here.last().is_some_and(|newest| newest.number == number) => newest,
            Some(number) => revisions::values(client, self.object, number).await?,
            None => None,
        };
        if desired.number.is_some() && values.is_none() {
            // The revision was deleted since it was listed.
            return Ok(None);
        }
        if let (None, Some(successor)) = (desired.number, &self.successor) {
            return Ok(Some(self.displaced_by(seen, desired, successor)));
        }
        let delivery =
            desired.number.zip(values.as_ref()).map(|(number, values)| delivery::<K>(number, values));
        self.context.add_finalizer(self.object, Finalizer::Target).await?;
        let (change, repair, by) = match self.way(&view, desired, delivery.as_ref()).await? {
            Handover::Waits => return Ok(Some(self.waits(seen, standing))),
            Handover::Keep(present) => {
                // What is there now becomes the newest revision, and the values to deliver become another one
                // after it.
                let number = next_number(here, used_numbers, standing);
                let previous = previous_of_next(here, number, standing);
                let (values, source) = (&present, RevisionSource::Target);
                self.make(Blueprint { number, target: self.target, values, source, previous }, used_numbers)
                    .await?;
                return Ok(None);
            }
            Handover::Change(change) => (change, Repair::Missing, mover(standing)),
            Handover::TakeOver(change, managers) => (change, Repair::Replaced, managers),
        };
        if let Some(change) = change {
            let wrote = self.write(seen, &change, desired.number, repair, &by).await?;
            self.tell_of_repair(wrote, desired, standing, &by);
            return Ok(None);
        }
        if desired.rollback.is_none() && self.take_over(seen).await? {
            return Ok(None);
        }
        let previous = match desired.rollback {
            Some(_) => desired.number,
            None => working_before(here, desired.newest),
        };
        let delivered = |state| Delivered {
            state,
            revision: desired.number,
            previous,
            environment: Some(seen.environment()),
            watched: None,
        };
        if let Some(undone) = standing.undone.as_ref().filter(|_| desired.was_there()) {
            match seen.repair(&self.owner, undone)? {
                // The W&B operator was already asked to apply everything again.
                None => return Ok(Some(delivered(Progress::Progressing(messages::being_repaired(undone))))),
                Some(change) if desired.is_over(standing) => {
                    let by = BTreeSet::from([undone.by.by.clone()]);
                    let wrote = self.write(seen, &change, desired.number, Repair::Missing, &by).await?;
                    self.tell_of_repair(wrote, desired, standing, &by);
                    return Ok(None);
                }
                // Our last write is still being rolled out, and that restores the entries everywhere.
                Some(_) => {}
            }
        }
        if !desired.is_over(standing) {
            let rollout = self.observe(&view, desired).await?;
            match desired.judge(rollout, here, attempt) {
                Judgement::Mark(revision, mark) => {
                    revisions::mark(self.context, self.object, revision, &mark).await?;
                    return Ok(None);
                }
                Judgement::Return { to, evidence } => {
                    self.turn_back(&view, desired, to, evidence, values.as_ref()).await?;
                    return Ok(None);
                }
                Judgement::Underway(seen_of_it) => {
                    self.delete_stuck_pods(&view, desired).await?;
                    let told = messages::underway(desired, here, seen_of_it);
                    return Ok(Some(delivered(Progress::Progressing(told))));
                }
                Judgement::Stay(stay) => {
                    self.delete_stuck_pods(&view, desired).await?;
                    return Ok(Some(delivered(self.stays(desired, stay))));
                }
            }
        }
        self.collect(seen, here, desired).await?;
        if desired.rollback.is_none() && !elsewhere.is_empty() {
            // The old target is left only once the new one works: if the new one fails, people can still use the
            // old one.
            withdraw(self.object, self.context, Some(self.target), WithdrawalPace::AfterHeirs).await?;
        }
        Ok(Some(delivered(self.arrived(here, desired))))
    }

    /// Reads how far the rollout has come, and remembers the failures of pods that were seen.
    async fn observe(
        &self,
        view: &TargetView<'_>,
        desired: DesiredRevision<'_>,
    ) -> Result<Rollout, StepError> {
        let patience = RolloutDeadline {
            limit: self.object.common().rollout_timeout.get(),
            failure: self.context.waits.failure,
            since: view.standing.applied_at,
            now: view.attempt.now,
            instant: Instant::now(),
        };
        let mut sightings = self.context.memory.sightings(self.object);
        let mut observer = Observer {
            client: &self.context.client,
            namespace: self.namespace,
            owner: &self.owner,
            patience,
            sightings: &mut sightings,
        };
        let rollout = observer.rollout(view.seen, desired.number).await?;
        self.context.memory.saw(self.object, sightings);
        Ok(rollout)
    }

    /// Goes back to an earlier revision if its values still work, and otherwise marks that revision as refused.
    async fn turn_back(
        &self,
        view: &TargetView<'_>,
        desired: DesiredRevision<'_>,
        to: u64,
        evidence: String,
        newest: Option<&Values>,
    ) -> Result<(), StepError> {
        let client = &self.context.client;
        let (Some(earlier), Some(values)) = (
            view.here.iter().find(|revision| revision.number == to),
            revisions::values(client, self.object, to).await?,
        ) else {
            // The revision was deleted since it was listed.
            return Ok(());
        };
        let checked = if self.contest.is_alone() {
            rollback::check(self.object, self.context, earlier, (&values, newest)).await?
        } else {
            // A revision with values of several resources is not checked: one resource whose server rejects its
            // values must not keep all of them from being rolled back.
            RollbackCheck::Unknown(
                "It has values of several resources, each of which is checked by itself.".to_owned(),
            )
        };
        let (revision, mark) = match checked {
            RollbackCheck::Refused(found) => (
                earlier,
                RevisionState::Refused { evidence: format!("Revision {to} does not work any more: {found}") },
            ),
            RollbackCheck::Works => desired.back(Some(to), evidence, &view.attempt),
            RollbackCheck::Unknown(why) => {
                let evidence = format!("{evidence} Whether revision {to} still works was not checked: {why}");
                desired.back(Some(to), evidence, &view.attempt)
            }
        };
        revisions::mark(self.context, self.object, revision, &mark).await?;
        Ok(())
    }

    /// Deletes the pods of failed revisions that keep a StatefulSet from continuing its rollout.
    async fn delete_stuck_pods(
        &self,
        view: &TargetView<'_>,
        desired: DesiredRevision<'_>,
    ) -> Result<(), StepError> {
        let stuck = never_worked(view.here, desired);
        if !stuck.is_empty() {
            workloads::delete_stuck_pods(
                &self.context.client,
                self.namespace,
                view.seen,
                &self.owner,
                &stuck,
            )
            .await?;
        }
        Ok(())
    }

    /// Deletes revisions that nothing refers to, beyond the number that is kept.
    async fn collect(
        &self,
        seen: &TargetSnapshot,
        here: &[Revision],
        desired: DesiredRevision<'_>,
    ) -> Result<(), StepError> {
        if here.len() <= KEPT {
            return Ok(());
        }
        let client = &self.context.client;
        let mut used = workloads::in_use(client, self.namespace, Some(seen), &self.owner).await?;
        used.extend(desired.number);
        used.extend(working_before(here, desired.newest));
        for revision in here.iter().rev().skip(KEPT).filter(|revision| !used.contains(&revision.number)) {
            revisions::delete(self.context, self.object, revision).await?;
        }
        Ok(())
    }
}

/// The field manager that pointed the entries to another revision.
fn mover(standing: &AppliedState) -> BTreeSet<String> {
    standing.moved.iter().map(|moved| moved.by.clone()).collect()
}

/// The revisions, apart from the desired one, with which pods were never seen to run.
fn never_worked(here: &[Revision], desired: DesiredRevision<'_>) -> BTreeSet<u64> {
    let is_proven = |mark: &RevisionState| {
        matches!(mark, RevisionState::RolledOut { .. } | RevisionState::Refused { .. })
    };
    let never_worked = here.iter().filter(|revision| !is_proven(&revision.mark));
    never_worked.map(|revision| revision.number).filter(|number| Some(*number) != desired.number).collect()
}
