//! From what happens in the cluster to runs: watches, how they are doing, and which change concerns whom.

pub(super) mod health;
pub(super) mod heartbeat;
pub(super) mod targets;
pub(super) mod triggers;
pub(super) mod trouble;
pub(super) mod undecodable;
pub(super) mod watch;
