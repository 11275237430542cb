//! What keeps values from a target: a problem of the user's, or a failure of ours.

use crate::{error::Error, problem::Problem};

/// What keeps values from a target.
#[derive(Debug)]
pub(super) enum DeliveryError {
    /// For a person to mend.
    Problem(Problem),
    /// To be tried again.
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
