//! `Error`: a failure of the operator's or of the API server, which is logged and retried.

use std::time::Duration;

use crate::problem::Problem;

/// A failure that ends a run, which is then retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a request or did not answer.
    #[error("the API server did not do what was asked: {}", in_words(.0))]
    Api(#[from] kube::Error),
    /// A run took too long.
    #[error("the run was not finished after {0:?}")]
    Timeout(Duration),
    /// The resource was deleted during the run.
    #[error("the resource was deleted meanwhile")]
    Gone,
    /// A fault in the operator, which ends this run only.
    #[error("the run ended because of a fault of the operator: please report it")]
    Panicked,
    /// The process is stopping.
    #[error("the run was cut short, since the operator is stopping")]
    Stopping,
}

/// What keeps a step of a run from being done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A problem that a person must fix, and that becomes a condition.
    #[error("{}: {}", .0.reason, .0.message)]
    Problem(Problem),
    /// A failure after which the run is retried.
    #[error(transparent)]
    Error(Error),
}

impl From<Problem> for StepError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<kube::Error> for StepError {
    fn from(error: kube::Error) -> Self {
        Self::Error(error.into())
    }
}

/// The API server's own message if there is one, because the rest of its answer repeats it; otherwise the
/// innermost cause of the error.
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
