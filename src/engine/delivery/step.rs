//! One run of a delivery: look, decide, take one step.

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

/// Revisions that are kept for a target, as people may go back to them.
const KEPT: usize = 3;

/// How often in one run a target may be another one than the one that was seen.
pub(super) const STALE_LOOKS: usize = 3;

/// What every step of one run shares.
pub(super) struct DeliveryRun<'a, K: Kind> {
    pub object: &'a K,
    pub context: &'a Context<K>,
    pub namespace: &'a str,
    pub target: &'a Target,
    pub owner: Owner,
    /// Who else wants the same.
    pub contest: Contest,
    /// Whose entries give way, as the last look shows it.
    pub displaced: Vec<Contender>,
    /// Who has the place at once if this resource cannot use it, as the last look shows it.
    pub successor: Option<Contender>,
    pub offer: DeliverableValues<'a>,
    /// Whether entries of somebody else may be taken over now.
    pub checks: Checks,
    /// What a person changes to have something tried again.
    pub inputs: String,
    /// How often the target was another one than the one that was seen.
    pub stale: usize,
    /// The time at its beginning.
    pub now: Timestamp,
}

/// What a write did to the entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    /// They are as they were.
    Nothing,
    /// They are in place, as they were not before.
    First,
    /// They are in place again.
    Again,
}

/// What one look showed.
pub(super) struct TargetView<'a> {
    pub seen: &'a TargetSnapshot,
    /// The revisions that were made for objects of this target.
    pub here: &'a [Revision],
    /// Those that were made for others, too, or only for others.
    pub elsewhere: &'a [Revision],
    pub standing: &'a AppliedState,
    pub attempt: Attempt,
}

