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
    /// Each resource writes its own values.
    Exclusive,
    /// The oldest resource writes the joined values of all.
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
    /// It works now, or did.
    Works,
    /// It has published values.
    Published,
    /// It has not published anything yet.
    Wants,
}

fn merit(contender: &Contender, all: &[&Contender]) -> Merit {
    let identified = match contender.identified {
        Identified::Works => Merit::Works,
        Identified::Published => Merit::Published,
        Identified::Wants => Merit::Wants,
    };
    let has_settings = contender.places.iter().any(|place| matches!(place, ContestedPlace::Setting { .. }));
    match contender.activity {
        Activity::Unreadable if !contender.delivered.is_empty() => Merit::Keeps,
        _ if !has_settings => identified,
        _ if contender.proof == Proof::Verified => Merit::Works,
        // The entries that it has in the target may be from an earlier spec, so they do not count if a verified
        // competitor has entries, too.
        _ if contender.delivered.is_empty() || is_outdone(contender, all) => Merit::Wants,
        _ => Merit::Works,
    }
}

/// Whether a verified competitor has entries in the same object for the same exclusive setting.
fn is_outdone(contender: &Contender, all: &[&Contender]) -> bool {
    let outdoes = |other: &&Contender| {
        !other.is(contender)
            && other.proof == Proof::Verified
            && contender.contested(other).is_some_and(|place| match place {
                ContestedPlace::Setting { object, .. } => {
                    other.holds(place) && other.delivered.contains(object)
                }
                ContestedPlace::Identity(_) => false,
            })
    };
    all.iter().any(outdoes)
}

/// The contenders, with the entries that were seen at a target.
pub fn with_entries_seen(contenders: &[Contender], target: &Target, seen: &TargetSnapshot) -> Vec<Contender> {
    let objects: BTreeSet<String> = target.objects().into_iter().map(ToString::to_string).collect();
    let look = |contender: &Contender| {
        let shares_name = |other: &Contender| {
            !other.is(contender) && other.owner.secret_name == contender.owner.secret_name
        };
        // If two resources name the same Secret, the entries do not show to which of them they belong, so the
        // statuses decide.
        let found = if contenders.iter().any(shares_name) {
            contender.delivered.intersection(&objects).cloned().collect()
        } else {
            seen.objects_with(&contender.owner)
        };
        contender.clone().with_entries_at(target, &objects, found)
    };
    let mut with_entries_seen: Vec<_> = contenders.iter().map(look).collect();
    let others = with_entries_seen.clone();
    for contender in &mut with_entries_seen {
        for other in &others {
            contender.spare(other);
        }
    }
    with_entries_seen
}

/// Whether two resources may compete for something, or share a target.
pub fn meet(a: &Contender, b: &Contender) -> bool {
    !a.is(b) && (a.contested(b).is_some() || is_written_together(a, b) || a.may_meet(b) || b.may_meet(a))
}

/// The contender, and those of the others that can decide anything about it; `others` may include the contender.
fn all<'a>(contender: &'a Contender, others: &'a [Contender]) -> Vec<&'a Contender> {
    let others = others.iter().filter(|other| !other.is(contender));
    concerned(contender, others.collect()).into_iter().chain([contender]).collect()
}

/// The resources that compete with the contender, those that compete with these, and so on. No other resource can
/// decide anything about it, and comparing every resource of a namespace with every other one would take long.
fn concerned<'a>(contender: &Contender, others: Vec<&'a Contender>) -> Vec<&'a Contender> {
    if others.len() < FEW {
        return others;
    }
    let points = |contender: &Contender| {
        contender.meeting_points().into_iter().filter(|point| *point != MeetingPoint::AnyTarget)
    };
    let mut at: HashMap<_, Vec<_>> = HashMap::new();
    for (index, other) in others.iter().enumerate() {
        points(other).for_each(|point| at.entry(point).or_default().push(index));
    }
    let mut found = BTreeSet::new();
    let mut open: Vec<_> = points(contender).collect();
    while let Some(point) = open.pop() {
        for index in at.remove(&point).unwrap_or_default() {
            if found.insert(index) {
                open.extend(others.get(index).into_iter().flat_map(|other| points(other)));
            }
        }
    }
    found.into_iter().filter_map(|index| others.get(index).copied()).collect()
}

/// Below this number, comparing all with each other is faster than finding out who competes with whom.
const FEW: usize = 4;

