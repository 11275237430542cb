//! Decides which revision a target should refer to, and what the state of a rollout means for that revision. The
//! functions are pure: they read nothing and write nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::revisions::{FailedRevision, Revision, RevisionSource, RevisionState, Rollback};
use crate::{
    problem::{enumerate, quote},
    workloads::{AppliedState, Rollout},
};

/// How the values to deliver compare with those of the newest revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DesiredValues {
    /// They are the values of the newest revision.
    Newest,
    /// They differ from the newest revision, or there is no revision yet.
    Other,
    /// There are no values that may replace what is there: the target keeps the revision that it has.
    NoChange,
}

/// The next step towards the desired state of the target.
#[derive(Debug, PartialEq)]
pub(super) enum DeliveryStep<'a> {
    /// There is nothing to deliver yet.
    Nothing,
    /// A revision of this number must be created.
    Create(u64),
    /// The state of a revision must be recorded.
    Mark(&'a Revision, RevisionState),
    /// The target must be brought to this revision.
    Go(DesiredRevision<'a>),
    /// The target stays as it is: the revision to which it went back was deleted, and no other revision that
    /// worked is left.
    Stay(Stranded<'a>),
}

/// A rollback whose revision was deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stranded<'a> {
    /// The newest revision, which does not work.
    pub newest: &'a Revision,
    /// The revision that was deleted.
    pub gone: u64,
    /// What was observed of the newest revision when it failed.
    pub evidence: &'a str,
}

/// The revision to which a target should refer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DesiredRevision<'a> {
    /// The newest revision.
    pub newest: &'a Revision,
    /// The rollback that keeps the target from the newest revision, if there is one.
    pub rollback: Option<&'a Rollback>,
    /// The number of the desired revision. Without one, the entries must be removed.
    pub number: Option<u64>,
}

/// What the state of a rollout means for the desired revision.
#[derive(Debug, PartialEq)]
pub(super) enum Judgement<'a> {
    /// The rollout has not finished, or pods that ran before are not available now.
    Underway(String),
    /// The state of a revision must be recorded.
    Mark(&'a Revision, RevisionState),
    /// The target must go back to the revision of this number, if the values of that one still work.
    Return {
        /// The earlier revision.
        to: u64,
        /// What was observed of the newest revision.
        evidence: String,
    },
    /// The newest revision does not work, and there is no revision to go back to.
    Stay(&'a FailedRevision),
}

/// What identifies an attempt to deliver: a revision that failed is tried again only when the inputs have
/// changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The spec and the re-check annotation.
    pub inputs: String,
    /// The present time.
    pub now: Timestamp,
}

/// Decides the next step. `revisions` are those of the target, the oldest first; `used_numbers` are numbers that must
/// not be used.
pub(super) fn plan<'a>(
    revisions: &'a [Revision],
    used_numbers: &BTreeSet<u64>,
    wanted: DesiredValues,
    standing: &AppliedState,
    attempt: &Attempt,
) -> DeliveryStep<'a> {
    // A revision of values that were read out of the target counts only once the target refers to it. Before
    // that, the takeover may have been given up.
    let is_begun = |revision: &&Revision| {
        revision.source == RevisionSource::Resource || standing.numbers.contains(&revision.number)
    };
    let newest = match wanted {
        DesiredValues::Newest => revisions.last(),
        DesiredValues::Other => None,
        DesiredValues::NoChange => revisions.iter().rev().find(is_begun),
    };
    let Some(newest) = newest else {
        return match wanted {
            DesiredValues::NoChange => DeliveryStep::Nothing,
            DesiredValues::Newest | DesiredValues::Other => {
                DeliveryStep::Create(next_number(revisions, used_numbers, standing))
            }
        };
    };
    let moved = by_somebody_else(revisions, newest, standing, attempt);
    if let Some(mark) = moved.or_else(|| undone_by_somebody_else(revisions, newest, standing, attempt)) {
        return DeliveryStep::Mark(newest, mark);
    }
    match &newest.mark {
        // Held values (the last verified ones) are no reason to try a failed revision again.
        RevisionState::RolledBack(rollback)
            if wanted == DesiredValues::Newest && rollback.inputs != attempt.inputs =>
        {
            DeliveryStep::Mark(newest, RevisionState::Retried { since: attempt.now })
        }
        RevisionState::Stayed(stay) if wanted == DesiredValues::Newest && stay.inputs != attempt.inputs => {
            DeliveryStep::Mark(newest, RevisionState::Retried { since: attempt.now })
        }
        RevisionState::RolledBack(rollback) => {
            let is_there = |number: &u64| revisions.iter().any(|revision| revision.number == *number);
            let number = rollback.to.filter(is_there).or_else(|| working_before(revisions, newest));
            match (rollback.to, number) {
                // Pods that already run keep what they have. Removing the entries would leave people without a
                // login.
                (Some(gone), None) => {
                    DeliveryStep::Stay(Stranded { newest, gone, evidence: rollback.evidence.as_str() })
                }
                _ => DeliveryStep::Go(DesiredRevision { newest, rollback: Some(rollback), number }),
            }
        }
        _ => DeliveryStep::Go(DesiredRevision { newest, rollback: None, number: Some(newest.number) }),
    }
}

