//! The pipeline that every kind shares. It knows nothing of directories, issuers or keys.
//!
//! ```text
//! watch event → resolve (reads) → plan (pure) → probe, tend (network) → judge, publish, render (pure)
//!             → apply (writes) → status (pure) → patch if changed → requeue
//! ```
//!
//! [`reconcile`] is that line as code; every other module is one step of it.

pub mod metrics;

mod cache;
mod checks;
mod context;
mod controller;
mod deletion;
mod delivery;
mod finalizer;
mod inputs;
mod kind;
mod namespace_deletion;
mod plan;
mod precedence;
mod publish;
mod reconcile;
mod registry;
mod rejection;
mod scheduling;
mod status;
mod watching;

pub use cache::Memory;
pub use checks::connection::{Protection, connect, encrypt_stage, reach};
pub use checks::context::Scene;
pub use checks::history::{Question, Remembered, Renewal, Schedule, Verdict};
pub use checks::report::{Account, Awaited, Checked, Finding, Findings, Report};
pub use checks::run::{Examination, Examined};
pub use context::{Context, Waits};
pub use controller::{Scope, control};
pub use inputs::Inputs;
pub use inputs::fingerprint::CheckedInputs;
pub use inputs::references::{
    Fetched, FoundResource, Need, Neighbour, ObjectKey, Reference, ReferenceSource, fetch,
};
pub use kind::{Figures, FirstCheck, Kind, RenderContext, Traces, Upkeep};
pub use namespace_deletion::look_for_endings;
pub use plan::{InputsHash, Planned, Prepared, prepare, references};
pub use precedence::{Claim, Claimant, Tenancy, judge};
pub use publish::secret::{MANAGER, owner_in_targets, read, secret_name};
pub use publish::{Candidate, Content, Existing, Publication, decide};
pub use reconcile::reconcile;
pub use registry::Registry;
pub use status::events::{Notice, Tone};
pub use status::recorder::Events;
pub use watching::heartbeat::{heartbeat, look_for_namespace};

pub use crate::values::{CA_FILE, Env, Field, Values};
pub use watching::health::Watches;
pub use watching::targets::watch_targets;
