//! A change to a target, and its result.

/// A change to a target. It is valid only for the version of the snapshot from which it was computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A server-side apply configuration: everything that the owner's field manager must have in the target.
    Apply(serde_json::Value),
    /// A JSON merge patch (RFC 7386) with the fields that must change.
    Merge(serde_json::Value),
    /// Like [`Change::Apply`], where the target already has all the values, so that only the ownership of fields
    /// changes.
    Claim(serde_json::Value),
    /// The changes of several parts of the target, each with the position of its part. All are made or none.
    Several(Vec<(usize, Change)>),
}

impl Change {
    /// Whether the change affects only the ownership of fields, because the target already has all the values.
    pub fn is_claim(&self) -> bool {
        match self {
            Self::Claim(_) => true,
            Self::Several(changes) => changes.iter().all(|(_, change)| change.is_claim()),
            Self::Apply(_) | Self::Merge(_) => false,
        }
    }
}

/// The result of `apply_change`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyResult {
    /// The target has the change.
    Changed,
    /// The target no longer has the version of the snapshot and must be read again. The text is the API server's
    /// message.
    Stale(String),
}
