//! Delivery to a target: the published values reach the running server, and a bad rollout undoes itself.
//!
//! [`deliver`] is the loop: look, decide one step ([`aim`], pure), take it, look again. Every step is one
//! write, and each is derived from what the API server holds alone: the revisions with their marks, and the
//! target. So a process that is killed after any of them leaves nothing that the next run cannot finish.
//! [`withdraw`] takes everything back. [`looks`] is what a look at the target tells people.

mod aim;
mod joining;
mod looks;
mod obstacle;
mod revisions;
mod withdraw;

pub(super) use looks::looks;
pub(super) use withdraw::{Withdrawal, is_absent, withdraw};

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Claimant, Context, Kind, Values, claims, release::Finalizer, secret::owner_in_targets};
use crate::{
    api::{RECHECK_ANNOTATION, Reason},
    error::Error,
    problem::{Problem, quote},
    sensitive::{Redactor, Sensitive},
    target::{self, Change, Delivery, Environment, Made, Owner, Patience, Seen, Standing, Target},
};

use self::{
    aim::{Attempt, Course, Judgement, Step, Wanted, aim, proven_before},
    obstacle::Obstacle,
    revisions::{Creation, Mark, Revision, WayBack},
};

/// What became of the values at their target.
pub struct Delivered {
    /// What `RolledOut` says.
    pub state: Progress,
    /// The revision that the target refers to.
    pub revision: Option<u64>,
    /// The one that it would go back to.
    pub previous: Option<u64>,
    /// What the target tells of the server's settings.
    pub environment: Option<Environment>,
}

/// How far values came on their way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There are no values to deliver yet.
    NotPublished,
    /// Pods run with them.
    RolledOut(String),
    /// Pods are still to come.
    Progressing(String),
    /// Pods run with earlier ones, since the newest did not work.
    RolledBack(String),
    /// They cannot be delivered.
    Failed(Problem),
}

impl Progress {
    /// Whether there is something to wait for that no event may tell of.
    pub fn is_underway(&self) -> bool {
        matches!(self, Self::Progressing(_))
    }
}

impl Delivered {
    fn nothing(state: Progress) -> Self {
        Self { state, revision: None, previous: None, environment: None }
    }
}

/// More steps than any delivery takes: revision, entries, rivals' entries, marks and old revisions.
const STEPS: usize = 24;

/// Shorter values are switches such as `true` and `pkce`.
const SHORTEST_SECRET: usize = 6;

/// Revisions that are kept for a target, as people may go back to them.
const KEPT: usize = 3;

/// Brings the values to the target, as far as can be done now. Without values it keeps what is there.
pub(super) async fn deliver<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    values: Option<&Values>,
) -> Result<Delivered, Error> {
    match attempt(object, context, target, values).await {
        Ok(delivered) => Ok(delivered),
        Err(Obstacle::Problem(problem)) => Ok(Delivered::nothing(Progress::Failed(problem))),
        Err(Obstacle::Error(error)) => Err(error),
    }
}

async fn attempt<K: Kind>(
    object: &K,
    context: &Context<K>,
    target: &Target,
    values: Option<&Values>,
) -> Result<Delivered, Obstacle> {
    let namespace = object.namespace().unwrap_or_default();
    let others = context.others(object).await;
    let Some(claimant) = Claimant::of(object) else { return Ok(Delivered::nothing(Progress::NotPublished)) };
    let leader = claims::leader(&claimant, &others);
    if !leader.is(&claimant) {
        return joining::follow(object, context, target, values, leader).await;
    }
    let joined = joining::joined(object, context, values, &claims::partners(&claimant, &others)).await?;
    let yielding = claims::yielding(&claimant, &others);
    let round = Round {
        object,
        context,
        namespace: &namespace,
        target,
        owner: owner_in_targets(object),
        yielding,
        values: joined.as_ref(),
        attempt: Attempt { inputs: inputs(object), now: super::reconcile::now() },
    };
    let mut taken = BTreeSet::new();
    for _ in 0..STEPS {
        if let Some(delivered) = round.step(&mut taken).await? {
            return Ok(delivered);
        }
    }
    Ok(Delivered::nothing(Progress::Progressing(format!(
        "{target} changes faster than it can be looked at; it is tried again."
    ))))
}

/// The spec and the re-check annotation: what a person changes to have something tried again.
fn inputs<K: Kind>(object: &K) -> String {
    let recheck = object.annotations().get(RECHECK_ANNOTATION).map_or("", String::as_str);
    let uid = object.uid().unwrap_or_default();
    format!(
        "uid={uid} generation={} recheck={}",
        object.meta().generation.unwrap_or_default(),
        quote(recheck)
    )
}

