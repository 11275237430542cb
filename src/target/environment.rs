//! What a target tells of the server's settings, for people.

use std::collections::BTreeMap;

/// The settings of a server that a look at its target tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The environment variables that are written out in the target, by name.
    pub literals: BTreeMap<String, String>,
    /// Where people open W&B in their browsers, if the target tells it: a URL or a host name.
    pub host: Option<String>,
    /// What about the target deserves a look before a rollout, as sentences.
    pub remarks: Vec<String>,
}
