//! Limits the runs, in fair shares by namespace, and decides when a failed one is retried. In reading order:
//! `slots` (how many runs there are at a time), `urgency` (who goes first), `api_permits` (how many of them use the API
//! server), and `backoff` (waits after failures).

pub(super) mod api_permits;
pub(super) mod backoff;
pub(super) mod slots;
pub(super) mod urgency;
