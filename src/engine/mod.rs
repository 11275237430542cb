//! The pipeline that every kind shares, from a change in the cluster to the status of a resource. It knows a kind
//! only through the trait [`Kind`].
//!
//! ```text
//! watch event → resolve → plan → check → publish → deliver → status → next run
//! ```
//!
//! | step | what it does | effect | where |
//! |---|---|---|---|
//! | resolve | reads the objects to which the spec refers | reads | `inputs` ([`fetch`]) |
//! | plan | validates the spec, and joins it with the referenced values | pure | `plan` ([`prepare`]) |
//! | check | makes the checks at the servers, and maintains what the spec asks for there | network | `checks` |
//! | publish | decides what the Secret holds, and writes it | one write | `publish` ([`decide`]) |
//! | deliver | brings the published values to the pods of the target | one write a step | `delivery` |
//! | status | derives conditions and events, and writes what has changed | one write | `status` |
//!
//! `reconcile` has these steps as code. In reading order:
//!
//! - `kind`: the trait of the kinds. `context`: what all runs of a kind share. `cache`: what is remembered of each
//!   resource between runs.
//! - `reconcile`: one run; `rejection`: what a refused write means for it.
//! - `inputs`, `plan`, `checks`, `publish`, `delivery`, `status`: its steps.
//! - `server_pod`: the checks where a pod like the server's makes them.
//! - `precedence`: which of several resources has what only one may have.
//! - `deletion`, `finalizer`, `namespace_deletion`: the last run of a resource.
//! - `watching`, `registry`, `scheduling`, `controller`: which changes lead to a run, and when it begins.
//! - `metrics`: what Prometheus reads.

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
mod plan;
mod precedence;
mod publish;
mod reconcile;
mod registry;
mod rejection;
mod run_record;
mod scheduling;
mod server_pod;
mod spec_digest;
mod status;
mod watching;

pub use crate::values::{CA_FILE, Env, Field, Values};
pub use cache::ResourceCache;
pub use checks::advice::coming_from;
pub use checks::connection::{Protection, check_tls, connect, encrypt_stage_or, reach};
pub use checks::context::{CheckContext, Repetition};
pub use checks::finding::{Checked, Finding, Findings};
pub use checks::history::{CheckHistory, CheckKey, Renewal, RunVerdict};
pub use checks::report::{Account, Awaited, Report};
pub use checks::run::{CheckOutcome, CheckRun};
pub use checks::schedule::Schedule;
pub use context::{Context, Waits};
pub use controller::{WatchScope, run_controller};
pub use inputs::Inputs;
pub use inputs::fingerprint::CheckedInputs;
pub use inputs::references::{
    Fetched, FoundResource, ObjectKey, Reference, ReferenceSource, ReferencedKind, Requirement, fetch,
};
pub use kind::{FirstCheck, Kind, Maintenance, MetricTimestamps, RemoteState, RenderContext};
pub use namespace_deletion::look_for_endings;
pub use plan::{InputsHash, Planned, Prepared, prepare, references};
pub use precedence::{Claim, Contender, TargetSharing, judge};
pub use publish::secret::{MANAGER, owner_in_targets, read, secret_name};
pub use publish::{Candidate, Existing, Publication, SecretContent, decide};
pub use reconcile::reconcile;
pub use registry::Registry;
pub use server_pod::ServerPods;
pub use spec_digest::SpecDigest;
pub(crate) use spec_digest::digest_of;
pub use status::events::{EventDraft, EventType};
pub use status::recorder::Events;
pub use watching::health::Watches;
pub use watching::heartbeat::{heartbeat, look_for_namespace};
pub use watching::objects::watch_references;
pub use watching::targets::watch_targets;
