//! Decides which of several resources has what only one may have: an exclusive setting at a target, or an
//! identity. Pure.
//!
//! An exclusive setting goes to the oldest of the resources that work, which means that their checks passed or
//! their entries are in the target. So a working resource is displaced only by another working one, and keeps its
//! entries until those of the other one are in place. A resource that cannot be decoded keeps what it has. An
//! identity goes to the oldest resource, unless a younger one works with it and the oldest does not.

mod contender;
mod reported;

pub use contender::{Contender, ContestedPlace, MeetingPoint, Proof, PublicationState};

use std::collections::{BTreeSet, HashMap};

use self::contender::{Activity, Identified};
use crate::{
    api::Reason,
    problem::Problem,
    workloads::{Target, TargetSnapshot},
};

/// Whether several resources of a kind can write to one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSharing {
    /// Each writes what is its own.
    Exclusive,
    /// The oldest writes what all of them have, joined.
    Merged,
}

/// The result of the comparison of a resource with its competitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The resource has its claims, and no older resource competes for them.
    Held,
    /// The resource has its claims for now; the text names another one that waits for them.
    Watched(String),
    /// The resource is the older one, and gets its claim as soon as it is verified.
    Waiting(String),
    /// Another resource has the claim.
    Lost(Problem),
}

/// The rank of a contender before its age counts, the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Merit {
    /// It cannot be decoded, so it keeps what it has, because nobody can judge whether that works.
    Keeps,
    /// It works, or did.
    Works,
    /// It published something.
    Published,
    /// It wants to work.
    Wants,
}

fn merit(claimant: &Contender, all: &[&Contender]) -> Merit {
    let identified = match claimant.identified {
        Identified::Works => Merit::Works,
        Identified::Published => Merit::Published,
        Identified::Wants => Merit::Wants,
    };
    let has_settings = claimant.places.iter().any(|place| matches!(place, ContestedPlace::Setting { .. }));
    match claimant.activity {
        Activity::Unreadable if !claimant.delivered.is_empty() => Merit::Keeps,
        _ if !has_settings => identified,
        _ if claimant.proof == Proof::Verified => Merit::Works,
        // The entries that it has in the target may be from an earlier spec, so they do not count if a verified
        // competitor has entries, too.
        _ if claimant.delivered.is_empty() || is_outdone(claimant, all) => Merit::Wants,
        _ => Merit::Works,
    }
}

/// Whether a verified competitor has entries in the same object for the same exclusive setting.
fn is_outdone(claimant: &Contender, all: &[&Contender]) -> bool {
    let outdoes = |other: &&Contender| {
        !other.is(claimant)
            && other.proof == Proof::Verified
            && claimant.contested(other).is_some_and(|place| match place {
                ContestedPlace::Setting { object, .. } => {
                    other.holds(place) && other.delivered.contains(object)
                }
                ContestedPlace::Identity(_) => false,
            })
    };
    all.iter().any(outdoes)
}

/// The claimants with what was seen of their entries at a target.
pub fn with_entries_seen(claimants: &[Contender], target: &Target, seen: &TargetSnapshot) -> Vec<Contender> {
    let objects: BTreeSet<String> = target.objects().into_iter().map(ToString::to_string).collect();
    let look = |claimant: &Contender| {
        let shares_name =
            |other: &Contender| !other.is(claimant) && other.owner.secret_name == claimant.owner.secret_name;
        // If two resources name the same Secret, the entries do not show to which of them they belong, so the
        // statuses decide.
        let found = if claimants.iter().any(shares_name) {
            claimant.delivered.intersection(&objects).cloned().collect()
        } else {
            seen.objects_with(&claimant.owner)
        };
        claimant.clone().with_entries_at(target, &objects, found)
    };
    let mut with_entries_seen: Vec<_> = claimants.iter().map(look).collect();
    let others = with_entries_seen.clone();
    for claimant in &mut with_entries_seen {
        for other in &others {
            claimant.spare(other);
        }
    }
    with_entries_seen
}