/// The contenders that get what they claim. They are considered by rank, and by age within a rank.
fn winners(contenders: Vec<&Contender>) -> Vec<&Contender> {
    let merits: Vec<_> = contenders.iter().map(|contender| merit(contender, &contenders)).collect();
    let mut ranked: Vec<_> = merits.into_iter().zip(contenders).collect();
    ranked.sort_by(|(a, first), (b, second)| {
        a.cmp(b).then_with(|| first.precedence_key().cmp(&second.precedence_key()))
    });
    ranked.dedup_by(|(_, a), (_, b)| a.is(b));
    let mut winners: Vec<&Contender> = Vec::new();
    for (_, contender) in ranked {
        if !winners.iter().any(|winner| winner.is_in_the_way_of(contender)) {
            winners.push(contender);
        }
    }
    winners
}

/// The result of the comparison of the contender with the others, which may include it.
pub fn judge(contender: &Contender, others: &[Contender]) -> Claim {
    let all = all(contender, others);
    let winners = winners(all.clone());
    let in_the_way =
        winners.iter().find(|winner| !winner.is(contender) && winner.is_in_the_way_of(contender));
    let Some(winner) = in_the_way.filter(|_| !winners.iter().any(|winner| winner.is(contender))) else {
        return watched(contender, &all);
    };
    let Some(place) = contender.contested(winner) else { return Claim::Held };
    match place {
        ContestedPlace::Setting { object, .. } => {
            if contender.delivered.contains(object) && !winner.delivered.contains(object) {
                return Claim::Watched(takes_over(winner, place));
            }
            let is_older = contender.precedence_key() < winner.precedence_key();
            if is_older && winner.activity == Activity::Active && contender.activity == Activity::Active {
                return Claim::Waiting(format!(
                    "The younger {} \"{}\" works and has {place}, which this resource takes over as soon as it is verified.",
                    winner.kind, winner.name
                ));
            }
        }
        ContestedPlace::Identity(_) => {}
    }
    Claim::Lost(lost(contender, winner, place))
}

