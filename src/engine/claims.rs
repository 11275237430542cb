//! Places that only one resource may hold, whatever its kind: the oldest does. Pure.

use std::cmp::Reverse;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use super::{CheckedInputs, Kind, secret::owner_in_targets};
use crate::{
    api::{ConditionType, Reason, Status},
    problem::Problem,
    target::{Owner, Target},
};

/// A place that only one resource in a namespace may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is, as messages name it.
    pub what: String,
    /// How long it is held.
    pub tenure: Tenure,
}

/// How long a place is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// Until the resource is deleted.
    Lasting,
    /// Until the resource is deleted or suspended.
    Active,
}

/// Whether several resources of a kind can write to one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// Each writes what is its own.
    Alone,
    /// The oldest writes what all of them have, joined.
    Together,
}

/// A resource as far as it stands in others' way.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    created: Option<Time>,
    activity: Activity,
    places: Vec<Place>,
    /// What those of other kinds are told that lose a place to this one.
    outranks: Reason,
    /// Where it delivers to.
    pub target: Option<Target>,
    /// What its entries are known by.
    pub owner: Owner,
    /// Whether it has published values, as far as its status tells.
    pub publication: Published,
    tenancy: Tenancy,
}

/// Whether a resource has published values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Its Secret was seen.
    Yes,
    /// Not yet.
    No,
}

/// Whether a resource takes part in anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Active,
    /// The pods did not come up with it, and it has nothing to go back to.
    Failed,
    Suspended,
    /// It is on its way out.
    Leaving,
}

impl Claimant {
    /// The resource, where it stands in anybody's way.
    pub fn of<K: Kind>(object: &K) -> Option<Self> {
        let target = object.common().target.as_ref().and_then(Target::of);
        let own = object.claim().map(|what| Place { what, tenure: Tenure::Lasting });
        let seats = target.iter().flat_map(Target::objects).flat_map(|target| {
            let place = move |seat| Place { what: format!("{seat} of {target}"), tenure: Tenure::Active };
            object.seats().into_iter().map(place)
        });
        let places: Vec<_> = own.into_iter().chain(seats).collect();
        if places.is_empty() && target.is_none() {
            return None;
        }
        let activity = if object.meta().deletion_timestamp.is_some() {
            Activity::Leaving
        } else if object.common().suspend {
            Activity::Suspended
        } else if object.status().is_some_and(|status| has_failed(object, status)) {
            Activity::Failed
        } else {
            Activity::Active
        };
        Some(Self {
            kind: K::kind(&()).into_owned(),
            name: object.name_any(),
            created: object.meta().creation_timestamp.clone(),
            activity,
            places,
            outranks: K::OUTRANKS,
            target,
            owner: owner_in_targets(object),
            publication: match object.status() {
                Some(Status { secret_ref: Some(_), .. }) => Published::Yes,
                _ => Published::No,
            },
            tenancy: K::TENANCY,
        })
    }

    /// The same, as one that wants its place whether it failed before or not.
    #[must_use]
    pub fn trying_again(mut self) -> Self {
        if self.activity == Activity::Failed {
            self.activity = Activity::Active;
        }
        self
    }

    /// Whether it did not work in the pods, and has nothing to go back to.
    pub fn has_failed(&self) -> bool {
        self.activity == Activity::Failed
    }

    /// Whether it has values to deliver at once.
    pub fn can_deliver(&self) -> bool {
        self.publication == Published::Yes && !self.has_failed()
    }

    /// Whether both are the same resource.
    pub fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }

    /// Whether both deliver to an object in common.
    pub fn shares_target(&self, other: &Self) -> bool {
        matches!((&self.target, &other.target), (Some(a), Some(b)) if a.shares_object(b))
    }

    /// The first place that both want.
    fn contested(&self, other: &Self) -> Option<&Place> {
        self.places.iter().find(|place| other.places.contains(place))
    }

    fn holds(&self, place: &Place) -> bool {
        match (self.activity, place.tenure) {
            (Activity::Active, _) | (Activity::Suspended | Activity::Failed, Tenure::Lasting) => true,
            (Activity::Suspended | Activity::Failed, Tenure::Active) | (Activity::Leaving, _) => false,
        }
    }

    /// Whether it holds any place that the other one wants.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        self.contested(other).is_some_and(|place| self.holds(place))
    }

    /// What was created first comes first; what never met an API server comes last.
    fn seniority(&self) -> (Reverse<bool>, Option<&Time>, &str, &str) {
        (Reverse(self.created.is_some()), self.created.as_ref(), &self.kind, &self.name)
    }
}

/// Whether the target went back to nothing, and nobody has asked for another try since: the place is then free
/// for who can use it.
fn has_failed<K: Kind>(object: &K, status: &Status) -> bool {
    let rolled_back = |condition: &Condition| {
        condition.type_ == ConditionType::RolledOut.as_str()
            && condition.reason == Reason::RolledBack.as_str()
    };
    status.revision.is_none()
        && status.conditions.iter().any(rolled_back)
        && status.observed_generation == object.meta().generation
        && CheckedInputs::has_recheck_of(object, status)
}

