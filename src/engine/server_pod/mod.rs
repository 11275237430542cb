//! Checks that a pod like the server's makes in the place of the operator (`spec.checkFrom: ServerPod`).
//!
//! The checks of [`Kind::probe`](super::Kind::probe) are then made by a pod of the operator's own image, made of the
//! pod template of the target ([`ProbePod`](crate::probe::ProbePod)). A run never waits for it: it looks how far the
//! pod is, takes one step, and says when to look again. All that the next process needs is in the cluster:
//!
//! - `status.serverPod` names the pod and the Secret with its values before either is made. Both have that one name, so
//!   that no resource ever has two pods.
//! - Annotations of the pod say which inputs it checks, and after the rollout of which revision.
//! - The verdict is in the status before the pod that left it is deleted, so that a password that was refused is not
//!   sent by a second pod.
//!
//! In reading order: [`candidate`] makes the objects, [`outcome`] reads the verdict, [`cluster`] reads, creates and
//! deletes, [`step`] takes the next step, about which [`decide`] decides, [`examine`] is the step of the checks in a
//! run, and [`news`] is what the rest of a run asks of all this.

mod candidate;
mod cluster;
mod decide;
mod examine;
mod news;
mod outcome;
mod step;

use std::time::Duration;

pub(in crate::engine) use examine::{HistoryState, examine_from_pod};
pub(in crate::engine) use news::{leave, news, pause, requeue_after, tidy};

/// How the operator makes pods like those of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPods {
    /// The operator's own image.
    pub image: String,
    /// The names of the Secrets with which the image can be pulled, in each namespace.
    pub pull_secrets: Vec<String>,
    /// How long a pod may take to answer, from its creation on.
    pub patience: Duration,
    /// Further arguments of the check: the egress policy.
    pub arguments: Vec<String>,
}

/// What this process knows of the pod of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct PodMemory {
    pub(in crate::engine) presence: PodPresence,
    /// The revision after whose rollout the last verdict came.
    pub(in crate::engine) revision: Option<u64>,
}

/// Whether the pod of a resource, or its Secret, is in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum PodPresence {
    /// This process has not looked yet.
    #[default]
    Unknown,
    /// Neither is there.
    Absent,
    /// They are made next, once the status names them and nothing of an earlier check is in the way.
    Preparing,
    /// They are made once a pod that is being deleted is gone.
    Ending,
    /// They may be there, and the verdict is awaited.
    Underway,
    /// They may be there, and are not needed any more once the status is written.
    Over,
}
