//! A resource as a contender: what it claims, and how much its claim counts.

use std::{collections::BTreeSet, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::reported::{delivered, has_failed, identified, proof, published};
use crate::{
    api::Reason,
    engine::{
        Kind, TargetSharing,
        finalizer::Finalizer,
        publish::secret::{default_secret_name, owner_in_targets, owner_named},
        watching::undecodable::{Guarded, Unreadable},
    },
    workloads::{Owner, Target},
};

/// Something that only one resource in a namespace may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContestedPlace {
    /// The identity of the resource, which it has until it is deleted.
    Identity(String),
    /// A setting at an object, which the resource decides until it is deleted or suspended.
    Setting {
        /// The exclusive setting.
        setting: &'static str,
        /// The object, such as `Deployment/wandb`.
        object: String,
    },
}

impl fmt::Display for ContestedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(what) => f.write_str(what),
            Self::Setting { setting, object } => write!(f, "{setting} of {object}"),
        }
    }
}

/// What two resources have in common that may have to do with each other. Those that have nothing in common, nor with
/// any third one, decide nothing about each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MeetingPoint {
    /// They stand for the same.
    Identity(String),
    /// They name the same object, such as `Deployment/wandb`.
    Object(String),
    /// Both may have entries in some target. Where is told only by what is seen there: a spec that was changed does
    /// not name the object any more that still has them.
    AnyTarget,
}

/// A resource as far as it stands in others' way.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    pub(super) created: Option<Time>,
    pub(super) activity: Activity,
    pub(super) places: Vec<ContestedPlace>,
    /// The reason in the condition of a resource of another kind that loses a claim to this one.
    pub(super) superseded_reason: Reason,
    /// Its target, as far as it is known.
    pub target: Option<Target>,
    /// The names by which its entries are recognised.
    pub owner: Owner,
    /// Whether it has published values, as far as its status shows.
    pub publication: PublicationState,
    pub(super) proof: Proof,
    pub(super) identified: Identified,
    /// The objects in which it has entries.
    pub(super) delivered: BTreeSet<String>,
    pub(super) target_sharing: TargetSharing,
    /// The exclusive settings that it decides at any target.
    exclusive_settings: Vec<&'static str>,
    /// For a resource that cannot be decoded: all exclusive settings of its kind, because it may decide any of
    /// them.
    undecodable_settings: &'static [&'static str],
    /// Whether it may have entries in a target.
    may_have_entries: bool,
}

/// Whether a resource has published values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationState {
    /// Its Secret was seen.
    Yes,
    /// Not yet.
    No,
}

/// Whether the checks of a resource's spec passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They passed, and fail by no more than is tolerated.
    Verified,
    /// They did not.
    Unverified,
    /// The status says nothing about it.
    Unchecked,
}

/// How strong the claim of a resource to its identity is, as far as its status shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identified {
    /// It has published values for its present spec.
    Works,
    /// It has published values, and did not lose its identity to another resource.
    Published,
    /// It has not published values, or has lost its identity.
    Wants,
}

/// Whether a resource takes part in the competition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Active,
    /// The pods did not become available with it, and there is no earlier revision to go back to.
    Failed,
    Suspended,
    /// It is being deleted, or leaves the target.
    Leaving,
    /// This version of the operator cannot decode it: it keeps what it has, and takes over nothing.
    Unreadable,
}

