//! One run of a delivery: look, decide, take one step.

use std::{collections::BTreeSet, time::Instant};

use jiff::Timestamp;

use super::{
    Delivered, Offer, Progress,
    aim::{Attempt, Course, Judgement, Step, Wanted, aim, proven_before},
    obstacle::Obstacle,
    revisions::{self, Creation, Mark, Revision, WayBack},
    withdraw,
};
use crate::{
    api::{RECHECK_ANNOTATION, Reason},
    engine::{Claimant, Context, Kind, Values, release::Finalizer},
    problem::{Problem, enumerate, quote},
    sensitive::{Redactor, Sensitive},
    target::{self, Change, Delivery, Made, Owner, Patience, Seen, Standing, Target, Undone},
};

/// Shorter values are switches such as `true` and `pkce`.
const SHORTEST_SECRET: usize = 6;

/// Revisions that are kept for a target, as people may go back to them.
const KEPT: usize = 3;

/// What every step of one run shares.
pub(super) struct Round<'a, K: Kind> {
    pub object: &'a K,
    pub context: &'a Context<K>,
    pub namespace: &'a str,
    pub target: &'a Target,
    pub owner: Owner,
    /// Whose entries give way.
    pub yielding: Vec<&'a Claimant>,
    /// Who has the place at once if this resource cannot use it.
    pub successor: Option<&'a Claimant>,
    pub offer: Offer<'a>,
    /// What a person changes to have something tried again.
    pub inputs: String,
}

/// What one look showed.
struct Scene<'a> {
    seen: &'a Seen,
    /// The revisions for this target.
    here: &'a [Revision],
    /// Those for others.
    elsewhere: &'a [Revision],
    standing: &'a Standing,
    attempt: Attempt,
}

