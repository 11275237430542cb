//! The error type of a delivery: what keeps values from a target is either a problem that the user can fix or an
//! error that is retried.

use crate::{error::Error, problem::Problem};

/// The reason why a delivery stopped.
#[derive(Debug)]
pub(super) enum DeliveryError {
    /// A problem that a person must fix.
    Problem(Problem),
    /// An error after which the run is retried.
    Error(Error),
}

impl From<Problem> for DeliveryError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for DeliveryError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<kube::Error> for DeliveryError {
    fn from(error: kube::Error) -> Self {
        Self::Error(error.into())
    }
}