/// The number of the next revision: one that no Secret has, and that nothing refers to.
pub(super) fn next_number(
    revisions: &[Revision],
    used_numbers: &BTreeSet<u64>,
    standing: &AppliedState,
) -> u64 {
    let numbers = revisions.iter().map(|revision| revision.number);
    let last = numbers.chain(standing.numbers.iter().copied()).chain(used_numbers.iter().copied()).max();
    last.unwrap_or(0) + 1
}

/// A person who points the entries to another revision (`kubectl rollout undo`) has a reason: pointing them to an
/// earlier revision is treated as a rollback, and pointing them to the newest one as a request to try it again.
fn by_somebody_else(
    revisions: &[Revision],
    newest: &Revision,
    standing: &AppliedState,
    attempt: &Attempt,
) -> Option<RevisionState> {
    let moved = standing.moved.as_ref()?;
    let mut numbers = standing.numbers.iter();
    let (Some(to), None) = (numbers.next(), numbers.next()) else { return None };
    let is_later = |time: Timestamp| moved.at.is_some_and(|at| at > time);
    // Kubernetes keeps whole seconds, and a person may go back and forward again within one second.
    let is_since = |time: Timestamp| moved.at.is_some_and(|at| at >= time);
    if !revisions.iter().any(|revision| revision.number == *to) {
        return None;
    }
    let away = *to != newest.number;
    match &newest.mark {
        RevisionState::RolledBack(rollback) if rollback.to == Some(*to) || !is_since(rollback.since) => {
            return None;
        }
        RevisionState::RolledBack(_) if !away => return Some(RevisionState::Retried { since: attempt.now }),
        RevisionState::RolledOut { .. } | RevisionState::RolledBack(_) if away => {}
        RevisionState::Retried { since } | RevisionState::Stayed(FailedRevision { since, .. })
            if away && is_later(*since) => {}
        RevisionState::Pending if away && newest.created.is_some_and(is_later) => {}
        _ => return None,
    }
    let evidence =
        format!("The field manager {} pointed the entries back to revision {to}.", quote(&moved.by));
    Some(rollback_to(*to, evidence, attempt))
}

/// Does the same for a rollout that a person undid in the workloads that the W&B operator makes of the target.
/// These workloads differ from the target for a while after every change of it, so a difference counts only after
/// they had once matched.
fn undone_by_somebody_else(
    revisions: &[Revision],
    newest: &Revision,
    standing: &AppliedState,
    attempt: &Attempt,
) -> Option<RevisionState> {
    let undone = standing.undone.as_ref()?;
    let mut numbers = undone.numbers.iter();
    let (Some(to), None) = (numbers.next(), numbers.next()) else { return None };
    let has_arrived = is_over(arrived_at(newest), standing);
    if !has_arrived || !revisions.iter().any(|revision| revision.number == *to) {
        return None;
    }
    if *to == newest.number {
        return Some(RevisionState::Retried { since: attempt.now });
    }
    let titles = enumerate(undone.titles());
    let evidence = format!("The field manager {} took {titles} back to revision {to}.", quote(&undone.by.by));
    Some(rollback_to(*to, evidence, attempt))
}

fn rollback_to(number: u64, evidence: String, attempt: &Attempt) -> RevisionState {
    RevisionState::RolledBack(Rollback {
        to: Some(number),
        evidence,
        inputs: attempt.inputs.clone(),
        since: attempt.now,
        arrived: None,
    })
}

/// When pods were seen to run with the revision that the newest revision's state names.
fn arrived_at(newest: &Revision) -> Option<Timestamp> {
    match &newest.mark {
        RevisionState::RolledOut { at } => Some(*at),
        RevisionState::RolledBack(rollback) => rollback.arrived,
        _ => None,
    }
}

/// Whether the target is unchanged since pods were seen to run with its revision.
fn is_over(arrived: Option<Timestamp>, standing: &AppliedState) -> bool {
    arrived.is_some_and(|arrived| standing.applied_at.is_none_or(|applied| applied <= arrived))
}

/// The revision to which the target referred before this one: the last one that pods ran with, or the one to
/// which a later revision was rolled back with pods that ran.
pub(super) fn working_before(revisions: &[Revision], than: &Revision) -> Option<u64> {
    working_below(revisions, than.number)
}

/// The same for a revision that does not exist yet.
pub(super) fn working_below(revisions: &[Revision], number: u64) -> Option<u64> {
    let is_usable = |number: &u64| {
        let is_it = |revision: &&Revision| revision.number == *number;
        revisions.iter().find(is_it).is_some_and(|it| !matches!(it.mark, RevisionState::Refused { .. }))
    };
    let mut earlier = revisions.iter().rev().filter(|revision| revision.number < number);
    earlier.find_map(|revision| match &revision.mark {
        RevisionState::RolledOut { .. } => Some(revision.number),
        RevisionState::RolledBack(Rollback { to, arrived: Some(_), .. }) => to.filter(is_usable),
        _ => None,
    })
}