impl Contender {
    /// The resource as a contender; `None` if it cannot compete with any other.
    pub fn of<K: Kind>(object: &K) -> Option<Self> {
        let target = object.common().target.as_ref().and_then(Target::of);
        let own = object.unique_identity().map(ContestedPlace::Identity);
        let exclusive_settings = object.exclusive_settings();
        let places: Vec<_> = own.into_iter().chain(seats_at(target.as_ref(), &exclusive_settings)).collect();
        let may_have_entries = target.is_some() || Finalizer::Target.holds(object);
        // Who has entries in a target is in the way there even where its spec names none any more.
        if places.is_empty() && !may_have_entries {
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
        let generation = object.meta().generation;
        Some(Self {
            kind: K::kind(&()).into_owned(),
            name: object.name_any(),
            created: object.meta().creation_timestamp.clone(),
            activity,
            places,
            superseded_reason: K::SUPERSEDED_REASON,
            delivered: delivered(object.status(), target.as_ref()),
            target,
            owner: owner_in_targets(object),
            publication: published(object.status()),
            proof: proof(object.status(), generation),
            identified: identified(object.status(), generation),
            target_sharing: K::TARGET_SHARING,
            exclusive_settings,
            undecodable_settings: &[],
            may_have_entries,
        })
    }

    /// The same for an object that may not be decodable.
    pub fn of_guarded<K: Kind>(object: &Guarded<K>) -> Option<Self> {
        match &object.0 {
            Ok(object) => Self::of(object),
            Err(unreadable) => Self::of_unreadable::<K>(unreadable),
        }
    }

    fn of_unreadable<K: Kind>(object: &Unreadable) -> Option<Self> {
        let name = object.metadata.name.clone()?;
        let target = object.target();
        let identity = K::identity_of_undecodable(&name, &object.spec).map(ContestedPlace::Identity);
        let secret_name = object.secret_name().map(str::to_owned);
        let secret_name = secret_name.unwrap_or_else(|| default_secret_name::<K>(&name));
        Some(Self {
            kind: K::kind(&()).into_owned(),
            created: object.metadata.creation_timestamp.clone(),
            activity: match object.metadata.deletion_timestamp {
                Some(_) => Activity::Leaving,
                None => Activity::Unreadable,
            },
            places: identity.into_iter().chain(seats_at(target.as_ref(), K::EXCLUSIVE_SETTINGS)).collect(),
            superseded_reason: K::SUPERSEDED_REASON,
            delivered: delivered(object.status.as_ref(), target.as_ref()),
            target,
            owner: owner_named::<K>(&name, secret_name),
            publication: published(object.status.as_ref()),
            proof: Proof::Unchecked,
            identified: identified(object.status.as_ref(), object.metadata.generation),
            target_sharing: K::TARGET_SHARING,
            exclusive_settings: K::EXCLUSIVE_SETTINGS.to_vec(),
            undecodable_settings: K::EXCLUSIVE_SETTINGS,
            may_have_entries: true,
            name,
        })
    }

    /// The same contender, competing again although it may have failed before.
    #[must_use]
    pub fn trying_again(mut self) -> Self {
        if self.activity == Activity::Failed {
            self.activity = Activity::Active;
        }
        self
    }

    /// The same contender with its identity as the only claim.
    pub(super) fn without_seats(&self) -> Self {
        let mut contender = self.clone();
        contender.places.retain(|place| matches!(place, ContestedPlace::Identity(_)));
        contender
    }

    /// The same contender with the result of the checks of the current run, which no status shows yet.
    #[must_use]
    pub fn proven(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// The same, as one that is on its way out of this target.
    pub(in crate::engine) fn leaving(&self, target: &Target) -> Self {
        Self {
            may_have_entries: true,
            activity: Activity::Leaving,
            places: seats_at(Some(target), &self.exclusive_settings).collect(),
            target: Some(target.clone()),
            ..self.clone()
        }
    }

    /// An object of the other one's target in which this one still has entries although its spec does not name
    /// the object any more, so that the other one replaces them.
    pub(super) fn is_left_at(&self, other: &Self) -> Option<&String> {
        let decides_the_same =
            self.exclusive_settings.iter().any(|setting| other.exclusive_settings.contains(setting))
                || self.target_sharing == TargetSharing::Merged && self.kind == other.kind;
        let names = |target: &Option<Target>, object: &String| {
            let mut objects = target.iter().flat_map(Target::objects);
            objects.any(|named| named.to_string() == *object)
        };
        let is_left = |object: &&String| names(&other.target, object) && !names(&self.target, object);
        self.delivered
            .iter()
            .find(is_left)
            .filter(|_| decides_the_same && self.activity != Activity::Unreadable)
    }

    /// What it may have in common with others.
    pub(in crate::engine) fn meeting_points(&self) -> Vec<MeetingPoint> {
        let places = self.places.iter().map(|place| match place {
            ContestedPlace::Identity(what) => MeetingPoint::Identity(what.clone()),
            ContestedPlace::Setting { object, .. } => MeetingPoint::Object(object.clone()),
        });
        let named = self.target.iter().flat_map(Target::objects).map(ToString::to_string);
        let objects = named.chain(self.delivered.iter().cloned()).map(MeetingPoint::Object);
        let any = self.may_have_entries.then_some(MeetingPoint::AnyTarget);
        places.chain(objects).chain(any).collect()
    }

    /// Whether it is being deleted, or moves away.
    pub fn is_leaving(&self) -> bool {
        self.activity == Activity::Leaving
    }

    /// Whether it did not work in the pods, and has no earlier revision to go back to.
    pub fn has_failed(&self) -> bool {
        self.activity == Activity::Failed
    }

    /// Whether it has values that can be delivered at once.
    pub fn can_deliver(&self) -> bool {
        (self.publication == PublicationState::Yes || self.proof == Proof::Verified) && !self.has_failed()
    }

    /// Whether it may take over the entries that another one leaves. A resource that shares its target and has no
    /// values cannot take anything over.
    pub(super) fn may_inherit(&self) -> bool {
        self.target_sharing == TargetSharing::Exclusive
            || self.can_deliver()
            || self.proof == Proof::Unchecked
    }

    /// Whether it cannot be decoded and its target is not known.
    pub fn may_be_anywhere(&self) -> bool {
        self.activity == Activity::Unreadable && self.target.is_none()
    }

    /// Whether both are the same resource.
    pub fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }

    /// Whether both deliver to an object in common.
    pub fn shares_target(&self, other: &Self) -> bool {
        matches!((&self.target, &other.target), (Some(a), Some(b)) if a.shares_object(b))
    }

    /// Whether this one, which cannot be decoded, may decide an exclusive setting that the other one claims.
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        let setting = |place: &ContestedPlace| matches!(place, ContestedPlace::Setting { setting, .. } if self.undecodable_settings.contains(setting));
        other.places.iter().any(setting)
    }

