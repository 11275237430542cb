//! One run of a delivery. Each step reads the target and the revisions, lets [`plan`] decide, and carries out one
//! write, after which the caller begins again.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    DeliverableValues, Delivered, Progress,
    adoption::Checks,
    contest::Contest,
    plan::{Attempt, DeliveryStep, DesiredValues, plan},
    revisions::{self, Revision},
};
use crate::{
    engine::{Contender, Context, Kind, Values, finalizer::Finalizer, precedence::Claim},
    error::StepError,
    workloads::{self, AppliedState, Delivery, Owner, Target, TargetSnapshot},
};

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
    pub async fn step(&mut self, used_numbers: &mut BTreeSet<u64>) -> Result<Option<Delivered>, StepError> {
        let client = &self.context.client;
        let Some(seen) = workloads::read(client, self.namespace, self.target).await? else {
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
    ) -> Result<Option<Delivered>, StepError> {
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
            self.context.add_finalizer(self.object, Finalizer::Target).await?;
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
}

pub(super) fn delivery<K: Kind>(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: K::ENVIRONMENT, values }
}
