//! `Error`: a failure of ours, which is logged and tried again later.

use std::time::Duration;

/// Something between the operator and the API server went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("the API server did not do what was asked: {}", in_words(.0))]
    Api(#[from] kube::Error),
    /// A run took too long.
    #[error("the run was not finished after {0:?}")]
    Timeout(Duration),
    /// The resource went while it was worked on.
    #[error("the resource was deleted meanwhile")]
    Gone,
    /// A fault of the operator's own, which ends the run and nothing else.
    #[error("the run ended by a fault of the operator's: report it")]
    Panicked,
    /// The process is stopping.
    #[error("the run was cut short, since the operator is stopping")]
    Stopping,
}

/// The API server's own words where there are any, since the rest of its answer repeats them, and the innermost
/// cause of everything else.
pub fn in_words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
