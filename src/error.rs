//! `Error`: a failure of ours, which is logged and tried again later.

use std::{error::Error as _, time::Duration};

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

/// The API server's own words where there are any: the rest of its answer repeats them. Otherwise the first
/// cause, which names what happened to the connection.
pub fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => {
            let causes = std::iter::successors(other.source(), |cause| (*cause).source());
            causes.last().map_or_else(|| other.to_string(), ToString::to_string)
        }
    }
}
