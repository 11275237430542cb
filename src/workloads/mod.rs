//! Delivers published values to workloads: to Deployments, `StatefulSet`s, or the W&B operator's own resource.
//!
//! In reading order: [`Target`] is the address that the spec gives, [`Owner`] is the resource on whose behalf a
//! target is changed, and [`Delivery`] is what the target must have. [`read`] returns a [`TargetSnapshot`].
//! Everything that is decided from it is pure: which entries the owner [has there](TargetSnapshot::standing), which
//! [change](TargetSnapshot::change) the target needs, and which settings of the server its
//! [environment](TargetSnapshot::environment) shows. [`apply_change`] makes the change, and [`rollout`] judges its
//! result. [`Several`] combines several objects, so that callers can treat them as one target.
//!
//! Invariants:
//!
//! - An entry of somebody else is never changed, except by [`TargetSnapshot::take_over`]. The owner's entries are
//!   those that refer to one of its revisions.
//! - A change is made to the version of the target that the snapshot shows, or not at all.
//! - This module never writes a Secret. It reads only Secrets with the values of W&B's chart, and no revision.

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
pub use environment::{Environment, RESTORE_MODE};
pub use expansion::{Piece, pieces};
pub use failures::Sightings;
pub use in_use::in_use;
pub use owner::Owner;
pub use present::{EntryHolder, PresentVariable, ValueOrigin, ValuePart};
pub use references::revisions as revisions_in;
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

/// What only one resource may decide at a target: how people log in. The text completes a sentence in messages.
pub const LOGIN_SETTINGS: &str = "the sign-in";

/// What a user can do about entries of somebody else. Throughout, the server has either the old entries or ours.
pub(crate) const ADVICE_TO_ADOPT: &str = "Leave what is there in place until this resource has taken it over: set spec.target.adopt to Equal (where the values are the same) or to Replace, as docs/delivery/adopting says.";

/// Which revisions the owner's entries in a target refer to, and who changed that last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedState {
    /// The revisions that the owner's entries refer to: none, one, or several if somebody changed only some
    /// entries.
    pub numbers: BTreeSet<u64>,
    /// When the owner's field manager last changed the target, or `None` if it has no field there.
    pub applied_at: Option<Timestamp>,
    /// Who else pointed the owner's entries to their current revision.
    pub moved: Option<RepointedBy>,
    /// The workloads that were made of the target, but no longer have its entries.
    pub undone: Option<Undone>,
}

/// Workloads that were made of a target and matched it, until somebody else changed them. They count only if
/// nobody, such as the W&B operator, corrects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The revisions that these workloads refer to instead.
    pub numbers: BTreeSet<u64>,
    /// The workloads, such as `Deployment/wandb`, each with its generation.
    pub workloads: Vec<(String, Option<i64>)>,
    /// Who changed the workloads last.
    pub by: RepointedBy,
}

impl Undone {
    /// The titles of the workloads, such as `Deployment/wandb`.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.workloads.iter().map(|(title, _)| title.as_str())
    }
}

/// Records that somebody else pointed entries to another revision, as `kubectl rollout undo` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepointedBy {
    /// The field manager that changed them.
    pub by: String,
    /// The time of the change.
    pub at: Option<Timestamp>,
}

/// A target, as it was when it was read.
#[derive(Clone, Debug)]
pub enum TargetSnapshot {
    /// A Deployment or a StatefulSet.
    Workload(Workload),
    /// The W&B operator's own resource.
    WeightsAndBiases(WeightsAndBiases),
    /// Several workloads, or several containers of one, as one target.
    Several(Several),
}

/// A change to a target. It is valid only for the version of the snapshot from which it was computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A server-side apply configuration: everything that the owner's field manager must have in the target.
    Apply(serde_json::Value),
    /// A JSON merge patch (RFC 7386) with the fields that must change.
    Merge(serde_json::Value),
    /// Like [`Change::Apply`], where the target already has all the values, so that only the ownership of fields
    /// changes.
    Claim(serde_json::Value),
    /// The changes of several parts of the target, each with the position of its part. All are made or none.
    Several(Vec<(usize, Change)>),
}

impl Change {
    /// Whether the change affects only the ownership of fields, because the target already has all the values.
    pub fn is_claim(&self) -> bool {
        match self {
            Self::Claim(_) => true,
            Self::Several(changes) => changes.iter().all(|(_, change)| change.is_claim()),
            Self::Apply(_) | Self::Merge(_) => false,
        }
    }
}

/// The result of [`apply_change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyResult {
    /// The target has the change.
    Changed,
    /// The target no longer has the version of the snapshot and must be read again. The text is the API server's
    /// message.
    Stale(String),
}

/// Reads a target. The result is `None` if the object does not exist. For a target of several objects, a missing
/// one is a problem.
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
        // `read` has already split the target into its objects.
        Target::Several(_) => Ok(Ok(None)),
    }
}

/// The problem that an object of the target does not exist.
pub fn missing(object: &Target) -> Problem {
    let (kind, name) = (object.kind(), object.name());
    Problem::new(
        Reason::TargetNotFound,
        format!("There is no {kind} \"{name}\" in this namespace. Create it, or correct spec.target."),
    )
}

/// Shows what a delivery adds to a target that has no entries yet. It is for people to read, and has one object for
/// each version in which the target may be stored.
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
    /// The UIDs of the objects. An object that was deleted and created again has another one.
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

    /// Which revisions the owner's entries refer to, and who changed that last.
    pub fn standing(&self, owner: &Owner) -> AppliedState {
        match self {
            Self::Workload(seen) => seen.standing(owner),
            Self::WeightsAndBiases(seen) => seen.standing(owner),
            Self::Several(seen) => seen.standing(owner),
        }
    }

    /// The change that brings the owner's entries to the delivery or, without a delivery, removes them. It is
    /// `None` if nothing has to change. Entries of the owners in `displaced` may be taken over; entries of anybody
    /// else are a problem.
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

    /// Like [`change`](Self::change), but takes over the variables of everybody else that are in the way.
    pub fn take_over(&self, owner: &Owner, delivery: &Delivery<'_>) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(seen) => seen.take_over(owner, delivery),
            Self::Several(seen) => seen.take_over(owner, delivery),
            Self::WeightsAndBiases(seen) => seen.take_over(owner, delivery),
        }
    }

    /// The variables that the target has now under the names of the delivery, and all other variables of the owner.
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

    /// The change that makes the workloads match the target again, or `None` if that change has already been made.
    pub fn repair(&self, owner: &Owner, undone: &Undone) -> Result<Option<Change>, Problem> {
        match self {
            Self::Workload(_) | Self::Several(_) => Ok(None),
            Self::WeightsAndBiases(seen) => seen.repair(owner, undone),
        }
    }

    /// The settings of the server, as far as the target shows them.
    pub fn environment(&self) -> Environment {
        match self {
            Self::Workload(seen) => seen.environment(),
            Self::WeightsAndBiases(seen) => seen.environment(),
            Self::Several(seen) => seen.environment(),
        }
    }

    /// The same target, with deliveries limited to the objects of `target`. A rollback must reach only the objects
    /// for which the earlier revision was made.
    #[must_use]
    pub fn reaching(self, target: &Target) -> Self {
        match self {
            Self::Several(seen) => Self::Several(seen.reaching(target)),
            one => one,
        }
    }

    /// Each object, and whether deliveries include it.
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
