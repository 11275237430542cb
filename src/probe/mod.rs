//! Checks from a pod like the server's: what such a pod answers.
//!
//! The pod's container runs `check --from-environment --termination-message FILE`, and Kubernetes shows what it
//! wrote in the container's status.

mod verdict;

pub use verdict::{KindVerdict, MESSAGE_LIMIT, ProbeVerdict, UnreadableVerdict};
