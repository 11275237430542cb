//! Who sends a request.

use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::account::{Account, AccountKind};
use super::state::State;

/// Whom the `Authorization` header names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// There is no header.
    Nobody,
    /// The account of a valid key or access token.
    Account(String),
}

impl Caller {
    /// Looks the header's key or token up; the error is the server's answer.
    pub(super) fn identify(state: &State, authorization: Option<&str>) -> Result<Self, String> {
        let Some(authorization) = authorization else { return Ok(Self::Nobody) };
        let username = match authorization.split_once(' ') {
            Some(("Basic", credentials)) => owner_of_key(state, credentials).ok_or("invalid API key")?,
            Some(("Bearer", token)) => {
                owner_of_token(state, token).ok_or("invalid or expired access token")?
            }
            _ => return Err("unknown authorization scheme".to_owned()),
        };
        Ok(Self::Account(username))
    }

    pub(super) fn username(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::Account(username) => Some(username),
        }
    }

    /// The account, where one is needed.
    pub(super) fn account<'a>(&self, state: &'a State) -> Result<&'a Account, String> {
        let account = self.username().and_then(|username| state.account(username));
        account.ok_or_else(|| "user is not logged in".to_owned())
    }

    /// The account, where an administrator is needed.
    pub(super) fn administrator<'a>(&self, state: &'a State) -> Result<&'a Account, String> {
        let account = self.account(state)?;
        if account.is_admin() { Ok(account) } else { Err("permission denied".to_owned()) }
    }

    /// The account, where one with API keys is needed.
    pub(super) fn key_owner<'a>(&self, state: &'a State) -> Result<&'a Account, String> {
        let account = self.account(state)?;
        if account.kind == AccountKind::Federated {
            return Err("external service accounts cannot own API keys".to_owned());
        }
        Ok(account)
    }
}

fn owner_of_key(state: &State, credentials: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    let secret = decoded.strip_prefix("api:")?;
    let owns = |account: &&Account| account.keys.iter().any(|key| key.secret == secret);
    state.accounts.iter().find(owns).map(|account| account.username.clone())
}

fn owner_of_token(state: &State, token: &str) -> Option<String> {
    let known = state.tokens.iter().find(|known| known.token == token)?;
    (known.expires > Instant::now()).then(|| known.account.clone())
}
