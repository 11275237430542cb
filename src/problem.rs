//! `Problem`: a mistake of the user's, or of a remote server, which becomes a condition.

use crate::api::Reason;
pub(crate) use crate::quoting::{CUT, capitalized, enumerate};
pub use crate::quoting::{quote, quote_exactly};

/// Why something does not work, for a person to fix. It is reported, and never retried as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason, one word for programs.
    pub reason: Reason,
    /// What was seen, what was expected, and what to do next.
    pub message: String,
}

impl Problem {
    /// A problem with its message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Refuses a spec with this message; its full stop may be left out.
    pub fn invalid_spec<T>(message: impl AsRef<str>) -> Result<T, Self> {
        let message = format!("{}.", message.as_ref().trim_end_matches('.'));
        Err(Self::new(Reason::InvalidSpec, message))
    }
}
