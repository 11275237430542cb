//! What people see: conditions, events, and the one write of a status.

pub(super) mod conditions;
pub(super) mod events;
pub(super) mod own_writes;
pub(super) mod patch;
pub(super) mod recorder;
