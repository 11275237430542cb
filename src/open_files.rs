//! How many files and sockets the process may hold.
//!
//! A check that hangs holds a socket or three. Container runtimes start processes with a soft limit of 1,024, for the
//! sake of old programs that cannot use more, and leave it to each to raise it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What all checks together may hold beside what else the process needs.
const ENOUGH: u64 = 4096;

/// Raises the limit as far as the process may, and says so where that is not enough.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = match (current, maximum) {
        (Some(current), maximum) if maximum.is_none_or(|maximum| current < maximum) => {
            setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok()
        }
        _ => false,
    };
    let limit = if raised { maximum } else { current };
    if let Some(limit) = limit.filter(|limit| *limit < ENOUGH) {
        tracing::warn!(
            limit,
            "the process may hold few open files: where hundreds of servers hang, others are not reached. Raise the limit of open files to {ENOUGH}"
        );
    }
}
