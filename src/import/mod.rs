//! From the settings that a running server has to the custom resources that say the same: pure.
//!
//! In reading order: an [`Installation`] is what was read of a [`workload`], of W&B's [`resource`] or of the values of
//! a [`chart`]; [`resolve`] makes a [`FoundEnvironment`] of it, as the server's container has it. Each kind
//! turns that into a [`Recovery`] (`render::inverse` in the kind's slice, which uses the kind's own table of
//! names), and [`draft`] makes the resource. [`plan_of`] goes the same way from values that were published before.
//!
//! Invariants:
//!
//! - A setting that a spec cannot say stays where it is, and is told; it is never approximated.
//! - A secret value goes from a Secret into no resource: the resource refers to the Secret.

mod certificates;
pub mod chart;
mod draft;
mod expansion;
mod found;
pub mod layers;
mod read_back;
mod recovery;
pub mod resource;
#[cfg(test)]
pub(crate) mod samples;
mod subject;
pub mod workload;

pub use certificates::{Authorities, CertificatePlace, Certificates, TrustPurpose};
pub use draft::{Comparison, Recoverable, ResourceDraft, ResourceIdentity, draft};
pub use found::{FoundEnvironment, Setting, Variable, VariableSource, resolve};
pub use read_back::plan_of;
pub use recovery::{BIND, CLIENT, Flag, Loss, NewSecretKey, Recovery, made_names};
pub use subject::{EntryOrigin, EnvironmentEntry, Installation, ServerShape};
