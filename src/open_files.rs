//! Raises the limit of files and sockets that the process may have open.
//!
//! A check that hangs keeps up to three sockets open. Container runtimes start processes with a soft limit of
//! 1,024, for the sake of old programs that cannot handle more, and expect other programs to raise it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that suffices for all checks together with the other needs of the process.
const ENOUGH: u64 = 4096;

/// Raises the limit to the allowed maximum, and logs a warning if that is not enough.
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
            "the process may have only few open files: if hundreds of servers hang, it cannot reach the others. Raise the limit of open files to {ENOUGH}"
        );
    }
}
