//! How many runs there are at a time, in fair shares, and when one that failed is tried again.

pub(super) mod api_permits;
pub(super) mod backoff;
pub(super) mod slots;
