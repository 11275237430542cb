//! What a target tells of the server's settings, for people.

use std::collections::{BTreeMap, BTreeSet};

use super::Dialect;

/// The settings of a server that a look at its target tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The environment variables that are written out in the target, by name.
    pub literals: BTreeMap<String, String>,
    /// The names of those whose values come from elsewhere, such as a Secret.
    pub references: BTreeSet<String>,
    /// Where people open W&B in their browsers, if the target tells it: a URL or a host name.
    pub host: Option<String>,
    /// Which names the server reads, as far as the target tells.
    pub dialect: Dialect,
    /// What about the target deserves a look before a rollout, as sentences; nothing where that was not
    /// looked at.
    pub remarks: Option<Vec<String>>,
}
