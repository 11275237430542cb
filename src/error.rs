//! `Error`: a failure of ours, which is logged and tried again later.

/// Something between the operator and the API server went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("the API server did not do what was asked: {0}")]
    Api(#[from] kube::Error),
    /// A run took too long.
    #[error("the run was not finished after {0:?}")]
    Timeout(std::time::Duration),
    /// The process is stopping.
    #[error("the run was cut short, since the operator is stopping")]
    Stopping,
}
