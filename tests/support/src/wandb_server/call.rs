//! The requests as tests see them.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::account::Key;

/// A request that reached the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who asked: the username or, of a federated account, the subject; nothing if that was not known.
    pub account: Option<String>,
    /// The root field of GraphQL, such as `generateApiKey`, or else the path, such as `/oidc/token`.
    pub operation: String,
    /// The arguments of the root field, with their variables' values.
    pub arguments: Value,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
}

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The server knows what is asked, and has done nothing.
    Before,
    /// The server has done it, or decided not to, and has not answered.
    After,
}

pub(super) type OnRequest = Arc<dyn Fn(&Call, Phase) + Send + Sync>;
pub(super) type BeforeRevoking = Arc<dyn Fn(&Key) + Send + Sync>;

/// What the test wants to be told.
#[derive(Default, Clone)]
pub(super) struct Hooks {
    pub(super) on_request: Option<OnRequest>,
    pub(super) before_revoking: Option<BeforeRevoking>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hooks")
    }
}
