//! Several containers and workloads that have the same values at any time: one revision serves all of them, and
//! they go on and back as one.

use std::collections::BTreeSet;

use super::{Change, Delivery, Environment, Owner, Seen, Standing, Target};
use crate::problem::Problem;

/// What was read of several workloads.
#[derive(Clone, Debug)]
pub struct Several {
    first: Box<Part>,
    more: Vec<Part>,
}

/// One of the workloads.
#[derive(Clone, Debug)]
struct Part {
    seen: Seen,
    reach: Reach,
}

/// Whether a delivery goes to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It has the values.
    Within,
    /// It has none of them: the revision was made before the workload was a part of the target.
    Outside,
}

impl Several {
    /// All of these as one; the one itself where there is no other.
    pub(super) fn of(parts: Vec<Seen>) -> Option<Seen> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let part = |seen| Part { seen, reach: Reach::Within };
        let more: Vec<Part> = parts.map(part).collect();
        Some(if more.is_empty() { first } else { Seen::Several(Self { first: Box::new(part(first)), more }) })
    }

    pub(super) fn first(&self) -> &Seen {
        &self.first.seen
    }

    /// The same, of which a delivery goes to these objects only.
    #[must_use]
    pub(super) fn reaching(mut self, target: &Target) -> Self {
        for Part { seen, reach } in [&mut *self.first].into_iter().chain(&mut self.more) {
            let is_within = target.includes(&seen.resource().kind, seen.name());
            *reach = if is_within { Reach::Within } else { Reach::Outside };
        }
        self
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = (&Seen, Reach)> {
        [&*self.first].into_iter().chain(&self.more).map(|part| (&part.seen, part.reach))
    }

    /// The changed parts, each with its change.
    pub(super) fn changed<'a>(&'a self, changes: &'a [(usize, Change)]) -> Vec<(&'a Seen, &'a Change)> {
        let of_part = |(index, change): &'a (usize, Change)| Some((self.parts().nth(*index)?.0, change));
        changes.iter().filter_map(of_part).collect()
    }

    /// Where somebody pointed one of the parts elsewhere, that is where the whole is wanted.
    pub(super) fn standing(&self, owner: &Owner) -> Standing {
        let all: Vec<Standing> = self.parts().map(|(seen, _)| seen.standing(owner)).collect();
        let moved = all.iter().filter(|standing| standing.moved.is_some());
        let moved = moved.max_by_key(|standing| standing.moved.as_ref().and_then(|moved| moved.at));
        let numbers = match moved {
            Some(Standing { numbers, .. }) if numbers.len() == 1 => numbers.clone(),
            _ => all.iter().flat_map(|standing| standing.numbers.iter().copied()).collect(),
        };
        Standing {
            numbers,
            applied_at: all.iter().filter_map(|standing| standing.applied_at).max(),
            moved: moved.and_then(|standing| standing.moved.clone()),
        }
    }

    /// The changes of all parts together; nothing is changed where one of them cannot be.
    pub(super) fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        yielding: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        let mut changes = Vec::new();
        let mut problems = Vec::new();
        for (index, (seen, reach)) in self.parts().enumerate() {
            let delivery = delivery.filter(|_| reach == Reach::Within);
            match seen.change(owner, delivery, yielding) {
                Ok(None) => {}
                Ok(Some(change)) => changes.push((index, change)),
                Err(problem) => problems.push(problem),
            }
        }
        none_of(problems)?;
        Ok((!changes.is_empty()).then_some(Change::Several(changes)))
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::merged(self.parts().map(|(seen, _)| seen.environment()))
    }
}

/// Fails with all of the problems, under the reason of the first.
pub(super) fn none_of(problems: impl IntoIterator<Item = Problem>) -> Result<(), Problem> {
    let mut problems = problems.into_iter();
    let Some(first) = problems.next() else { return Ok(()) };
    let mut said: BTreeSet<String> = [first.message.clone()].into();
    let message = problems.filter(|problem| said.insert(problem.message.clone()));
    let message = message.fold(first.message.clone(), |all, next| format!("{all} {}", next.message));
    Err(Problem { message, ..first })
}