/// Whether two resources may want the same of a target, or write there together.
pub fn meet(a: &Contender, b: &Contender) -> bool {
    !a.is(b) && (a.contested(b).is_some() || is_written_together(a, b) || a.may_meet(b) || b.may_meet(a))
}

/// The claimant itself and those of the others, which may include it, that decide anything about it.
fn all<'a>(claimant: &'a Contender, others: &'a [Contender]) -> Vec<&'a Contender> {
    let others = others.iter().filter(|other| !other.is(claimant));
    concerned(claimant, others.collect()).into_iter().chain([claimant]).collect()
}

/// Those that share anything with the claimant, or with one that does, and so on: nobody else decides anything about
/// it, and comparing all of a namespace with each other would take longer the more there are.
fn concerned<'a>(claimant: &Contender, others: Vec<&'a Contender>) -> Vec<&'a Contender> {
    if others.len() < FEW {
        return others;
    }
    let points = |claimant: &Contender| {
        claimant.meeting_points().into_iter().filter(|point| *point != MeetingPoint::AnyTarget)
    };
    let mut at: HashMap<_, Vec<_>> = HashMap::new();
    for (index, other) in others.iter().enumerate() {
        points(other).for_each(|point| at.entry(point).or_default().push(index));
    }
    let mut found = BTreeSet::new();
    let mut open: Vec<_> = points(claimant).collect();
    while let Some(point) = open.pop() {
        for index in at.remove(&point).unwrap_or_default() {
            if found.insert(index) {
                open.extend(others.get(index).into_iter().flat_map(|other| points(other)));
            }
        }
    }
    found.into_iter().filter_map(|index| others.get(index).copied()).collect()
}

/// So few are compared with each other sooner than told apart.
const FEW: usize = 4;

/// The claimants that have what they want: each in its turn, the oldest of those that work first.
fn winners(claimants: Vec<&Contender>) -> Vec<&Contender> {
    let merits: Vec<_> = claimants.iter().map(|claimant| merit(claimant, &claimants)).collect();
    let mut ranked: Vec<_> = merits.into_iter().zip(claimants).collect();
    ranked.sort_by(|(a, first), (b, second)| {
        a.cmp(b).then_with(|| first.precedence_key().cmp(&second.precedence_key()))
    });
    ranked.dedup_by(|(_, a), (_, b)| a.is(b));
    let mut winners: Vec<&Contender> = Vec::new();
    for (_, claimant) in ranked {
        if !winners.iter().any(|winner| winner.is_in_the_way_of(claimant)) {
            winners.push(claimant);
        }
    }
    winners
}

/// How the resource stands towards the others, which may include it.
pub fn judge(claimant: &Contender, others: &[Contender]) -> Claim {
    let all = all(claimant, others);
    let winners = winners(all.clone());
    let in_the_way = winners.iter().find(|winner| !winner.is(claimant) && winner.is_in_the_way_of(claimant));
    let Some(winner) = in_the_way.filter(|_| !winners.iter().any(|winner| winner.is(claimant))) else {
        return watched(claimant, &all);
    };
    let Some(place) = claimant.contested(winner) else { return Claim::Held };
    match place {
        ContestedPlace::Setting { object, .. } => {
            if claimant.delivered.contains(object) && !winner.delivered.contains(object) {
                return Claim::Watched(takes_over(winner, place));
            }
            let is_older = claimant.precedence_key() < winner.precedence_key();
            if is_older && winner.activity == Activity::Active && claimant.activity == Activity::Active {
                return Claim::Waiting(format!(
                    "The younger {} \"{}\" works and has {place}, which this resource takes over as soon as it is verified.",
                    winner.kind, winner.name
                ));
            }
        }
        ContestedPlace::Identity(_) => {}
    }
    Claim::Lost(lost(claimant, winner, place))
}

