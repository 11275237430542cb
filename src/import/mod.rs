//! Makes custom resources from the settings of a running server. This is pure.
//!
//! In reading order: an [`Installation`] is what was read from a [`workload`], from W&B's [`resource`] or from the
//! values of a [`chart`]. [`resolve`] makes a [`FoundEnvironment`] of it, which is the environment of the server's
//! container. Each kind turns that into a [`Recovery`] (`render::inverse` in the folder of the kind, which uses the
//! kind's own table of names), and [`draft`] makes the resource. [`plan_of`] does the same for values that were
//! published before, and [`checkable`] for those that a running server has, as far as they can be checked.
//!
//! Invariants:
//!
//! - A setting that a spec cannot express stays where it is, and is reported; it is never approximated.
//! - A secret value is never copied from a Secret into a resource: the resource refers to the Secret.

mod certificates;
pub mod chart;
mod checkable;
mod draft;
mod expansion;
mod found;
mod imaginary;
pub mod layers;
mod read_back;
mod recovery;
mod remarks;
pub mod resource;
#[cfg(test)]
pub(crate) mod samples;
mod server;
mod stand_in;
mod subject;
mod wording;
pub mod workload;

pub use certificates::{Authorities, CertificatePlace, Certificates, TrustPurpose};
pub use checkable::{CheckableSettings, checkable, checkable_of};
pub use draft::{Comparison, Recoverable, ResourceDraft, ResourceIdentity, draft};
pub use found::{FoundEnvironment, Setting, Variable, VariableSource, resolve};
pub use read_back::plan_of;
pub use recovery::{BIND, CLIENT, Flag, Hole, Loss, NewSecretKey, Recovery, made_names};
pub use server::{alone, remark_on_proxies, remarks_on_server, remarks_on_variables};
pub use stand_in::{SettingNeed, StandIn};
pub use subject::{EntryOrigin, EnvironmentEntry, Installation, ServerShape};
