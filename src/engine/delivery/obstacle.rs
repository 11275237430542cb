//! What keeps values from a target: a problem of the user's, or a failure of ours.

use crate::{
    api::Reason,
    error::Error,
    problem::{Problem, quote},
};

/// What keeps values from a target.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// For a person to mend.
    Problem(Problem),
    /// To be tried again.
    Error(Error),
}

impl From<Problem> for Obstacle {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<kube::Error> for Obstacle {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.is_forbidden() => Self::Problem(Problem::new(
                Reason::Forbidden,
                format!(
                    "The API server answered: {}. Give the operator the rights of deploy/operator.yaml in this namespace, and look for a quota or an admission policy.",
                    quote(status.message.trim_end_matches('.'))
                ),
            )),
            error => Self::Error(error.into()),
        }
    }
}
