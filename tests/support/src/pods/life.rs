//! What a script decides for a pod.

use std::{path::PathBuf, time::Duration};

/// What becomes of a pod, or rather of its first container; the other containers always run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs and is ready at once.
    Ready,
    /// It runs, and becomes ready after this time.
    ReadyAfter(Duration),
    /// It runs the [stand-in server](crate::stand_in_server), is ready when that serves, and ends when that does.
    Serving,
    /// It runs this program with the container's arguments until that ends, whose termination message it has then.
    Program {
        /// The program in the place of the image's.
        program: PathBuf,
        /// Variables that have other values at the place where the pod runs.
        place: Vec<(String, String)>,
    },
    /// It runs and never becomes ready.
    NeverReady,
    /// It ends shortly after every start, and is started again, with pauses that grow.
    CrashLooping {
        /// The exit code.
        exit_code: i32,
        /// The termination message, empty for none.
        message: String,
    },
    /// The container cannot be made of its configuration, for the reason that this message gives.
    ConfigError(String),
    /// The container cannot be made or started, for this reason of the kubelet's and with its message.
    CannotStart {
        /// Such as `CreateContainerError`.
        reason: &'static str,
        /// The kubelet's words.
        message: String,
    },
    /// The image cannot be had, for the reason that this message gives.
    ImagePullBackOff(String),
}
