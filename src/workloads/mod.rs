//! Delivers published values to workloads: to Deployments, `StatefulSet`s, or the W&B operator's own resource.
//!
//! In reading order: [`Target`] is the address that the spec gives, [`Owner`] is the resource on whose behalf a
//! target is changed, and [`Delivery`] is what the target must have. [`read`] returns a [`TargetSnapshot`].
//! Everything that is decided from it is pure: which entries the owner [has there](TargetSnapshot::standing), which
//! [change](TargetSnapshot::change) the target needs, and which settings of the server its
//! [environment](TargetSnapshot::environment) shows. [`apply_change`] makes the change, and an [`Observer`]
//! sees what becomes of it. [`Several`] combines several objects, so that callers can treat them as one target.
//!
//! Invariants:
//!
//! - An entry of somebody else is never changed, except by [`TargetSnapshot::take_over`]. The owner's entries are
//!   those that refer to one of its revisions.
//! - A change is made to the version of the target that the snapshot shows, or not at all.
//! - This module never writes a Secret. It reads only Secrets with the values of W&B's chart, and no revision.

mod address;
mod applied;
mod change;
mod combined;
mod delivery;
mod effects;
mod environment;
mod expansion;
mod failures;
mod in_use;
mod list;
mod managed_fields;
mod newest;
mod observe;
mod owner;
mod pod_failures;
mod present;
mod read_target;
mod references;
mod rights;
mod rollout;
mod server_template;
mod snapshot;
mod weights_and_biases;
mod workload;

pub use address::{Target, WorkloadAddress};
pub use applied::{AppliedState, RepointedBy, Undone};
pub use change::{ApplyResult, Change};
pub use combined::Several;
pub use delivery::{Delivery, Dialect};
pub use effects::{apply_change, delete_stuck_pods};
pub use environment::{Environment, RESTORE_MODE};
pub use expansion::{Piece, pieces};
pub use failures::Sightings;
pub use in_use::in_use;
pub use observe::Observer;
pub use owner::Owner;
pub use present::{EntryHolder, OtherSources, PresentVariable, ValueOrigin, ValuePart};
pub use references::revisions as revisions_in;
pub use rollout::{Rollout, RolloutDeadline};
pub use server_template::{ServerTemplate, SourceContents, server_template};
pub use snapshot::TargetSnapshot;
use weights_and_biases::rendered_of;
pub use weights_and_biases::{WeightsAndBiases, stored_resource, v1};
pub use workload::{AUTHORITIES, DIRECTORY_AUTHORITIES, Workload};

use kube::Client;

use crate::{api::Reason, error::StepError, problem::Problem};

/// What only one resource may decide at a target: how people log in. The text completes a sentence in messages.
pub const LOGIN_SETTINGS: &str = "the sign-in";

/// What a user can do about entries of somebody else. Throughout, the server has either the old entries or ours.
pub(crate) const ADVICE_TO_ADOPT: &str = "Leave what is there in place until this resource has taken it over: set spec.target.adopt to Equal (where the values are the same) or to Replace, as docs/delivery/adopting says.";

/// Reads a target. The result is `None` if the object does not exist. For a target of several objects, a missing
/// one is a problem.
pub async fn read(
    client: &Client,
    namespace: &str,
    target: &Target,
) -> Result<Option<TargetSnapshot>, StepError> {
    let mut parts = Vec::new();
    for object in target.objects() {
        match read_object(client, namespace, object, target.containers_of(object)).await? {
            Some(seen) => parts.push(seen),
            None if matches!(target, Target::Several(_)) => return Err(missing(object).into()),
            None => return Ok(None),
        }
    }
    Ok(Several::of(parts))
}

async fn read_object(
    client: &Client,
    namespace: &str,
    object: &Target,
    containers: Vec<Option<String>>,
) -> Result<Option<TargetSnapshot>, StepError> {
    match object {
        Target::Deployment(_) | Target::StatefulSet(_) => {
            let read = workload::read(client, namespace, object).await?;
            Ok(read.map(|seen| TargetSnapshot::Workload(seen.with_containers(containers))))
        }
        Target::WeightsAndBiases { name } => {
            let read = weights_and_biases::read(client, namespace, name).await?;
            Ok(read.map(TargetSnapshot::WeightsAndBiases))
        }
        // `read` has already split the target into its objects.
        Target::Several(_) => Ok(None),
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
