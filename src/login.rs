//! What trying a login shows of a person, in the words that all kinds share.

use serde::Serialize;
use serde_json::{Map, Value};

/// What W&B Server would read of the person who logs in; what it would not find is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonAsRead {
    /// The DN of the person's entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The subject of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the provider says that the e-mail address is the person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// The name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The groups, sorted.
    pub groups: Vec<String>,
    /// The groups of the allow list that let the person in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_by: Vec<String>,
    /// By what W&B Server knows the person: the e-mail address, or the subject of a token that programs use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_as: Option<String>,
    /// The size of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_bytes: Option<usize>,
}

/// The names of groups, sorted and each once.
pub fn sorted(groups: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// What a token says, before anything of it is verified. The signature is left out, so that nobody can use it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecodedToken {
    /// The algorithm that the header names.
    pub algorithm: String,
    /// The identifier of the key that the header names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The claims.
    pub claims: Map<String, Value>,
}
