//! One run of a delivery. Each step reads the target and the revisions, lets [`plan`] decide, and carries out one
//! write, after which the caller begins again.

use std::{collections::BTreeSet, time::Instant};

use jiff::Timestamp;

use super::{
    DeliverableValues, Delivered, Progress, WithdrawalPace,
    adoption::Checks,
    contest::Contest,
    error::DeliveryError,
    handover::{Handover, Occupied},
    messages,
    plan::{
        Attempt, DeliveryStep, DesiredRevision, DesiredValues, Judgement, next_number, plan,
        previous_of_next, proven_before, proven_below,
    },
    revisions::{self, Blueprint, Revision, RevisionCreation, RevisionSource, RevisionState},
    rollback::{self, RollbackCheck},
    withdraw,
};
use crate::{
    engine::{Contender, Context, Kind, Values, cache::Repair, finalizer::Finalizer, precedence::Claim},
    workloads::{
        self, AppliedState, ApplyResult, Change, Delivery, Owner, RolloutDeadline, Target, TargetSnapshot,
    },
};

/// How many revisions are kept for a target at least, so that people can go back to them.
const KEPT: usize = 3;

/// How often in one run the API server may report that the target was changed since it was read, before this is
/// an error.
pub(super) const STALE_LOOKS: usize = 3;

/// What every step of one delivery run shares.
pub(super) struct DeliveryRun<'a, K: Kind> {
    pub object: &'a K,
    pub context: &'a Context<K>,
    pub namespace: &'a str,
    pub target: &'a Target,
    pub owner: Owner,
    /// The resources that want to deliver to the same target, and this one among them.
    pub contest: Contest,
    /// The resources whose entries are replaced by ours, as of the last read of the target.
    pub displaced: Vec<Contender>,
    /// The resource that delivers at once if this one cannot, as of the last read of the target.
    pub successor: Option<Contender>,
    pub offer: DeliverableValues<'a>,
    /// Whether the checks have passed, so that entries of somebody else may be taken over now.
    pub checks: Checks,
    /// The inputs that a person changes to have a failed revision tried again.
    pub inputs: String,
    /// How often the API server has reported in this run that the target was changed since it was read.
    pub stale: usize,
    /// The time at the beginning of the run, in whole seconds of the API server's clock.
    pub now: Timestamp,
}

/// What a write did to the entries of the resource.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    /// The write changed no entry.
    Nothing,
    /// The entries were written for the first time with these inputs.
    First,
    /// The same entries had been written before, so somebody else had removed or changed them.
    Again,
}

/// What one read of the target and of the revisions showed.
pub(super) struct TargetView<'a> {
    pub seen: &'a TargetSnapshot,
    /// The revisions that were made for at least one object of this target.
    pub here: &'a [Revision],
    /// The revisions that were made for at least one object that is not part of this target.
    pub elsewhere: &'a [Revision],
    pub standing: &'a AppliedState,
    pub attempt: Attempt,
}

