//! What people see of a resource. In reading order: `update` (the step in a run), `inputs` (what a status is derived
//! from), `derive` (from there to the status), `conditions` (each condition), `draft` (a condition without its times),
//! `warnings` (what is said of them), `reading` (what an earlier status says), `patch` (writing the status),
//! `own_writes` (telling our statuses from those of others), `events` (which changes become events), `run_events` (the
//! events of one run), and `recorder` (writing events).

mod arrival;
mod conditions;
pub(super) mod derive;
mod draft;
pub(super) mod events;
pub(super) mod inputs;
pub(super) mod own_writes;
pub(super) mod patch;
pub(super) mod reading;
pub(super) mod recorder;
pub(super) mod run_events;
pub(super) mod update;
mod warnings;