impl<K: Kind> Round<'_, K> {
    /// Looks, and takes one step; what there is to say once there is none to take.
    pub async fn step(&mut self, taken: &mut BTreeSet<u64>) -> Result<Option<Delivered>, Obstacle> {
        let client = &self.context.client;
        let Some(seen) = target::read(client, self.namespace, self.target).await?? else {
            let problem = self.missing();
            return Ok(Some(Delivered::nothing(Progress::Failed(problem))));
        };
        let all = revisions::list(client, self.object).await?;
        let standing = seen.standing(&self.owner);
        let foreign = revisions::foreign(client, self.object, &standing.numbers, &all).await?;
        if !foreign.is_empty() {
            taken.extend(&foreign);
            self.owner = self.owner.clone().excluding(foreign);
            return Ok(None);
        }
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|revision| revision.target == self.target.to_string());
        taken.extend(elsewhere.iter().map(|revision| revision.number));
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
        if self.would_displace_for_nothing(&seen, &standing) {
            return Ok(Some(nothing()));
        }
        match aim(&here, taken, wanted, &standing, &attempt) {
            Step::Nothing => Ok(Some(nothing())),
            Step::Create(number) => {
                self.create(&seen, number, taken).await?;
                Ok(None)
            }
            Step::Mark(revision, mark) => {
                revisions::mark(client, self.object, revision, &mark).await?;
                Ok(None)
            }
            Step::Go(course) => {
                let scene =
                    Scene { seen: &seen, here: &here, elsewhere: &elsewhere, standing: &standing, attempt };
                self.go(scene, course, held).await
            }
        }
    }

    fn wanted(&self, here: &[Revision], newest: Option<&Values>, standing: &Standing) -> Wanted {
        let is_lost = |number: &u64| here.iter().all(|revision| revision.number != *number);
        match self.offer {
            Offer::Current(values) if newest == Some(values) => Wanted::Newest,
            Offer::Current(_) => Wanted::Other,
            // What the target refers to is gone, or it never had anything.
            Offer::Held(values)
                if newest != Some(values) && (newest.is_none() || standing.numbers.iter().any(is_lost)) =>
            {
                Wanted::Other
            }
            Offer::Held(_) | Offer::Nothing => Wanted::Kept,
        }
    }

    /// The API server's clock may be ahead, and what is marked now must not seem older than what it tells.
    fn attempt(&self, standing: &Standing) -> Attempt {
        let moved = standing.moved.as_ref().and_then(|moved| moved.at);
        let seen = standing.applied_at.into_iter().chain(moved);
        let now = seen.fold(crate::engine::reconcile::now(), Timestamp::max);
        Attempt { inputs: self.inputs.clone(), now }
    }

    /// Whether values that are not verified would take the place of a rival's that work.
    fn would_displace_for_nothing(&self, seen: &Seen, standing: &Standing) -> bool {
        let works =
            |rival: &&Claimant| !rival.has_failed() && !seen.standing(&rival.owner).numbers.is_empty();
        !matches!(self.offer, Offer::Current(_))
            && standing.numbers.is_empty()
            && self.yielding.iter().any(works)
    }

    fn yielding_owners(&self) -> Vec<Owner> {
        self.yielding.iter().map(|rival| rival.owner.clone()).collect()
    }

    async fn create(&self, seen: &Seen, number: u64, taken: &mut BTreeSet<u64>) -> Result<(), Obstacle> {
        let (Offer::Current(values) | Offer::Held(values)) = self.offer else { return Ok(()) };
        // What would not be taken needs no revision.
        seen.change(&self.owner, Some(&delivery::<K>(number, values)), &self.yielding_owners())?;
        self.context.hold(self.object, Finalizer::Target).await?;
        let made = revisions::create(&self.context.client, self.object, number, self.target, values).await?;
        if made == Creation::Taken {
            taken.insert(number);
        }
        Ok(())
    }

    /// Brings the target to the course; what there is to say once it is there.
    async fn go(
        &self,
        scene: Scene<'_>,
        course: Course<'_>,
        newest: Option<Values>,
    ) -> Result<Option<Delivered>, Obstacle> {
        let client = &self.context.client;
        let Scene { seen, here, elsewhere, standing, attempt } = scene;
        let values = match course.number {
            Some(number) if number == course.newest.number => newest,
            Some(number) => revisions::values(client, self.object, number).await?,
            None => None,
        };
        if course.number.is_some() && values.is_none() {
            // It went since it was listed.
            return Ok(None);
        }
        if let (None, Some(successor)) = (course.number, self.successor) {
            return Ok(Some(self.given_way(seen, course, successor)));
        }
        let delivery =
            course.number.zip(values.as_ref()).map(|(number, values)| delivery::<K>(number, values));
        self.context.hold(self.object, Finalizer::Target).await?;
        if let Some(change) = seen.change(&self.owner, delivery.as_ref(), &self.yielding_owners())? {
            self.write(seen, &change, course.number).await?;
            return Ok(None);
        }
        if course.way_back.is_none() && self.take_over(seen).await? {
            return Ok(None);
        }
        let previous = match course.way_back {
            Some(_) => course.number,
            None => proven_before(here, course.newest),
        };
        let delivered = |state| Delivered {
            state,
            revision: course.number,
            previous,
            environment: Some(seen.environment()),
        };
        if let Some(undone) = standing.undone.as_ref().filter(|_| course.was_there()) {
            match seen.repair(&self.owner, undone)? {
                // The W&B operator was asked for it already.
                None => return Ok(Some(delivered(Progress::Progressing(being_repaired(undone))))),
                Some(change) if course.is_over(standing) => {
                    self.write(seen, &change, course.number).await?;
                    return Ok(None);
                }
                // What was written is on its way, which makes everything like it again.
                Some(_) => {}
            }
        }
        if !course.is_over(standing) {
            let patience = Patience {
                limit: self.object.common().rollout_timeout.get(),
                since: standing.applied_at,
                now: attempt.now,
            };
            let rollout =
                target::rollout(client, self.namespace, seen, &self.owner, course.number, patience).await??;
            match course.judge(rollout, here, &attempt) {
                Judgement::Mark(revision, mark) => {
                    let mark = self.scrubbed(mark, values.as_ref());
                    revisions::mark(client, self.object, revision, &mark).await?;
                    return Ok(None);
                }
                Judgement::Underway(seen_of_it) => {
                    let stuck = unproven(here, course);
                    if !stuck.is_empty() {
                        target::unblock(client, self.namespace, seen, &self.owner, &stuck).await??;
                    }
                    let text = self.redactor(values.as_ref()).redact(seen_of_it);
                    return Ok(Some(delivered(Progress::Progressing(text))));
                }
            }
        }
        self.collect(seen, here, course).await?;
        if course.way_back.is_none() && !elsewhere.is_empty() {
            // Where the new target failed, people still have the old one.
            withdraw(self.object, self.context, Some(self.target)).await??;
        }
        Ok(Some(delivered(self.arrived(course))))
    }

    /// The entries stay for the successor, which takes them over in one step: no pod starts without any.
    fn given_way(&self, seen: &Seen, course: Course<'_>, successor: &Claimant) -> Delivered {
        let evidence = course.way_back.map_or("", |way_back| way_back.evidence.as_str());
        let state = Progress::RolledBack(format!(
            "Revision {} did not work in the pods of {}, so this resource gives way to {} until the spec, an input or the annotation {RECHECK_ANNOTATION} changes. {evidence}",
            course.newest.number, self.target, successor.owner.title
        ));
        Delivered { environment: Some(seen.environment()), ..Delivered::nothing(state) }
    }

    /// What `RolledOut` says once pods run with the course.
    fn arrived(&self, course: Course<'_>) -> Progress {
        let target = self.target;
        let Some(way_back) = course.way_back else {
            let number = course.newest.number;
            return Progress::RolledOut(format!("The pods of {target} run with revision {number}."));
        };
        let place = course.number.map_or_else(
            || "is without the entries, as before".to_owned(),
            |number| format!("went back to revision {number}"),
        );
        Progress::RolledBack(format!(
            "{target} {place}, and revision {} is not tried again until the spec, an input or the annotation {RECHECK_ANNOTATION} changes. {}",
            course.newest.number, way_back.evidence
        ))
    }

    /// Changes the target, unless somebody else keeps undoing that.
    async fn write(&self, seen: &Seen, change: &Change, number: Option<u64>) -> Result<(), Obstacle> {
        let attempt = (number, self.inputs.clone());
        let memory = &self.context.memory;
        if !memory.may_deliver(self.object, &attempt, Instant::now()) {
            return Err(self.tug_of_war(seen).into());
        }
        let made = target::make(&self.context.client, self.namespace, seen, &self.owner, change).await??;
        if made == Made::Changed {
            memory.delivered(self.object, attempt, Instant::now());
        }
        Ok(())
    }

    /// Takes out what is left of those that gave way, once our own entries are in; tells whether anything was.
    async fn take_over(&self, seen: &Seen) -> Result<bool, Obstacle> {
        for Claimant { owner, .. } in &self.yielding {
            if let Some(change) = seen.change(owner, None, &[])? {
                target::make(&self.context.client, self.namespace, seen, owner, &change).await??;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes old revisions that nobody refers to, beyond those that are kept.
    async fn collect(&self, seen: &Seen, here: &[Revision], course: Course<'_>) -> Result<(), Obstacle> {
        if here.len() <= KEPT {
            return Ok(());
        }
        let client = &self.context.client;
        let mut used = target::in_use(client, self.namespace, seen, &self.owner).await??;
        used.extend(course.number);
        used.extend(proven_before(here, course.newest));
        for revision in here.iter().rev().skip(KEPT).filter(|revision| !used.contains(&revision.number)) {
            revisions::delete(client, self.object, revision).await?;
        }
        Ok(())
    }

    /// What a container said may repeat what it was given.
    fn scrubbed(&self, mark: Mark, values: Option<&Values>) -> Mark {
        match mark {
            Mark::RolledBack(way_back) => {
                let evidence = self.redactor(values).redact(way_back.evidence);
                Mark::RolledBack(WayBack { evidence, ..way_back })
            }
            mark => mark,
        }
    }

    /// Takes out every value that the spec does not show anyway.
    fn redactor(&self, values: Option<&Values>) -> Redactor {
        let spec = serde_json::to_string(self.object.spec()).unwrap_or_default();
        let values = values.into_iter().flat_map(Values::iter).map(|(_, value)| value);
        let is_public =
            |value: &&Sensitive| value.expose().len() < SHORTEST_SECRET || spec.contains(value.expose());
        Redactor::new(values.filter(|value| !is_public(value)).cloned())
    }

    fn missing(&self) -> Problem {
        let (kind, name) = (self.target.kind(), self.target.name());
        Problem::new(
            Reason::TargetNotFound,
            format!("There is no {kind} \"{name}\" in this namespace. Create it, or correct spec.target."),
        )
    }

    fn tug_of_war(&self, seen: &Seen) -> Problem {
        let by = seen.standing(&self.owner).moved.map_or_else(
            || "Somebody else".to_owned(),
            |moved| format!("The field manager {}", quote(&moved.by)),
        );
        Problem::new(
            Reason::FieldConflict,
            format!(
                "{by} keeps taking the entries out of {}, so they are left alone for an hour. Have that tool leave the entries of {} alone, then give the annotation {RECHECK_ANNOTATION} a new value.",
                self.target, self.owner.title
            ),
        )
    }
}

fn being_repaired(undone: &Undone) -> String {
    format!(
        "The field manager {} changed {}, which has not all of the entries any more. The W&B operator does not look after that by itself, so it was made to apply everything again.",
        quote(&undone.by.by),
        enumerate(undone.titles())
    )
}

/// The revisions beside that of the course that pods were not seen to run with.
fn unproven(here: &[Revision], course: Course<'_>) -> BTreeSet<u64> {
    let unproven = here.iter().filter(|revision| !matches!(revision.mark, Mark::RolledOut { .. }));
    unproven.map(|revision| revision.number).filter(|number| Some(*number) != course.number).collect()
}

fn delivery<K: Kind>(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: K::ENVIRONMENT, values }
}