impl<K: Kind> DeliveryRun<'_, K> {
    /// Reads the target and takes one step. Returns the outcome once there is no step left to take.
    pub async fn step(
        &mut self,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, DeliveryError> {
        let client = &self.context.client;
        let Some(seen) = workloads::read(client, self.namespace, self.target).await?? else {
            return Ok(Some(Delivered::nothing(Progress::Failed(workloads::missing(self.target)))));
        };
        let watched = match self.compete(&seen) {
            Ok(watched) => watched,
            Err(state) => return Ok(Some(self.without_place(&seen, state))),
        };
        let delivered = self.advance(seen, used_numbers).await?;
        Ok(delivered.map(|delivered| Delivered { watched, ..delivered }))
    }

    /// Compares the resource with its competitors. Returns a sentence about a resource that waits for the same
    /// exclusive setting, if this one may deliver; otherwise the state to report.
    fn compete(&mut self, seen: &TargetSnapshot) -> Result<Option<String>, Progress> {
        let contest = self.contest.at(self.target, seen);
        let watched = match contest.claim() {
            Claim::Held => None,
            Claim::Watched(words) => Some(words),
            Claim::Waiting(words) => return Err(Progress::Waits(words)),
            Claim::Lost(problem) => return Err(Progress::Superseded(problem)),
        };
        let leader = contest.leader();
        if !leader.is(&contest.contender) {
            let (kind, name) = (&leader.kind, &leader.name);
            return Err(Progress::Progressing(format!(
                "The older {kind} \"{name}\" writes to {} for all of them from now on.",
                self.target
            )));
        }
        self.displaced = contest.displaced();
        self.successor = contest.successor(self.target);
        Ok(watched)
    }

    /// Decides one step, and takes it.
    async fn advance(
        &mut self,
        seen: TargetSnapshot,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, DeliveryError> {
        let client = &self.context.client;
        let all = revisions::list(self.context, self.object).await?;
        let standing = seen.standing(&self.owner);
        let unlisted =
            revisions::look_up(self.context, self.object, self.target, &standing.numbers, &all).await?;
        if !unlisted.foreign.is_empty() || !unlisted.mended.is_empty() {
            used_numbers.extend(&unlisted.foreign);
            self.owner = self.owner.clone().excluding(unlisted.foreign);
            return Ok(None);
        }
        used_numbers.extend(all.iter().map(|revision| revision.number));
        if !all.is_empty() {
            // Somebody may have removed the finalizer since the revisions were made.
            self.context.hold(self.object, Finalizer::Target).await?;
        }
        let elsewhere: Vec<_> =
            all.iter().filter(|revision| !revision.is_within(self.target)).cloned().collect();
        let here: Vec<_> = all.into_iter().filter(|revision| revision.shares_object(self.target)).collect();
        let held = match here.last() {
            Some(newest) => revisions::values(client, self.object, newest.number).await?,
            None => None,
        };
        let wanted = self.wanted(&here, held.as_ref(), &standing);
        let attempt = self.attempt(&standing);
        let nothing = || Delivered {
            environment: Some(seen.environment()),
            ..Delivered::nothing(Progress::NotPublished)
        };
        if self.would_displace_working_peer(&seen, &standing) {
            return Ok(Some(nothing()));
        }
        if self.would_displace_unchecked(&seen, &standing) {
            return Ok(Some(self.waits(&seen, &standing)));
        }
        match plan(&here, used_numbers, wanted, &standing, &attempt) {
            DeliveryStep::Nothing => Ok(Some(nothing())),
            DeliveryStep::Create(number) => self.create(&seen, &here, &standing, number, used_numbers).await,
            DeliveryStep::Mark(revision, mark) => {
                revisions::mark(self.context, self.object, revision, &mark).await?;
                Ok(None)
            }
            DeliveryStep::Stay(stranded) => Ok(Some(Delivered {
                state: self.stranded(stranded),
                revision: standing.numbers.last().copied(),
                ..nothing()
            })),
            DeliveryStep::Go(desired) => {
                let revision = here.iter().find(|revision| Some(revision.number) == desired.number);
                let seen = match revision.and_then(Revision::made_for) {
                    Some(target) => seen.reaching(&target),
                    None => seen,
                };
                let view = TargetView {
                    seen: &seen,
                    here: &here,
                    elsewhere: &elsewhere,
                    standing: &standing,
                    attempt,
                };
                self.roll_out(view, desired, held, used_numbers).await
            }
        }
    }

    fn wanted(&self, here: &[Revision], newest: Option<&Values>, standing: &AppliedState) -> DesiredValues {
        // An object that was added to the target has not been seen to work with the newest revision. It gets a
        // revision of its own, so that a failure there can be rolled back.
        let is_for_all = here.last().is_some_and(|newest| newest.covers(self.target));
        let is_lost = |number: &u64| here.iter().all(|revision| revision.number != *number);
        match self.offer {
            DeliverableValues::Current(values) if newest == Some(values) && is_for_all => {
                DesiredValues::Newest
            }
            DeliverableValues::Current(_) => DesiredValues::Other,
            // Held values are delivered only where the target refers to a revision that was deleted, or has none
            // yet.
            DeliverableValues::Held(values)
                if newest != Some(values) && (newest.is_none() || standing.numbers.iter().any(is_lost)) =>
            {
                DesiredValues::Other
            }
            DeliverableValues::Held(_) | DeliverableValues::Nothing => DesiredValues::NoChange,
        }
    }

    /// The API servers of one cluster may have different clocks: the time of an attempt is never earlier than the
    /// times that the target itself shows, so that a new revision state does not look older than the change it
    /// describes.
    fn attempt(&self, standing: &AppliedState) -> Attempt {
        let moved = standing.moved.as_ref().and_then(|moved| moved.at);
        let seen = standing.applied_at.into_iter().chain(moved);
        let now = seen.fold(self.context.cluster.seconds().max(self.now), Timestamp::max);
        Attempt { inputs: self.inputs.clone(), now }
    }

    /// Whether values that are not verified would replace a competitor's values that work.
    fn would_displace_working_peer(&self, seen: &TargetSnapshot, standing: &AppliedState) -> bool {
        !matches!(self.offer, DeliverableValues::Current(_))
            && self.displaced(seen, standing).next().is_some()
    }

    /// Whether values that did not pass their checks in this run would replace a competitor's values that work
    /// and would otherwise stay. Checks that passed some time ago are not enough, because a password may have
    /// been changed since. The entries of a resource that is being removed are replaced at once.
    fn would_displace_unchecked(&self, seen: &TargetSnapshot, standing: &AppliedState) -> bool {
        self.checks != Checks::Fresh && self.displaced(seen, standing).any(|rival| !rival.is_leaving())
    }

    /// The competitors whose entries work and would be replaced. There are none once the resource has entries of
    /// its own.
    fn displaced<'b>(
        &'b self,
        seen: &'b TargetSnapshot,
        standing: &AppliedState,
    ) -> impl Iterator<Item = &'b Contender> {
        let rivals = if standing.numbers.is_empty() { self.displaced.as_slice() } else { &[] };
        rivals.iter().filter(|rival| !rival.has_failed() && !seen.standing(&rival.owner).numbers.is_empty())
    }

    pub(super) fn displaced_owners(&self) -> Vec<Owner> {
        self.displaced.iter().map(|rival| rival.owner.clone()).collect()
    }

    async fn create(
        &self,
        seen: &TargetSnapshot,
        here: &[Revision],
        standing: &AppliedState,
        number: u64,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, DeliveryError> {
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
                self.unkept(present, standing, proven_below(here, number)).await?
            }
        };
        self.context.hold(self.object, Finalizer::Target).await?;
        let (values, source) = match &present {
            Some(present) => (present, RevisionSource::Target),
            None => (values, RevisionSource::Resource),
        };
        let previous = previous_of_next(here, number, standing);
        self.make(Blueprint { number, target: self.target, values, source, previous }, used_numbers).await?;
        Ok(None)
    }

    /// Creates a revision. If another Secret has its name, the number is recorded as used.
    async fn make(
        &self,
        blueprint: Blueprint<'_>,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<(), DeliveryError> {
        let number = blueprint.number;
        let created = revisions::create(self.context, self.object, blueprint, self.now).await?;
        if created == RevisionCreation::Taken {
            used_numbers.insert(number);
        }
        Ok(())
    }

    /// Brings the target to the desired revision. Returns the outcome once the target is there.
    async fn roll_out(
        &mut self,
        view: TargetView<'_>,
        desired: DesiredRevision<'_>,
        newest: Option<Values>,
        used_numbers: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, DeliveryError> {
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
        self.context.hold(self.object, Finalizer::Target).await?;
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
            None => proven_before(here, desired.newest),
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
            let patience = RolloutDeadline {
                limit: self.object.common().rollout_timeout.get(),
                failure: self.context.waits.failure,
                since: standing.applied_at,
                now: attempt.now,
                instant: Instant::now(),
            };
            let watched = (&self.owner, desired.number);
            let mut sightings = self.context.memory.sightings(self.object);
            let rollout =
                workloads::rollout(client, self.namespace, seen, watched, patience, &mut sightings).await??;
            self.context.memory.saw(self.object, sightings);
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
            withdraw(self.object, self.context, Some(self.target), WithdrawalPace::AfterHeirs).await??;
        }
        Ok(Some(delivered(self.arrived(here, desired))))
    }

    /// Goes back to an earlier revision if its values still work, and otherwise marks that revision as refused.
    async fn turn_back(
        &self,
        view: &TargetView<'_>,
        desired: DesiredRevision<'_>,
        to: u64,
        evidence: String,
        newest: Option<&Values>,
    ) -> Result<(), DeliveryError> {
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
    ) -> Result<(), DeliveryError> {
        let stuck = unproven(view.here, desired);
        if !stuck.is_empty() {
            workloads::delete_stuck_pods(
                &self.context.client,
                self.namespace,
                view.seen,
                &self.owner,
                &stuck,
            )
            .await??;
        }
        Ok(())
    }

    /// Changes the target. Returns a problem if somebody else keeps undoing that change.
    async fn write(
        &mut self,
        seen: &TargetSnapshot,
        change: &Change,
        number: Option<u64>,
        repair: Repair,
        by: &BTreeSet<String>,
    ) -> Result<Wrote, DeliveryError> {
        // The identity of the objects is part of the attempt: an object that was deleted and created again has no
        // entries, and that is not a conflict with another field manager.
        let attempt = (number, format!("{} objects={}", self.inputs, seen.uids().join(",")));
        let memory = &self.context.memory;
        // A change that only claims ownership of fields finds the entries in place, so it repairs nothing.
        let is_repair = !change.is_claim();
        if is_repair && !memory.may_deliver(self.object, &attempt, repair, Instant::now()) {
            return Err(self.field_conflict(repair, by).into());
        }
        let made = workloads::apply_change(&self.context.client, self.namespace, seen, &self.owner, change)
            .await??;
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
    fn tell_of_repair(
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
    async fn take_over(&self, seen: &TargetSnapshot) -> Result<bool, DeliveryError> {
        for Contender { owner, .. } in &self.displaced {
            if let Some(change) = seen.change(owner, None, &[])? {
                workloads::apply_change(&self.context.client, self.namespace, seen, owner, &change).await??;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes revisions that nothing refers to, beyond the number that is kept.
    async fn collect(
        &self,
        seen: &TargetSnapshot,
        here: &[Revision],
        desired: DesiredRevision<'_>,
    ) -> Result<(), DeliveryError> {
        if here.len() <= KEPT {
            return Ok(());
        }
        let client = &self.context.client;
        let mut used = workloads::in_use(client, self.namespace, Some(seen), &self.owner).await??;
        used.extend(desired.number);
        used.extend(proven_before(here, desired.newest));
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
fn unproven(here: &[Revision], desired: DesiredRevision<'_>) -> BTreeSet<u64> {
    let is_proven = |mark: &RevisionState| {
        matches!(mark, RevisionState::RolledOut { .. } | RevisionState::Refused { .. })
    };
    let unproven = here.iter().filter(|revision| !is_proven(&revision.mark));
    unproven.map(|revision| revision.number).filter(|number| Some(*number) != desired.number).collect()
}

fn delivery<K: Kind>(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: K::ENVIRONMENT, values }
}
