//! The pipeline that every kind shares. It knows nothing of LDAP or OpenID Connect.
//!
//! ```text
//! watch event → resolve (reads) → plan (pure) → probe (network) → judge, publish, render (pure)
//!             → apply (writes) → status (pure) → patch if changed → requeue
//! ```
//!
//! [`reconcile`] is that line as code; every other module is one step of it.

mod dial;
mod kind;
mod plan;
mod probe;
mod report;
mod resolve;
mod values;

pub use dial::{encrypt_stage, reach};
pub use kind::{Kind, RenderContext};
pub use plan::{Planned, Prepared, prepare, references};
pub use probe::probe;
pub use report::{Checked, Finding, Findings, Report};
pub use resolve::{Fetched, Inputs, ObjectKey, Reference, ReferenceSource, fetch};
pub use values::{Env, Values};
