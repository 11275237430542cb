//! What a run came to, from which its status is derived.

use crate::engine::{
    CheckedInputs, Finding, Findings, Publication, RunVerdict, delivery::Delivered, run_record::RunRecord,
};
use crate::problem::Problem;

/// What a run came to.
pub enum Outcome<'a> {
    /// `spec.suspend` is true: nothing was looked at.
    Suspended,
    /// The spec does not make sense by itself.
    NotAccepted(Problem),
    /// A reference leads to nothing usable.
    Unresolved(Problem),
    /// The checks ran, now or earlier with the same inputs.
    Checked {
        /// How the findings count.
        verdict: RunVerdict,
        /// Every finding.
        findings: &'a Findings,
        /// What the findings speak of.
        checked_inputs: CheckedInputs,
    },
}

/// Everything that the status is derived from, beside the status before.
pub struct StatusInputs<'a> {
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// What the run came to.
    pub outcome: Outcome<'a>,
    /// What became of the Secret; nothing is known of it where it was not looked at.
    pub publication: Option<Publication>,
    /// What became of the values at the target, where there is one and it was looked at.
    pub delivered: Option<&'a Delivered>,
    /// Whether the spec has a target.
    pub destination: Destination,
    /// The findings about the target.
    pub looks: &'a [Finding],
    /// Name of the published Secret.
    pub secret_name: String,
    /// `spec.failureThreshold`.
    pub threshold: u32,
    /// What the run did, and when.
    pub record: RunRecord,
    /// The resource as arguments of kubectl, such as `ldap corp -n wandb`.
    pub resource: String,
}

/// Where the values of a resource go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Into the Secret alone.
    Secret,
    /// Into the Secret, and from there to a target.
    Target,
}