/// Who waits for the place of one that has it.
fn watched(claimant: &Contender, all: &[&Contender]) -> Claim {
    let setting = |other: &Contender| {
        claimant.contested(other).filter(|place| matches!(place, ContestedPlace::Setting { .. })).cloned()
    };
    let is_older = |other: &&&Contender| other.precedence_key() < claimant.precedence_key();
    let waits = |other: &&&Contender| match other.activity {
        Activity::Active => setting(other).is_some(),
        Activity::Unreadable => other.kind == claimant.kind && setting(other).is_some(),
        Activity::Failed | Activity::Suspended | Activity::Leaving => false,
    };
    let older =
        all.iter().filter(is_older).filter(waits).min_by(|a, b| a.precedence_key().cmp(&b.precedence_key()));
    if let Some((older, place)) = older.and_then(|older| Some((older, setting(older)?))) {
        return Claim::Watched(takes_over(older, &place));
    }
    let is_leaving = |other: &Contender| match (other.activity, setting(other)) {
        (Activity::Leaving, Some(ContestedPlace::Setting { object, .. }))
            if other.delivered.contains(&object) =>
        {
            Some(object)
        }
        _ => other.is_left_at(claimant).cloned(),
    };
    let mut others = all.iter().filter(|other| claimant.proof != Proof::Verified && !other.is(claimant));
    let left = others.find_map(|other| Some((other, is_leaving(other)?)));
    left.map_or(Claim::Held, |(other, object)| {
        Claim::Watched(format!(
            "The {} \"{}\" leaves {object}. Its entries stay there until this resource is verified and takes their place, but no longer than a deletion waits.",
            other.kind, other.name
        ))
    })
}

fn takes_over(other: &Contender, place: &ContestedPlace) -> String {
    format!(
        "The older {} \"{}\" waits for {place} and takes it over once it is verified; this resource goes on until then. To keep this one in place, delete or suspend the other one, or change it.",
        other.kind, other.name
    )
}

/// What the resource is told that has lost its place.
fn lost(claimant: &Contender, winner: &Contender, place: &ContestedPlace) -> Problem {
    let reason = if winner.kind == claimant.kind { Reason::Superseded } else { winner.superseded_reason };
    let (kind, name) = (&winner.kind, &winner.name);
    if winner.activity == Activity::Unreadable {
        return Problem::new(
            reason,
            format!(
                "The {kind} \"{name}\" has {place}, and keeps it although this version of the operator cannot read it. Correct it, or delete one of the two."
            ),
        );
    }
    let is_older = winner.precedence_key() < claimant.precedence_key();
    let (age, has) = if is_older { ("older", "has") } else { ("younger", "works with") };
    let remedy = match place {
        ContestedPlace::Identity(_) => "Delete one of the two, or change this one.",
        ContestedPlace::Setting { .. } if claimant.proof != Proof::Verified => {
            "Delete or suspend one of the two once this one is verified, or change this one."
        }
        ContestedPlace::Setting { .. } => "Delete or suspend one of the two, or change this one.",
    };
    Problem::new(reason, format!("The {age} {kind} \"{name}\" {has} {place} already. {remedy}"))
}

/// Why this resource is not what it wants to be, where another one is. `others` may include it.
pub fn lost_identity(claimant: &Contender, others: &[Contender]) -> Option<Problem> {
    let others: Vec<_> = others.iter().map(Contender::without_seats).collect();
    match judge(&claimant.without_seats(), &others) {
        Claim::Lost(problem) => Some(problem),
        Claim::Held | Claim::Watched(_) | Claim::Waiting(_) => None,
    }
}

/// Those whose entries in the same target give way to this resource's: they want its place and do not
/// have it, or it writes for them. What cannot be read keeps its entries, unless they are in what is written for it.
pub fn displaced<'a>(claimant: &Contender, others: &'a [Contender]) -> Vec<&'a Contender> {
    let winners = winners(all(claimant, others));
    let has = |other: &Contender, place: &ContestedPlace| {
        other.holds(place) && winners.iter().any(|winner| winner.is(other))
    };
    let loses = |other: &Contender| {
        other.activity != Activity::Unreadable
            && other.contested(claimant).is_some_and(|place| !has(other, place))
    };
    let gives_way = |other: &&Contender| {
        let is_contested = is_written_together(claimant, other) || loses(other);
        !other.is(claimant)
            && (other.shares_target(claimant) && is_contested || other.is_left_at(claimant).is_some())
    };
    others.iter().filter(gives_way).collect()
}

