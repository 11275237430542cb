//! Checks from a pod like the server's, for what only such a pod can see.
//!
//! In reading order: [`ProbePod`] is the pod, made of the pod template of the server. Its container runs
//! `check --from-environment --termination-message FILE`, and [`ProbeVerdict`] is what that leaves in the
//! container's status. [`ProbeProgress`] reads the status of the pod. All of it is pure.

mod pod;
mod progress;
mod verdict;

pub use pod::{CandidateAuthorities, PROBE_CONTAINER, ProbePod, RESOURCE_VARIABLE};
pub use progress::ProbeProgress;
pub use verdict::{KindVerdict, MESSAGE_LIMIT, ProbeVerdict, UnreadableVerdict};