impl<K: Kind> DeliveryRun<'_, K> {
    /// Looks, and takes one step; what there is to say once there is none to take.
    pub async fn step(&mut self, taken: &mut BTreeSet<u64>) -> Result<Option<Delivered>, DeliveryError> {
        let client = &self.context.client;
        let Some(seen) = workloads::read(client, self.namespace, self.target).await?? else {
            return Ok(Some(Delivered::nothing(Progress::Failed(workloads::missing(self.target)))));
        };
        let watched = match self.compete(&seen) {
            Ok(watched) => watched,
            Err(state) => return Ok(Some(self.without_place(&seen, state))),
        };
        let delivered = self.advance(seen, taken).await?;
        Ok(delivered.map(|delivered| Delivered { watched, ..delivered }))
    }

    /// Who waits for the place of the resource, if it has one here; what there is to say otherwise.
    fn compete(&mut self, seen: &TargetSnapshot) -> Result<Option<String>, Progress> {
        let contest = self.contest.at(self.target, seen);
        let watched = match contest.claim() {
            Claim::Held => None,
            Claim::Watched(words) => Some(words),
            Claim::Waiting(words) => return Err(Progress::Waits(words)),
            Claim::Lost(problem) => return Err(Progress::Superseded(problem)),
        };
        let leader = contest.leader();
        if !leader.is(&contest.claimant) {
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
        taken: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, DeliveryError> {
        let client = &self.context.client;
        let all = revisions::list(client, self.object).await?;
        let standing = seen.standing(&self.owner);
        let unlisted = revisions::look_up(client, self.object, self.target, &standing.numbers, &all).await?;
        if !unlisted.foreign.is_empty() || !unlisted.mended.is_empty() {
            taken.extend(&unlisted.foreign);
            self.owner = self.owner.clone().excluding(unlisted.foreign);
            return Ok(None);
        }
        taken.extend(all.iter().map(|revision| revision.number));
        if !all.is_empty() {
            // Somebody may have taken it away.
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
        match plan(&here, taken, wanted, &standing, &attempt) {
            DeliveryStep::Nothing => Ok(Some(nothing())),
            DeliveryStep::Create(number) => self.create(&seen, &here, &standing, number, taken).await,
            DeliveryStep::Mark(revision, mark) => {
                revisions::mark(client, self.object, revision, &mark).await?;
                Ok(None)
            }
            DeliveryStep::Stay(stranded) => Ok(Some(Delivered {
                state: self.stranded(stranded),
                revision: standing.numbers.last().copied(),
                ..nothing()
            })),
            DeliveryStep::Go(course) => {
                let revision = here.iter().find(|revision| Some(revision.number) == course.number);
                let seen = match revision.and_then(Revision::made_for) {
                    Some(target) => seen.reaching(&target),
                    None => seen,
                };
                let scene = TargetView {
                    seen: &seen,
                    here: &here,
                    elsewhere: &elsewhere,
                    standing: &standing,
                    attempt,
                };
                self.roll_out(scene, course, held, taken).await
            }
        }
    }

    fn wanted(&self, here: &[Revision], newest: Option<&Values>, standing: &AppliedState) -> DesiredValues {
        // What an object gets that is new in the target was not seen to work there: a revision of its own can
        // be gone back from.
        let is_for_all = here.last().is_some_and(|newest| newest.covers(self.target));
        let is_lost = |number: &u64| here.iter().all(|revision| revision.number != *number);
        match self.offer {
            DeliverableValues::Current(values) if newest == Some(values) && is_for_all => {
                DesiredValues::Newest
            }
            DeliverableValues::Current(_) => DesiredValues::Other,
            // What the target refers to is gone, or it never had anything.
            DeliverableValues::Held(values)
                if newest != Some(values) && (newest.is_none() || standing.numbers.iter().any(is_lost)) =>
            {
                DesiredValues::Other
            }
            DeliverableValues::Held(_) | DeliverableValues::Nothing => DesiredValues::NoChange,
        }
    }

    /// API servers of one cluster may differ, and what is marked now must not seem older than what they tell.
    fn attempt(&self, standing: &AppliedState) -> Attempt {
        let moved = standing.moved.as_ref().and_then(|moved| moved.at);
        let seen = standing.applied_at.into_iter().chain(moved);
        let now = seen.fold(self.context.cluster.seconds().max(self.now), Timestamp::max);
        Attempt { inputs: self.inputs.clone(), now }
    }

    /// Whether values that are not verified would take the place of a rival's that work.
    fn would_displace_working_peer(&self, seen: &TargetSnapshot, standing: &AppliedState) -> bool {
        !matches!(self.offer, DeliverableValues::Current(_))
            && self.displaced(seen, standing).next().is_some()
    }

    /// Whether values that did not pass just now would take the place of a rival's that work and would stay: what was
    /// proven some time ago may have ended since. Entries that go anyway are replaced at once.
    fn would_displace_unchecked(&self, seen: &TargetSnapshot, standing: &AppliedState) -> bool {
        self.checks != Checks::Fresh && self.displaced(seen, standing).any(|rival| !rival.is_leaving())
    }

    /// The rivals whose entries work, and which would lose them where the resource has none yet.
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
        taken: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, DeliveryError> {
        let (DeliverableValues::Current(values) | DeliverableValues::Held(values)) = self.offer else {
            return Ok(None);
        };
        let delivery = delivery::<K>(number, values);
        let present = match self.occupied(seen, &delivery).await? {
            // What would not be taken needs no revision.
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
        self.make(Blueprint { number, target: self.target, values, source, previous }, taken).await?;
        Ok(None)
    }

    /// Makes a revision.
    async fn make(&self, blueprint: Blueprint<'_>, taken: &mut BTreeSet<u64>) -> Result<(), DeliveryError> {
        let number = blueprint.number;
        let client = &self.context.client;
        if revisions::create(client, self.object, blueprint, self.now).await? == RevisionCreation::Taken {
            taken.insert(number);
        }
        Ok(())
    }

    /// Brings the target to the course; what there is to say once it is there.
    async fn roll_out(
        &mut self,
        scene: TargetView<'_>,
        course: DesiredRevision<'_>,
        newest: Option<Values>,
        taken: &mut BTreeSet<u64>,
    ) -> Result<Option<Delivered>, DeliveryError> {
        let client = &self.context.client;
        let TargetView { seen, here, elsewhere, standing, ref attempt } = scene;
        let values = match course.number {
            Some(number) if here.last().is_some_and(|newest| newest.number == number) => newest,
            Some(number) => revisions::values(client, self.object, number).await?,
            None => None,
        };
        if course.number.is_some() && values.is_none() {
            // It went since it was listed.
            return Ok(None);
        }
        if let (None, Some(successor)) = (course.number, &self.successor) {
            return Ok(Some(self.displaced_by(seen, course, successor)));
        }
        let delivery =
            course.number.zip(values.as_ref()).map(|(number, values)| delivery::<K>(number, values));
        self.context.hold(self.object, Finalizer::Target).await?;
        let (change, repair, by) = match self.way(&scene, course, delivery.as_ref()).await? {
            Handover::Waits => return Ok(Some(self.waits(seen, standing))),
            Handover::Keep(present) => {
                // It becomes the newest revision, and the values to deliver another one after it.
                let number = next_number(here, taken, standing);
                let previous = previous_of_next(here, number, standing);
                let (values, source) = (&present, RevisionSource::Target);
                self.make(Blueprint { number, target: self.target, values, source, previous }, taken).await?;
                return Ok(None);
            }
            Handover::Change(change) => (change, Repair::Missing, mover(standing)),
            Handover::TakeOver(change, managers) => (change, Repair::Replaced, managers),
        };
        if let Some(change) = change {
            let wrote = self.write(seen, &change, course.number, repair, &by).await?;
            self.tell_of_repair(wrote, course, standing, &by);
            return Ok(None);
        }
        if course.rollback.is_none() && self.take_over(seen).await? {
            return Ok(None);
        }
        let previous = match course.rollback {
            Some(_) => course.number,
            None => proven_before(here, course.newest),
        };
        let delivered = |state| Delivered {
            state,
            revision: course.number,
            previous,
            environment: Some(seen.environment()),
            watched: None,
        };
        if let Some(undone) = standing.undone.as_ref().filter(|_| course.was_there()) {
            match seen.repair(&self.owner, undone)? {
                // The W&B operator was asked for it already.
                None => return Ok(Some(delivered(Progress::Progressing(messages::being_repaired(undone))))),
                Some(change) if course.is_over(standing) => {
                    let by = BTreeSet::from([undone.by.by.clone()]);
                    let wrote = self.write(seen, &change, course.number, Repair::Missing, &by).await?;
                    self.tell_of_repair(wrote, course, standing, &by);
                    return Ok(None);
                }
                // What was written is on its way, which makes everything like it again.
                Some(_) => {}
            }
        }
        if !course.is_over(standing) {
            let patience = RolloutDeadline {
                limit: self.object.common().rollout_timeout.get(),
                failure: self.context.waits.failure,
                since: standing.applied_at,
                now: attempt.now,
                instant: Instant::now(),
            };
            let watched = (&self.owner, course.number);
            let mut sightings = self.context.memory.sightings(self.object);
            let rollout =
                workloads::rollout(client, self.namespace, seen, watched, patience, &mut sightings).await??;
            self.context.memory.saw(self.object, sightings);
            match course.judge(rollout, here, attempt) {
                Judgement::Mark(revision, mark) => {
                    revisions::mark(client, self.object, revision, &mark).await?;
                    return Ok(None);
                }
                Judgement::Return { to, evidence } => {
                    self.turn_back(&scene, course, to, evidence, values.as_ref()).await?;
                    return Ok(None);
                }
                Judgement::Underway(seen_of_it) => {
                    self.delete_stuck_pods(&scene, course).await?;
                    let told = messages::underway(course, here, seen_of_it);
                    return Ok(Some(delivered(Progress::Progressing(told))));
                }
                Judgement::Stay(stay) => {
                    self.delete_stuck_pods(&scene, course).await?;
                    return Ok(Some(delivered(self.stays(course, stay))));
                }
            }
        }
        self.collect(seen, here, course).await?;
        if course.rollback.is_none() && !elsewhere.is_empty() {
            // Where the new target failed, people still have the old one.
            withdraw(self.object, self.context, Some(self.target), WithdrawalPace::AfterHeirs).await??;
        }
        Ok(Some(delivered(self.arrived(here, course))))
    }

    /// Goes back to an earlier revision where its values still work, and marks it where they do not.
    async fn turn_back(
        &self,
        scene: &TargetView<'_>,
        course: DesiredRevision<'_>,
        to: u64,
        evidence: String,
        newest: Option<&Values>,
    ) -> Result<(), DeliveryError> {
        let client = &self.context.client;
        let (Some(earlier), Some(values)) = (
            scene.here.iter().find(|revision| revision.number == to),
            revisions::values(client, self.object, to).await?,
        ) else {
            // It went since it was listed.
            return Ok(());
        };
        let checked = if self.contest.is_alone() {
            rollback::check(self.object, self.context, earlier, (&values, newest)).await?
        } else {
            // What is wrong at the other side of one of them must not keep all of them from working again.
            RollbackCheck::Unknown(
                "It has values of several resources, each of which is checked by itself.".to_owned(),
            )
        };
        let (revision, mark) = match checked {
            RollbackCheck::Refused(found) => (
                earlier,
                RevisionState::Refused { evidence: format!("Revision {to} does not work any more: {found}") },
            ),
            RollbackCheck::Works => course.back(Some(to), evidence, &scene.attempt),
            RollbackCheck::Unknown(why) => {
                let evidence = format!("{evidence} Whether revision {to} still works was not checked: {why}");
                course.back(Some(to), evidence, &scene.attempt)
            }
        };
        revisions::mark(client, self.object, revision, &mark).await?;
        Ok(())
    }

    /// Deletes the pods that keep a StatefulSet from going on.
    async fn delete_stuck_pods(
        &self,
        scene: &TargetView<'_>,
        course: DesiredRevision<'_>,
    ) -> Result<(), DeliveryError> {
        let stuck = unproven(scene.here, course);
        if !stuck.is_empty() {
            workloads::delete_stuck_pods(
                &self.context.client,
                self.namespace,
                scene.seen,
                &self.owner,
                &stuck,
            )
            .await??;
        }
        Ok(())
    }

    /// Changes the target, unless somebody else keeps undoing that.
    async fn write(
        &mut self,
        seen: &TargetSnapshot,
        change: &Change,
        number: Option<u64>,
        repair: Repair,
        by: &BTreeSet<String>,
    ) -> Result<Wrote, DeliveryError> {
        // An object that was deleted and made again has nobody's entries: that is no tug-of-war.
        let attempt = (number, format!("{} objects={}", self.inputs, seen.uids().join(",")));
        let memory = &self.context.memory;
        // What is only claimed is there already.
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

    /// Tells of entries that were in place before, and that somebody else had taken away or changed.
    fn tell_of_repair(
        &self,
        wrote: Wrote,
        course: DesiredRevision<'_>,
        standing: &AppliedState,
        by: &BTreeSet<String>,
    ) {
        let were_there = course.was_there() || standing.moved.is_some();
        if wrote == Wrote::Again || wrote == Wrote::First && were_there {
            self.context.publish_event(self.object, &self.repaired(by));
        }
    }

    /// Takes out what is left of those that gave way, once our own entries are in; tells whether anything was.
    async fn take_over(&self, seen: &TargetSnapshot) -> Result<bool, DeliveryError> {
        for Contender { owner, .. } in &self.displaced {
            if let Some(change) = seen.change(owner, None, &[])? {
                workloads::apply_change(&self.context.client, self.namespace, seen, owner, &change).await??;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes old revisions that nobody refers to, beyond those that are kept.
    async fn collect(
        &self,
        seen: &TargetSnapshot,
        here: &[Revision],
        course: DesiredRevision<'_>,
    ) -> Result<(), DeliveryError> {
        if here.len() <= KEPT {
            return Ok(());
        }
        let client = &self.context.client;
        let mut used = workloads::in_use(client, self.namespace, Some(seen), &self.owner).await??;
        used.extend(course.number);
        used.extend(proven_before(here, course.newest));
        for revision in here.iter().rev().skip(KEPT).filter(|revision| !used.contains(&revision.number)) {
            revisions::delete(client, self.object, revision).await?;
        }
        Ok(())
    }
}

/// Who pointed the entries elsewhere.
fn mover(standing: &AppliedState) -> BTreeSet<String> {
    standing.moved.iter().map(|moved| moved.by.clone()).collect()
}

/// The revisions beside that of the course that pods were not seen to run with.
fn unproven(here: &[Revision], course: DesiredRevision<'_>) -> BTreeSet<u64> {
    let is_proven = |mark: &RevisionState| {
        matches!(mark, RevisionState::RolledOut { .. } | RevisionState::Refused { .. })
    };
    let unproven = here.iter().filter(|revision| !is_proven(&revision.mark));
    unproven.map(|revision| revision.number).filter(|number| Some(*number) != course.number).collect()
}

fn delivery<K: Kind>(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: K::ENVIRONMENT, values }
}
