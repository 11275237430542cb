//! What people see of a resource. In reading order: `conditions` (from the outcome of a run to the status),
//! `patch` (writing the status), `own_writes` (telling our statuses from those of others), `events` (which
//! changes become events), and `recorder` (writing events).

pub(super) mod conditions;
pub(super) mod events;
pub(super) mod own_writes;
pub(super) mod patch;
pub(super) mod recorder;