/// The one that writes to the target for this one and others of its kind, where they write together. Who wrote
/// before goes on until the entries of an older one are there.
pub fn leader<'a>(claimant: &'a Contender, others: &'a [Contender]) -> &'a Contender {
    let together = others.iter().filter(|other| is_written_together(claimant, other));
    let active = together.filter(|other| other.activity == Activity::Active);
    let oldest = active
        .chain([claimant])
        .min_by(|a, b| a.precedence_key().cmp(&b.precedence_key()))
        .unwrap_or(claimant);
    let writes = |one: &Contender| !one.delivered.is_empty();
    if writes(claimant) && !writes(oldest) { claimant } else { oldest }
}

/// The others whose values are joined with this one's, the oldest first.
pub fn partners<'a>(
    claimant: &Contender,
    others: impl IntoIterator<Item = &'a Contender>,
) -> Vec<&'a Contender> {
    let mut partners: Vec<_> = others
        .into_iter()
        .filter(|other| is_written_together(claimant, other) && !other.is(claimant))
        .filter(|other| other.activity != Activity::Leaving)
        .collect();
    partners.sort_by(|a, b| a.precedence_key().cmp(&b.precedence_key()));
    partners
}

/// A resource of the kind that cannot be read, where nothing tells whether its values belong to what is joined.
pub fn unknown_partner<'a>(claimant: &Contender, others: &'a [Contender]) -> Option<&'a Contender> {
    let is_of_kind =
        |other: &&Contender| claimant.kind == other.kind && other.target_sharing == TargetSharing::Merged;
    others.iter().filter(is_of_kind).find(|other| {
        other.may_be_anywhere() && other.publication == PublicationState::Yes && !other.is(claimant)
    })
}

fn is_written_together(a: &Contender, b: &Contender) -> bool {
    a.target_sharing == TargetSharing::Merged && a.kind == b.kind && a.shares_target(b)
}

/// The resource that displaced this one at a target, or will as soon as this one does not claim it any more.
pub fn successor<'a>(claimant: &Contender, others: &'a [Contender]) -> Option<&'a Contender> {
    let without: Vec<_> = others.iter().filter(|other| !other.is(claimant)).collect();
    winners(concerned(claimant, without)).into_iter().find(|other| {
        other.activity == Activity::Active
            && other.shares_target(claimant)
            && (other.contested(claimant).is_some() || is_written_together(claimant, other))
    })
}

/// The resource that takes over the entries that this one leaves at a target.
pub fn heir<'a>(claimant: &Contender, left: &Target, others: &'a [Contender]) -> Option<&'a Contender> {
    successor(&claimant.leaving(left), others).filter(|heir| heir.may_inherit())
}

/// The claimants whose turn may come, or be over, when one changes from `before` to `now`.
pub fn affected<'a>(
    before: Option<&Contender>,
    now: Option<&Contender>,
    others: impl IntoIterator<Item = &'a Contender>,
) -> Vec<&'a Contender> {
    let standing = |claimant: &Contender| {
        (claimant.activity, claimant.places.clone(), claimant.target.clone(), claimant.created.clone())
    };
    // This part of the state concerns only resources that compete for the same claim.
    let strength = |claimant: &Contender| (claimant.proof, claimant.identified, claimant.delivered.clone());
    let has_moved = before.map(standing) != now.map(standing);
    if !has_moved && before.map(strength) == now.map(strength) {
        return Vec::new();
    }
    let concerns = |other: &&Contender| {
        before.into_iter().chain(now).filter(|one| !one.is(other)).any(|one| {
            let is_partner = is_written_together(one, other) || one.may_be_anywhere();
            one.contested(other).is_some() || has_moved && is_partner
        })
    };
    others.into_iter().filter(concerns).collect()
}

#[cfg(test)]
mod tests;
