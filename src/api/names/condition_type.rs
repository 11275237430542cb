//! The types of conditions.

use strum::{Display, EnumIter, IntoStaticStr};

/// The type of a condition in `status.conditions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter)]
pub enum ConditionType {
    /// The spec is valid.
    Accepted,
    /// Every referenced key exists and parses.
    ResolvedRefs,
    /// No check failed.
    Verified,
    /// The Secret holds exactly the current spec and inputs.
    Published,
    /// The target's pods run with the published values; absent without a target.
    RolledOut,
    /// All of the above.
    Ready,
    /// Work is under way; absent otherwise (kstatus).
    Reconciling,
    /// A person must act; absent otherwise (kstatus).
    Stalled,
}

impl ConditionType {
    /// The type as programs read it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