/// The revision to go back to from one that does not exist yet. A revision that somebody deleted is still named,
/// because going back to no entries at all would take the login away.
pub(super) fn previous_of_next(revisions: &[Revision], number: u64, standing: &AppliedState) -> Option<u64> {
    let is_gone = |number: &&u64| revisions.iter().all(|revision| revision.number != **number);
    working_below(revisions, number)
        .or_else(|| revisions.last().and_then(|newest| newest.previous))
        .or_else(|| standing.numbers.iter().rev().find(is_gone).copied())
}

/// The evidence of the latest earlier revision that does not work any more.
fn refused_before<'a>(revisions: &'a [Revision], than: &Revision) -> Option<&'a str> {
    let mut earlier = revisions.iter().rev().filter(|revision| revision.number < than.number);
    earlier.find_map(|revision| match &revision.mark {
        RevisionState::Refused { evidence } | RevisionState::Stayed(FailedRevision { evidence, .. }) => {
            Some(evidence.as_str())
        }
        _ => None,
    })
}

impl<'a> DesiredRevision<'a> {
    /// Whether pods were seen to run with it, and the target was not changed since.
    pub fn is_over(&self, standing: &AppliedState) -> bool {
        is_over(arrived_at(self.newest), standing)
    }

    /// Whether pods were ever seen to run with it.
    pub fn was_there(&self) -> bool {
        arrived_at(self.newest).is_some()
    }

    /// The revision to which it would go back, if that one was deleted and no other revision that worked is left.
    pub fn lost(&self, revisions: &[Revision]) -> Option<u64> {
        let is_gone = |number: &u64| revisions.iter().all(|revision| revision.number != *number);
        let lost = self.newest.previous.filter(is_gone);
        lost.filter(|_| working_before(revisions, self.newest).is_none())
    }

    /// What the state of the target's rollout means for this revision.
    pub fn judge(&self, rollout: Rollout, revisions: &[Revision], attempt: &Attempt) -> Judgement<'a> {
        let Self { newest, rollback, .. } = *self;
        if let (RevisionState::Stayed(stay), Rollout::Progressing(_) | Rollout::Failed(_)) =
            (&newest.mark, &rollout)
        {
            return Judgement::Stay(stay);
        }
        match (rollback, rollout) {
            (None, Rollout::Complete) => {
                Judgement::Mark(newest, RevisionState::RolledOut { at: attempt.now })
            }
            (Some(rollback), Rollout::Complete) => {
                let arrived = Rollback { arrived: Some(attempt.now), ..rollback.clone() };
                Judgement::Mark(newest, RevisionState::RolledBack(arrived))
            }
            (Some(rollback), Rollout::Progressing(seen) | Rollout::Failed(seen)) => {
                Judgement::Underway(format!("The target goes back: {} {seen}", rollback.evidence))
            }
            (None, Rollout::Progressing(seen)) => Judgement::Underway(seen),
            // Pods ran with this revision before, so the failure has another cause.
            (None, Rollout::Failed(seen)) if matches!(newest.mark, RevisionState::RolledOut { .. }) => {
                Judgement::Underway(seen)
            }
            (None, Rollout::Failed(evidence)) => self.give_up(evidence, revisions, attempt),
        }
    }

    /// Decides what follows when a revision does not work: a rollback, or none if the earlier revisions do not
    /// work either.
    fn give_up(&self, evidence: String, revisions: &[Revision], attempt: &Attempt) -> Judgement<'a> {
        if let Some(to) = working_before(revisions, self.newest) {
            return Judgement::Return { to, evidence };
        }
        let why = match (refused_before(revisions, self.newest), self.lost(revisions)) {
            (Some(refused), _) => refused.to_owned(),
            (None, Some(lost)) => format!("Revision {lost}, to which it would go back, was deleted."),
            (None, None) => {
                let (revision, mark) = self.back(None, evidence, attempt);
                return Judgement::Mark(revision, mark);
            }
        };
        let evidence = format!("{evidence} {why}");
        let stay = FailedRevision { evidence, inputs: attempt.inputs.clone(), since: attempt.now };
        Judgement::Mark(self.newest, RevisionState::Stayed(stay))
    }

    /// The revision state that records a rollback to an earlier revision, or to no entries.
    pub fn back(
        &self,
        to: Option<u64>,
        evidence: String,
        attempt: &Attempt,
    ) -> (&'a Revision, RevisionState) {
        let (inputs, since) = (attempt.inputs.clone(), attempt.now);
        let rollback = Rollback { to, evidence, inputs, since, arrived: None };
        (self.newest, RevisionState::RolledBack(rollback))
    }
}

#[cfg(test)]
mod tests;
