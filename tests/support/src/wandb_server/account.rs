//! Who may use the server, and with what.

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What the server calls it.
    pub id: String,
    /// What its owner sends.
    pub secret: String,
    /// What it is for.
    pub description: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountKind {
    Person,
    Administrator,
    /// A service account that the server made, with API keys.
    BuiltIn,
    /// An external service account, which has a subject and no keys; its username is the subject.
    Federated,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) username: String,
    pub(super) kind: AccountKind,
    /// In the order in which it joined; the first is its default.
    pub(super) teams: Vec<String>,
    pub(super) keys: Vec<Key>,
}

impl Account {
    pub(super) fn is_admin(&self) -> bool {
        self.kind == AccountKind::Administrator
    }

    pub(super) fn account_type(&self) -> &'static str {
        match self.kind {
            AccountKind::Person | AccountKind::Administrator => "USER",
            AccountKind::BuiltIn | AccountKind::Federated => "SERVICE",
        }
    }

    /// Service accounts have none.
    pub(super) fn email(&self) -> String {
        match self.kind {
            AccountKind::Person | AccountKind::Administrator => format!("{}@example.org", self.username),
            AccountKind::BuiltIn | AccountKind::Federated => String::new(),
        }
    }

    /// Where its runs go: its first team, or its own space.
    pub(super) fn default_entity(&self) -> &str {
        self.teams.first().unwrap_or(&self.username)
    }

    pub(super) fn is_in(&self, team: &str) -> bool {
        self.teams.iter().any(|name| name == team)
    }
}
