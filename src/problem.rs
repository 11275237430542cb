//! `Problem`: a mistake of the user's, or of a remote server, which becomes a condition.

use crate::api::Reason;
pub(crate) use crate::quoting::{CUT, capitalized, enumerate, without_user};
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

    /// Fails with all of these as one, if there are any: the first one's reason, and every message once.
    pub fn all(problems: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut messages: Vec<String> = Vec::new();
        let mut reason = None;
        for problem in problems {
            reason.get_or_insert(problem.reason);
            if !messages.contains(&problem.message) {
                messages.push(problem.message);
            }
        }
        reason.map_or(Ok(()), |reason| Err(Self::new(reason, messages.join(" "))))
    }

    /// Refuses a spec with this message; its full stop may be left out.
    pub fn invalid_spec<T>(message: impl AsRef<str>) -> Result<T, Self> {
        let message = format!("{}.", message.as_ref().trim_end_matches('.'));
        Err(Self::new(Reason::InvalidSpec, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_problems_become_one() {
        let problem = |reason, message: &str| Problem::new(reason, message);
        assert_eq!(Problem::all([]), Ok(()));
        let (a, b) = (problem(Reason::InvalidSpec, "A."), problem(Reason::KeyNotFound, "B."));
        assert_eq!(Problem::all([a.clone(), b, a]), Err(problem(Reason::InvalidSpec, "A. B.")));
    }
}
