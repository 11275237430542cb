//! How a status and its events speak of the warnings of checks.

use crate::api::{CheckResult, CheckStatus};

/// Precedes the messages of checks in the condition Verified where that is True.
pub(in crate::engine) const WORTH_A_LOOK: &str = " Worth a look: ";

/// The checks that work and deserve a look.
pub(in crate::engine) fn names_of_warnings(checks: &[CheckStatus]) -> Vec<&str> {
    let warnings = checks.iter().filter(|check| check.result == CheckResult::Warning);
    warnings.map(|check| check.name.as_str()).collect()
}

/// The number of warnings; `None` where no check was made.
pub(super) fn number_of_warnings(checks: &[CheckStatus]) -> Option<u32> {
    u32::try_from(names_of_warnings(checks).len()).ok().filter(|_| !checks.is_empty())
}

/// How many warnings are named.
const NAMED_WARNINGS: usize = 5;

/// The number of warnings, and the names of the first.
pub(in crate::engine) fn count_warnings(names: &[&str]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let first: Vec<_> = names.iter().take(NAMED_WARNINGS).copied().collect();
    let more = names.len().saturating_sub(NAMED_WARNINGS);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{} warning{plural}: {}{more}", names.len(), first.join(", "))
}