    /// The first claim that both have in common.
    pub(super) fn contested(&self, other: &Self) -> Option<&ContestedPlace> {
        self.places.iter().find(|place| other.places.contains(place))
    }

    pub(super) fn holds(&self, place: &ContestedPlace) -> bool {
        match (self.activity, place) {
            (Activity::Active, _) | (Activity::Suspended | Activity::Failed, ContestedPlace::Identity(_)) => {
                true
            }
            (Activity::Unreadable, ContestedPlace::Identity(_)) => self.publication == PublicationState::Yes,
            (Activity::Unreadable, ContestedPlace::Setting { object, .. }) => self.delivered.contains(object),
            (Activity::Suspended | Activity::Failed, ContestedPlace::Setting { .. })
            | (Activity::Leaving, _) => false,
        }
    }

    /// Whether it holds a claim that the other one has, too.
    pub(super) fn is_in_the_way_of(&self, other: &Self) -> bool {
        self.contested(other).is_some_and(|place| self.holds(place))
    }

    /// The order of age: resources that were created earlier come first, and those that no API server has created
    /// come last.
    pub(super) fn precedence_key(&self) -> (bool, Option<&Time>, &str, &str) {
        (self.created.is_none(), self.created.as_ref(), &self.kind, &self.name)
    }

    /// The same contender, with the entries that were seen in these objects of the target.
    pub(super) fn with_entries_at(
        mut self,
        target: &Target,
        objects: &BTreeSet<String>,
        found: BTreeSet<String>,
    ) -> Self {
        self.delivered.retain(|object| !objects.contains(object));
        if !self.undecodable_settings.is_empty() && !found.is_empty() {
            let named = target.objects().into_iter().filter(|object| found.contains(&object.to_string()));
            let places = named.flat_map(|object| seats_at(Some(object), self.undecodable_settings));
            let further: Vec<_> = places.filter(|place| !self.places.contains(place)).collect();
            self.places.extend(further);
            self.target.get_or_insert_with(|| target.clone());
        }
        self.delivered.extend(found);
        self
    }

    /// Gives up a doubtful exclusive setting of a resource that cannot be decoded, if this other one is known to
    /// decide it.
    pub(super) fn spare(&mut self, other: &Self) {
        let is_doubtful = !self.undecodable_settings.is_empty() && self.kind != other.kind;
        if is_doubtful && other.undecodable_settings.is_empty() {
            self.places.retain(|place| match place {
                ContestedPlace::Setting { object, .. } => {
                    !(other.delivered.contains(object) && other.places.contains(place))
                }
                ContestedPlace::Identity(_) => true,
            });
        }
    }
}

fn seats_at<'a>(
    target: Option<&'a Target>,
    exclusive_settings: &'a [&'static str],
) -> impl Iterator<Item = ContestedPlace> + 'a {
    target.into_iter().flat_map(Target::objects).flat_map(move |object| {
        let place =
            move |setting: &&'static str| ContestedPlace::Setting { setting, object: object.to_string() };
        exclusive_settings.iter().map(place)
    })
}
