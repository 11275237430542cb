//! The pipeline that every kind shares. It knows nothing of directories, issuers or keys.
//!
//! ```text
//! watch event → resolve (reads) → plan (pure) → probe, tend (network) → judge, publish, render (pure)
//!             → apply (writes) → status (pure) → patch if changed → requeue
//! ```
//!
//! [`reconcile`] is that line as code; every other module is one step of it.

mod accept;
mod backoff;
mod changes;
mod checked_inputs;
mod claims;
mod context;
mod controller;
mod delivery;
mod dial;
mod endings;
mod events;
mod finalizer;
mod follow;
mod guarded;
mod heartbeat;
mod inputs;
mod kind;
mod memory;
mod notices;
mod plan;
mod probe;
mod publish;
mod recall;
mod reconcile;
mod references;
mod registry;
mod rejection;
mod release;
mod remembered;
mod report;
mod reported;
mod reporting;
mod scene;
mod secret;
mod secret_value;
mod slots;
mod spread;
mod status;
mod target_watch;
mod trouble;
mod turns;
mod values;
mod watches;

pub use checked_inputs::CheckedInputs;
pub use claims::{Claim, Claimant, Tenancy, judge};
pub use context::{Context, Waits};
pub use controller::{Scope, control};
pub use dial::{Protection, connect, encrypt_stage, reach};
pub use endings::look_for_endings;
pub use events::Events;
pub use heartbeat::{heartbeat, look_for_namespace};
pub use inputs::Inputs;
pub use kind::{Figures, FirstCheck, Kind, RenderContext, Traces, Upkeep};
pub use memory::Memory;
pub use notices::{Notice, Tone};
pub use plan::{InputsHash, Planned, Prepared, prepare, references};
pub use probe::{Examination, Examined};
pub use publish::{Candidate, Content, Existing, Publication, decide};
pub use reconcile::reconcile;
pub use references::{Fetched, FoundResource, Need, Neighbour, ObjectKey, Reference, ReferenceSource, fetch};
pub use registry::Registry;
pub use remembered::{Question, Remembered, Renewal, Schedule, Verdict};
pub use report::{Account, Awaited, Checked, Finding, Findings, Report};
pub use scene::Scene;
pub use secret::{MANAGER, owner_in_targets, read, secret_name};

pub use target_watch::watch_targets;
pub use values::{CA_FILE, Env, Field, Values};
pub use watches::Watches;
