//! Where published values are delivered: Deployments, `StatefulSet`s, or the W&B operator's own resource.
//!
//! In reading order: [`Target`] is the address that the spec gives, [`Owner`] the resource whose entries are
//! meant, [`Delivery`] what the target is to have. [`read`] gives a [`TargetSnapshot`], and everything that is
//! decided of it is pure: how the owner's entries [stand](Seen::standing), which [change](Seen::change) brings
//! them to where they should be, and what its [environment](Seen::environment) tells. [`make`] makes the
//! change, [`rollout`] looks at what became of it. [`Several`] objects are one target for everybody else.
//!
//! Invariants:
//!
//! - An entry of somebody else is never changed, except by [`TargetSnapshot::take_over`]. Ours are those that refer to a
//!   revision of the owner.
//! - A change is made to the version of the target that was seen, or not at all.
//! - This module never writes a Secret. It reads those with the values of W&B's chart, and no revision.

mod address;
mod combined;
mod delivery;
mod effects;
mod environment;
mod expansion;
mod failures;
mod in_use;
mod managed_fields;
mod newest;
mod owner;
mod pod_failures;
mod present;
mod references;
mod rights;
mod rollout;
mod weights_and_biases;
mod workload;

pub use address::{Target, WorkloadAddress};
pub use combined::Several;
pub use delivery::{Delivery, Dialect};
pub use effects::{apply_change, delete_stuck_pods, rollout};
pub use environment::Environment;
pub use expansion::{Piece, pieces};
pub use failures::Sightings;
pub use in_use::in_use;
pub use owner::Owner;
pub use present::{EntryHolder, PresentVariable, ValueOrigin, ValuePart};
pub use rollout::{Rollout, RolloutDeadline};
use weights_and_biases::rendered_of;
pub use weights_and_biases::{WeightsAndBiases, stored_resource, v1};
pub use workload::AUTHORITIES;
pub use workload::Workload;

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::{Client, core::ApiResource};

use crate::workloads::combined::Reach;

use crate::{api::Reason, problem::Problem};

/// What only one resource may decide at a target: how people log in.
pub const LOGIN_SETTINGS: &str = "the sign-in";

/// What to do about entries of somebody else. At no moment of it is the server without theirs and without ours.
pub(crate) const ADVICE_TO_ADOPT: &str = "Leave what is there in place until this resource has taken it over: set spec.target.adopt to Equal (where the values are the same) or to Replace, as docs/delivery/adopting says.";

/// How the owner's entries stand in a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedState {
    /// The revisions that the owner's entries refer to: none, one, or several where somebody changed some.
    pub numbers: BTreeSet<u64>,
    /// When the owner's field manager last changed the target; nothing where it owns nothing there.
    pub applied_at: Option<Timestamp>,
    /// Who else pointed the owner's entries to where they are now.
    pub moved: Option<RepointedBy>,
    /// What was made of the target and does not have the entries as they are in it.
    pub undone: Option<Undone>,
}

/// Workloads that were made of a target and differ from it, once they were like it, because somebody else
/// changed them. Only what nobody else corrects counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The revisions that they refer to instead.
    pub numbers: BTreeSet<u64>,
    /// The objects, such as `Deployment/wandb`, with their generations.
    pub workloads: Vec<(String, Option<i64>)>,
    /// Who changed them last.
    pub by: RepointedBy,
}

impl Undone {
    /// The objects, such as `Deployment/wandb`.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.workloads.iter().map(|(title, _)| title.as_str())
    }
}

/// Entries that somebody else pointed to another revision, such as `kubectl rollout undo` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepointedBy {
    /// The field manager.
    pub by: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// What was read of a target.
#[derive(Clone, Debug)]
pub enum TargetSnapshot {
    /// A Deployment or a StatefulSet.
    Workload(Workload),
    /// The W&B operator's own resource.
    WeightsAndBiases(WeightsAndBiases),
    /// Several workloads, or several containers of one, as one target.
    Several(Several),
}

/// A change to a target, for the version that was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The whole of what the owner's field manager has in the target (server-side apply).
    Apply(serde_json::Value),
    /// The fields that are to be different (JSON merge patch, RFC 7386).
    Merge(serde_json::Value),
    /// The same as [`Change::Apply`], where the target has all of it: only whose it is changes.
    Claim(serde_json::Value),
    /// The changes of several parts of the target, by their position: all of them or none.
    Several(Vec<(usize, Change)>),
}

impl Change {
    /// Whether the target has all of it, so that only whose it is changes.
    pub fn is_claim(&self) -> bool {
        match self {
            Self::Claim(_) => true,
            Self::Several(changes) => changes.iter().all(|(_, change)| change.is_claim()),
            Self::Apply(_) | Self::Merge(_) => false,
        }
    }
}

/// What became of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyResult {
    /// The target has it.
    Changed,
    /// The target is not the one that was seen any more, in the API server's words: look again.
    Stale(String),
}

/// Reads a target; nothing where there is none. Several are read where all of them are there.
pub async fn read(
    client: &Client,
    namespace: &str,
    target: &Target,
) -> Result<Result<Option<TargetSnapshot>, Problem>, kube::Error> {
    let mut parts = Vec::new();
    for object in target.objects() {
        match read_object(client, namespace, object, target.containers_of(object)).await? {
            Ok(Some(seen)) => parts.push(seen),
            Ok(None) if matches!(target, Target::Several(_)) => return Ok(Err(missing(object))),
            other => return Ok(other),
        }
    }
    Ok(Ok(Several::of(parts)))
}