/// The claim of a resource that has what it wants, with a text about another one that waits for it.
fn watched(contender: &Contender, all: &[&Contender]) -> Claim {
    let setting = |other: &Contender| {
        contender.contested(other).filter(|place| matches!(place, ContestedPlace::Setting { .. })).cloned()
    };
    let is_older = |other: &&&Contender| other.precedence_key() < contender.precedence_key();
    let waits = |other: &&&Contender| match other.activity {
        Activity::Active => setting(other).is_some(),
        Activity::Unreadable => other.kind == contender.kind && setting(other).is_some(),
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
        _ => other.is_left_at(contender).cloned(),
    };
    let mut others = all.iter().filter(|other| contender.proof != Proof::Verified && !other.is(contender));
    let left = others.find_map(|other| Some((other, is_leaving(other)?)));
    left.map_or(Claim::Held, |(other, object)| {
        Claim::Watched(format!(
            "The {} \"{}\" leaves {object}. Its entries stay there until this resource is verified and replaces them, but only as long as a deletion may wait.",
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

/// The problem for a resource that lost its claim.
fn lost(contender: &Contender, winner: &Contender, place: &ContestedPlace) -> Problem {
    let reason = if winner.kind == contender.kind { Reason::Superseded } else { winner.superseded_reason };
    let (kind, name) = (&winner.kind, &winner.name);
    if winner.activity == Activity::Unreadable {
        return Problem::new(
            reason,
            format!(
                "The {kind} \"{name}\" has {place}, and keeps it although this version of the operator cannot read it. Correct it, or delete one of the two."
            ),
        );
    }
    let is_older = winner.precedence_key() < contender.precedence_key();
    let (age, has) = if is_older { ("older", "has") } else { ("younger", "works with") };
    let remedy = match place {
        ContestedPlace::Identity(_) => "Delete one of the two, or change this one.",
        ContestedPlace::Setting { .. } if contender.proof != Proof::Verified => {
            "Delete or suspend one of the two once this one is verified, or change this one."
        }
        ContestedPlace::Setting { .. } => "Delete or suspend one of the two, or change this one.",
    };
    Problem::new(reason, format!("The {age} {kind} \"{name}\" {has} {place} already. {remedy}"))
}

/// The problem that another resource has the identity of this one. `others` may include this one.
pub fn lost_identity(contender: &Contender, others: &[Contender]) -> Option<Problem> {
    let others: Vec<_> = others.iter().map(Contender::without_seats).collect();
    match judge(&contender.without_seats(), &others) {
        Claim::Lost(problem) => Some(problem),
        Claim::Held | Claim::Watched(_) | Claim::Waiting(_) => None,
    }
}

/// The resources whose entries in the same target are replaced by those of this one, because they lost a claim to it
/// or because it writes for them. A resource that cannot be decoded keeps its entries, unless its values are part of
/// what is written for all.
pub fn displaced<'a>(contender: &Contender, others: &'a [Contender]) -> Vec<&'a Contender> {
    let winners = winners(all(contender, others));
    let has = |other: &Contender, place: &ContestedPlace| {
        other.holds(place) && winners.iter().any(|winner| winner.is(other))
    };
    let loses = |other: &Contender| {
        other.activity != Activity::Unreadable
            && other.contested(contender).is_some_and(|place| !has(other, place))
    };
    let gives_way = |other: &&Contender| {
        let is_contested = is_written_together(contender, other) || loses(other);
        !other.is(contender)
            && (other.shares_target(contender) && is_contested || other.is_left_at(contender).is_some())
    };
    others.iter().filter(gives_way).collect()
}

/// The resource that writes to a shared target for this one and others of its kind. The resource that wrote before
/// continues until the entries of an older one are in place.
pub fn leader<'a>(contender: &'a Contender, others: &'a [Contender]) -> &'a Contender {
    let together = others.iter().filter(|other| is_written_together(contender, other));
    let active = together.filter(|other| other.activity == Activity::Active);
    let oldest = active
        .chain([contender])
        .min_by(|a, b| a.precedence_key().cmp(&b.precedence_key()))
        .unwrap_or(contender);
    let writes = |one: &Contender| !one.delivered.is_empty();
    if writes(contender) && !writes(oldest) { contender } else { oldest }
}

/// The other resources whose values are joined with those of this one, the oldest first.
pub fn partners<'a>(
    contender: &Contender,
    others: impl IntoIterator<Item = &'a Contender>,
) -> Vec<&'a Contender> {
    let mut partners: Vec<_> = others
        .into_iter()
        .filter(|other| is_written_together(contender, other) && !other.is(contender))
        .filter(|other| other.activity != Activity::Leaving)
        .collect();
    partners.sort_by(|a, b| a.precedence_key().cmp(&b.precedence_key()));
    partners
}

/// A resource of the kind that cannot be decoded and whose target is not known, so that nothing shows whether its
/// values belong to the joined ones.
pub fn unknown_partner<'a>(contender: &Contender, others: &'a [Contender]) -> Option<&'a Contender> {
    let is_of_kind =
        |other: &&Contender| contender.kind == other.kind && other.target_sharing == TargetSharing::Merged;
    others.iter().filter(is_of_kind).find(|other| {
        other.may_be_anywhere() && other.publication == PublicationState::Yes && !other.is(contender)
    })
}

fn is_written_together(a: &Contender, b: &Contender) -> bool {
    a.target_sharing == TargetSharing::Merged && a.kind == b.kind && a.shares_target(b)
}

/// The resource that displaced this one at a target, or will as soon as this one does not claim it any more.
pub fn successor<'a>(contender: &Contender, others: &'a [Contender]) -> Option<&'a Contender> {
    let without: Vec<_> = others.iter().filter(|other| !other.is(contender)).collect();
    winners(concerned(contender, without)).into_iter().find(|other| {
        other.activity == Activity::Active
            && other.shares_target(contender)
            && (other.contested(contender).is_some() || is_written_together(contender, other))
    })
}

/// The resource that takes over the entries that this one leaves at a target.
pub fn heir<'a>(contender: &Contender, left: &Target, others: &'a [Contender]) -> Option<&'a Contender> {
    successor(&contender.leaving(left), others).filter(|heir| heir.may_inherit())
}

/// The contenders that may gain or lose a claim when one of them changes from `before` to `now`.
pub fn affected<'a>(
    before: Option<&Contender>,
    now: Option<&Contender>,
    others: impl IntoIterator<Item = &'a Contender>,
) -> Vec<&'a Contender> {
    let standing = |contender: &Contender| {
        (contender.activity, contender.places.clone(), contender.target.clone(), contender.created.clone())
    };
    // This part of the state concerns only resources that compete for the same claim.
    let strength =
        |contender: &Contender| (contender.proof, contender.identified, contender.delivered.clone());
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