/// The claimants that have what they want: each in turn, the oldest first.
fn holders<'a>(claimants: impl IntoIterator<Item = &'a Claimant>) -> Vec<&'a Claimant> {
    let mut claimants: Vec<_> = claimants.into_iter().collect();
    claimants.sort_by_key(|claimant| claimant.seniority());
    claimants.dedup_by(|a, b| a.is(b));
    let mut holders: Vec<&Claimant> = Vec::new();
    for claimant in claimants {
        if !holders.iter().any(|holder| holder.is_in_the_way_of(claimant)) {
            holders.push(claimant);
        }
    }
    holders
}

/// Why this resource does not have what it wants, where another one holds it. `others` may include it.
pub fn superseded(claimant: &Claimant, others: &[Claimant]) -> Option<Problem> {
    let holders = holders(others.iter().filter(|other| !other.is(claimant)).chain([claimant]));
    if holders.iter().any(|holder| holder.is(claimant)) {
        return None;
    }
    let holder = holders.into_iter().find(|holder| holder.is_in_the_way_of(claimant))?;
    let place = claimant.contested(holder)?;
    let reason = if holder.kind == claimant.kind { Reason::Superseded } else { holder.outranks };
    let remedy = match place.tenure {
        Tenure::Lasting => "Delete one of the two, or change this one.",
        Tenure::Active => "Delete or suspend one of the two, or change this one.",
    };
    let Place { what, .. } = place;
    Some(Problem::new(
        reason,
        format!("The older {} \"{}\" has {what} already. {remedy}", holder.kind, holder.name),
    ))
}

/// Those whose entries in the same target give way to this resource's: they want its place and do not
/// have it, or it writes for them.
pub fn yielding<'a>(claimant: &Claimant, others: &'a [Claimant]) -> Vec<&'a Claimant> {
    let holders = holders(others.iter().filter(|other| !other.is(claimant)).chain([claimant]));
    let has =
        |other: &Claimant, place: &Place| other.holds(place) && holders.iter().any(|holder| holder.is(other));
    let gives_way = |other: &&Claimant| {
        !other.is(claimant)
            && other.shares_target(claimant)
            && (is_written_together(claimant, other)
                || other.contested(claimant).is_some_and(|place| !has(other, place)))
    };
    others.iter().filter(gives_way).collect()
}

/// The one that writes to the target for this one and others of its kind, where they write together.
pub fn leader<'a>(claimant: &'a Claimant, others: &'a [Claimant]) -> &'a Claimant {
    let together = others.iter().filter(|other| is_written_together(claimant, other));
    let active = together.filter(|other| other.activity == Activity::Active);
    active.chain([claimant]).min_by_key(|other| other.seniority()).unwrap_or(claimant)
}

/// The others whose values are joined with this one's, the oldest first.
pub fn partners<'a>(claimant: &Claimant, others: &'a [Claimant]) -> Vec<&'a Claimant> {
    let mut partners: Vec<_> = others
        .iter()
        .filter(|other| is_written_together(claimant, other) && !other.is(claimant))
        .filter(|other| other.activity != Activity::Leaving)
        .collect();
    partners.sort_by_key(|partner| partner.seniority());
    partners
}

fn is_written_together(a: &Claimant, b: &Claimant) -> bool {
    a.tenancy == Tenancy::Together && a.kind == b.kind && a.shares_target(b)
}

/// The resource that has this one's place in a target, or can have it as soon as this one is gone.
pub fn successor<'a>(claimant: &Claimant, others: &'a [Claimant]) -> Option<&'a Claimant> {
    let without: Vec<_> = others.iter().filter(|other| !other.is(claimant)).collect();
    let holders = holders(without.iter().copied());
    holders.into_iter().find(|other| {
        other.activity == Activity::Active
            && other.shares_target(claimant)
            && (other.contested(claimant).is_some() || is_written_together(claimant, other))
    })
}

/// The claimants whose turn may come, or be over, when one changes from `before` to `now`.
pub fn affected<'a>(
    before: Option<&Claimant>,
    now: Option<&Claimant>,
    others: &'a [Claimant],
) -> Vec<&'a Claimant> {
    let standing = |claimant: &Claimant| {
        (claimant.activity, claimant.places.clone(), claimant.target.clone(), claimant.created.clone())
    };
    if before.map(standing) == now.map(standing) {
        return Vec::new();
    }
    let concerns = |other: &&Claimant| {
        before
            .into_iter()
            .chain(now)
            .any(|one| !one.is(other) && (one.contested(other).is_some() || is_written_together(one, other)))
    };
    others.iter().filter(concerns).collect()
}

#[cfg(test)]
mod tests;
