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
mod index;
mod inputs;
mod kind;
mod namespace_deletion;
mod object_watch;
mod plan;
mod precedence;
mod publish;
mod reconcile;
mod registry;
mod rejection;
mod scheduling;
mod spec_digest;
mod status;
mod watching;

pub use crate::values::{CA_FILE, Env, Field, Values};
pub use cache::ResourceCache;
pub use checks::connection::{Protection, check_tls, connect, reach};
pub use checks::context::CheckContext;
pub use checks::history::{CheckHistory, CheckKey, Renewal, RunVerdict, Schedule};
pub use checks::report::{Account, Awaited, Checked, Finding, Findings, Report};
pub use checks::run::{CheckOutcome, CheckRun};
pub use context::{Context, Waits};
pub use controller::{WatchScope, run_controller};
pub use inputs::Inputs;
pub use inputs::fingerprint::CheckedInputs;
pub use inputs::references::{
    Fetched, FoundResource, ObjectKey, Reference, ReferenceSource, ReferencedKind, Requirement, fetch,
};
pub use kind::{FirstCheck, Kind, Maintenance, MetricTimestamps, RemoteState, RenderContext};
pub use namespace_deletion::look_for_endings;
pub use object_watch::watch_references;
pub use plan::{InputsHash, Planned, Prepared, prepare, references};
pub use precedence::{Claim, Contender, TargetSharing, judge};
pub use publish::secret::{MANAGER, owner_in_targets, read, secret_name};
pub use publish::{Candidate, Existing, Publication, SecretContent, decide};
pub use reconcile::reconcile;
pub use registry::Registry;
pub use spec_digest::SpecDigest;
pub use status::events::{EventDraft, EventType};
pub use status::recorder::Events;
pub use watching::health::Watches;
pub use watching::heartbeat::{heartbeat, look_for_namespace};
pub use watching::targets::watch_targets;