async fn read_object(
    client: &Client,
    namespace: &str,
    object: &Target,
    containers: Vec<Option<String>>,
) -> Result<Result<Option<TargetSnapshot>, Problem>, kube::Error> {
    match object {
        Target::Deployment(_) | Target::StatefulSet(_) => {
            let read = workload::read(client, namespace, object).await?;
            Ok(read.map(|seen| seen.map(|seen| TargetSnapshot::Workload(seen.with_containers(containers)))))
        }
        Target::WeightsAndBiases { name } => Ok(weights_and_biases::read(client, namespace, name)
            .await?
            .map(|seen| seen.map(TargetSnapshot::WeightsAndBiases))),
        // What is several was taken apart.
        Target::Several(_) => Ok(Ok(None)),
    }
}

/// The problem that an object is not there.
pub fn missing(object: &Target) -> Problem {
    let (kind, name) = (object.kind(), object.name());
    Problem::new(
        Reason::TargetNotFound,
        format!("There is no {kind} \"{name}\" in this namespace. Create it, or correct spec.target."),
    )
}

/// What a delivery makes of a target that has no entry of anybody's yet, for people to read: one object for
/// each version that the target may be stored in.
pub fn preview(target: &Target, owner: &Owner, delivery: &Delivery<'_>) -> Vec<serde_json::Value> {
    match target {
        Target::WeightsAndBiases { name } => weights_and_biases::preview(name, owner, delivery),
        workloads => {
            let preview = |object| workload::preview(object, &target.containers_of(object), owner, delivery);
            workloads.objects().into_iter().map(preview).collect()
        }
    }
}

impl TargetSnapshot {
    /// Which very objects were seen: one that was deleted and made again is another one.
    pub fn uids(&self) -> Vec<&str> {
        let parts = self.parts().into_iter();
        parts
            .filter_map(|(seen, _)| match seen {
                Self::Workload(seen) => Some(seen.uid()),
                Self::WeightsAndBiases(seen) => Some(seen.uid()),
                Self::Several(_) => None,
            })
            .collect()
    }

    /// The objects that have entries of the owner, such as `Deployment/wandb`.
    pub fn objects_with(&self, owner: &Owner) -> BTreeSet<String> {
        let has_entries = |(seen, _): &(&Self, Reach)| !seen.standing(owner).numbers.is_empty();
        let parts = self.parts().into_iter().filter(has_entries);
        parts.map(|(seen, _)| format!("{}/{}", seen.resource().kind, seen.name())).collect()
    }

    /// How the owner's entries stand.
    pub fn standing(&self, owner: &Owner) -> AppliedState {
        match self {
            Self::Workload(seen) => seen.standing(owner),
            Self::WeightsAndBiases(seen) => seen.standing(owner),
            Self::Several(seen) => seen.standing(owner),
        }
    }

    /// What brings the owner's entries to the delivery, or out of the target where there is none; nothing
    /// where they are there. Entries of the owners in `displaced` may be taken over, all others are a problem.
    pub fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        displaced: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(seen) => seen.change(owner, delivery, displaced),
            Self::WeightsAndBiases(seen) => seen.change(owner, delivery, displaced),
            Self::Several(seen) => seen.change(owner, delivery, displaced),
        }
    }

    /// The same, where the variables of everybody else that are in the way are taken over.
    pub fn take_over(&self, owner: &Owner, delivery: &Delivery<'_>) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(seen) => seen.take_over(owner, delivery),
            Self::Several(seen) => seen.take_over(owner, delivery),
            Self::WeightsAndBiases(seen) => seen.take_over(owner, delivery),
        }
    }

    /// What the target has under the names of the delivery now, and of the owner's beside that.
    pub fn present(
        &self,
        owner: &Owner,
        delivery: &Delivery<'_>,
        displaced: &[Owner],
    ) -> Vec<PresentVariable> {
        match self {
            Self::Workload(seen) => seen.present(owner, delivery, displaced),
            Self::Several(seen) => seen.present(owner, delivery, displaced),
            Self::WeightsAndBiases(seen) => seen.present(owner, delivery, displaced),
        }
    }

    /// What has the workloads become like the target again; nothing where that is asked for already.
    pub fn repair(&self, owner: &Owner, undone: &Undone) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(_) | Self::Several(_) => Ok(None),
            Self::WeightsAndBiases(seen) => seen.repair(owner, undone),
        }
    }

    /// What the target tells of the server's settings.
    pub fn environment(&self) -> Environment {
        match self {
            Self::Workload(seen) => seen.environment(),
            Self::WeightsAndBiases(seen) => seen.environment(),
            Self::Several(seen) => seen.environment(),
        }
    }

    /// The same, of which deliveries go to the objects of this target only: what a revision was made for is
    /// what it is delivered to.
    #[must_use]
    pub fn reaching(self, target: &Target) -> Self {
        match self {
            Self::Several(seen) => Self::Several(seen.reaching(target)),
            one => one,
        }
    }

    /// Each object, and whether deliveries go to it.
    fn parts(&self) -> Vec<(&Self, Reach)> {
        match self {
            Self::Several(seen) => seen.parts().collect(),
            one => vec![(one, Reach::Within)],
        }
    }

    fn resource(&self) -> ApiResource {
        match self {
            Self::Workload(seen) => seen.resource(),
            Self::WeightsAndBiases(seen) => seen.resource(),
            Self::Several(seen) => seen.first().resource(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Workload(seen) => seen.name(),
            Self::WeightsAndBiases(seen) => seen.name(),
            Self::Several(seen) => seen.first().name(),
        }
    }
}