/// What every step of one run shares.
struct Round<'a, K: Kind> {
    object: &'a K,
    context: &'a Context<K>,
    namespace: &'a str,
    target: &'a Target,
    owner: Owner,
    yielding: Vec<Owner>,
    values: Option<&'a Values>,
    attempt: Attempt,
}

impl<K: Kind> Round<'_, K> {
    /// Looks, and takes one step; what there is to say once there is none to take.
    async fn step(&self, taken: &mut BTreeSet<u64>) -> Result<Option<Delivered>, Obstacle> {
        let client = &self.context.client;
        let Some(seen) = target::read(client, self.namespace, self.target).await?? else {
            let problem = self.missing();
            return Ok(Some(Delivered::nothing(Progress::Failed(problem))));
        };
        let all = revisions::list(client, self.object).await?;
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|revision| revision.target == self.target.to_string());
        taken.extend(elsewhere.iter().map(|revision| revision.number));
        let held = match here.last() {
            Some(newest) => revisions::values(client, self.object, newest.number).await?,
            None => None,
        };
        let wanted = match (self.values, &held) {
            (None, _) => Wanted::Kept,
            (Some(values), Some(held)) if values == held => Wanted::Newest,
            (Some(_), _) => Wanted::Other,
        };
        let standing = seen.standing(&self.owner);
        match aim(&here, taken, wanted, &standing, &self.attempt) {
            Step::Nothing => Ok(Some(Delivered {
                environment: Some(seen.environment()),
                ..Delivered::nothing(Progress::NotPublished)
            })),
            Step::Create(number) => {
                self.create(&seen, number, taken).await?;
                Ok(None)
            }
            Step::Mark(revision, mark) => {
                revisions::mark(client, self.object, revision, &mark).await?;
                Ok(None)
            }
            Step::Go(course) => self.go(&seen, &here, &standing, course, held).await,
        }
    }

    async fn create(&self, seen: &Seen, number: u64, taken: &mut BTreeSet<u64>) -> Result<(), Obstacle> {
        let Some(values) = self.values else { return Ok(()) };
        // What would not be taken needs no revision.
        seen.change(&self.owner, Some(&delivery::<K>(number, values)), &self.yielding)?;
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
        seen: &Seen,
        here: &[Revision],
        standing: &Standing,
        course: Course<'_>,
        newest: Option<Values>,
    ) -> Result<Option<Delivered>, Obstacle> {
        let client = &self.context.client;
        let values = match course.number {
            Some(number) if number == course.newest.number => newest,
            Some(number) => revisions::values(client, self.object, number).await?,
            None => None,
        };
        if course.number.is_some() && values.is_none() {
            // It went since it was listed.
            return Ok(None);
        }
        let delivery =
            course.number.zip(values.as_ref()).map(|(number, values)| delivery::<K>(number, values));
        self.context.hold(self.object, Finalizer::Target).await?;
        if let Some(change) = seen.change(&self.owner, delivery.as_ref(), &self.yielding)? {
            self.write(seen, &change, course.number).await?;
            return Ok(None);
        }
        if self.take_over(seen).await? {
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
        if !course.is_over(standing) {
            let patience = Patience {
                limit: self.object.common().rollout_timeout.get(),
                since: standing.applied_at,
                now: Timestamp::now(),
            };
            let rollout =
                target::rollout(client, self.namespace, seen, &self.owner, course.number, patience).await??;
            match course.judge(rollout, here, &self.attempt) {
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
        if course.way_back.is_none() {
            // Where the new target failed, people still have the old one.
            withdraw(self.object, self.context, Some(self.target)).await??;
        }
        Ok(Some(delivered(self.arrived(course))))
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
            "{target} {place}, and revision {} is not tried again until spec, an input or the annotation {RECHECK_ANNOTATION} changes. {}",
            course.newest.number, way_back.evidence
        ))
    }

    /// Changes the target, unless somebody else keeps undoing that.
    async fn write(&self, seen: &Seen, change: &Change, number: Option<u64>) -> Result<(), Obstacle> {
        let attempt = (number, self.attempt.inputs.clone());
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
        for rival in &self.yielding {
            if let Some(change) = seen.change(rival, None, &[])? {
                target::make(&self.context.client, self.namespace, seen, rival, &change).await??;
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

/// The revisions beside that of the course that pods were not seen to run with.
fn unproven(here: &[Revision], course: Course<'_>) -> BTreeSet<u64> {
    let unproven = here.iter().filter(|revision| !matches!(revision.mark, Mark::RolledOut { .. }));
    unproven.map(|revision| revision.number).filter(|number| Some(*number) != course.number).collect()
}

fn delivery<K: Kind>(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: K::ENVIRONMENT, values }
}
