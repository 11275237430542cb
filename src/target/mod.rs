//! Where published values are delivered: a Deployment, a StatefulSet, or the W&B operator's own resource.
//!
//! In reading order: [`Target`] is the address that the spec gives, [`Owner`] the resource whose entries are
//! meant, [`Delivery`] what the target is to have. [`read`] gives a [`Seen`] target, and everything that is
//! decided of it is pure: how the owner's entries [stand](Seen::standing), which [change](Seen::change) brings
//! them to where they should be, and what its [environment](Seen::environment) tells. [`make`] makes the
//! change, [`rollout`] looks at what became of it.
//!
//! Invariants:
//!
//! - An entry of somebody else is never changed. Ours are those that refer to a revision of the owner.
//! - A change is made to the version of the target that was seen, or not at all.
//! - This module never writes a Secret. It reads those with the values of W&B's chart, and no revision.

mod address;
mod delivery;
mod effects;
mod environment;
mod evidence;
mod managed_fields;
mod owner;
mod references;
mod rights;
mod rollout;
mod weights_and_biases;
mod workload;

pub use address::{Target, WorkloadAddress};
pub use delivery::{Delivery, Dialect};
pub use effects::{in_use, in_use_anywhere, make, rollout, unblock};
pub use environment::Environment;
pub use owner::Owner;
pub use rollout::{Patience, Rollout};
use weights_and_biases::rendered_of;
pub use weights_and_biases::{WeightsAndBiases, stored_resource, v1};
pub use workload::Workload;

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::{Client, core::ApiResource};

use crate::problem::Problem;

/// What only one resource may decide at a target: how people log in.
pub const SIGN_IN: &str = "the sign-in";

/// How the owner's entries stand in a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The revisions that the owner's entries refer to: none, one, or several where somebody changed some.
    pub numbers: BTreeSet<u64>,
    /// When the owner's field manager last changed the target; nothing where it owns nothing there.
    pub applied_at: Option<Timestamp>,
    /// Who else pointed the owner's entries to where they are now.
    pub moved: Option<Moved>,
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
    pub by: Moved,
}

impl Undone {
    /// The objects, such as `Deployment/wandb`.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.workloads.iter().map(|(title, _)| title.as_str())
    }
}

/// Entries that somebody else pointed to another revision, such as `kubectl rollout undo` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The field manager.
    pub by: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// What was read of a target.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A Deployment or a StatefulSet.
    Workload(Workload),
    /// The W&B operator's own resource.
    WeightsAndBiases(WeightsAndBiases),
}

/// A change to a target, for the version that was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The whole of what the owner's field manager has in the target (server-side apply).
    Apply(serde_json::Value),
    /// The fields that are to be different (JSON merge patch, RFC 7386).
    Merge(serde_json::Value),
}

/// What became of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The target has it.
    Changed,
    /// The target is not the one that was seen any more: look again.
    Stale,
}

/// Reads a target; nothing where there is none.
pub async fn read(
    client: &Client,
    namespace: &str,
    target: &Target,
) -> Result<Result<Option<Seen>, Problem>, kube::Error> {
    match target {
        Target::Deployment(_) | Target::StatefulSet(_) => {
            Ok(workload::read(client, namespace, target).await?.map(|seen| seen.map(Seen::Workload)))
        }
        Target::WeightsAndBiases { name } => Ok(weights_and_biases::read(client, namespace, name)
            .await?
            .map(|seen| seen.map(Seen::WeightsAndBiases))),
    }
}

/// What a delivery makes of a target that has no entry of anybody's yet, for people to read: one object for
/// each version that the target may be stored in.
pub fn preview(target: &Target, owner: &Owner, delivery: &Delivery<'_>) -> Vec<serde_json::Value> {
    match target {
        Target::Deployment(address) | Target::StatefulSet(address) => {
            vec![workload::preview(target, address, owner, delivery)]
        }
        Target::WeightsAndBiases { name } => weights_and_biases::preview(name, owner, delivery),
    }
}

impl Seen {
    /// How the owner's entries stand.
    pub fn standing(&self, owner: &Owner) -> Standing {
        match self {
            Self::Workload(seen) => seen.standing(owner),
            Self::WeightsAndBiases(seen) => seen.standing(owner),
        }
    }

    /// What brings the owner's entries to the delivery, or out of the target where there is none; nothing
    /// where they are there. Entries of the owners in `yielding` may be taken over, all others are a problem.
    pub fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        yielding: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(seen) => seen.change(owner, delivery, yielding),
            Self::WeightsAndBiases(seen) => seen.change(owner, delivery, yielding),
        }
    }

    /// What has the workloads become like the target again; nothing where that is asked for already.
    pub fn repair(&self, owner: &Owner, undone: &Undone) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(_) => Ok(None),
            Self::WeightsAndBiases(seen) => seen.repair(owner, undone),
        }
    }

    /// What the target tells of the server's settings.
    pub fn environment(&self) -> Environment {
        match self {
            Self::Workload(seen) => seen.environment(),
            Self::WeightsAndBiases(seen) => seen.environment(),
        }
    }

    fn resource(&self) -> ApiResource {
        match self {
            Self::Workload(seen) => seen.resource(),
            Self::WeightsAndBiases(seen) => seen.resource(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Workload(seen) => seen.name(),
            Self::WeightsAndBiases(seen) => seen.name(),
        }
    }
}
