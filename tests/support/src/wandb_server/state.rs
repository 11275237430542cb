//! What the server knows.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;

use super::account::{Account, AccountKind, Key};

const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
/// 40 characters in hexadecimal, the shortest key that the SDK takes.
const SECRET_BYTES: usize = 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) accounts: Vec<Account>,
    pub(super) teams: Vec<String>,
    pub(super) issuers: Vec<(String, JwkSet)>,
    pub(super) audiences: Vec<String>,
    pub(super) tokens: Vec<AccessToken>,
    pub(super) token_lifetime: Duration,
    pub(super) key_prefix: String,
    pub(super) lists_whole_keys: bool,
    pub(super) forbids_key_creation: bool,
    /// How much of a list one answer has.
    pub(super) page_size: usize,
    pub(super) forbids_service_account_creation: bool,
    /// The number of the latest identifier.
    identifiers: u32,
}

#[derive(Debug)]
pub(super) struct AccessToken {
    pub(super) token: String,
    pub(super) account: String,
    pub(super) expires: Instant,
}

impl State {
    pub(super) fn new(key_prefix: String, lists_whole_keys: bool) -> Self {
        Self {
            accounts: Vec::new(),
            teams: Vec::new(),
            issuers: Vec::new(),
            // What every self-managed server accepts.
            audiences: vec!["wandb".to_owned()],
            tokens: Vec::new(),
            token_lifetime: TOKEN_LIFETIME,
            key_prefix,
            lists_whole_keys,
            forbids_key_creation: false,
            page_size: usize::MAX,
            forbids_service_account_creation: false,
            identifiers: 0,
        }
    }

    /// The account of this name; a federated one has its subject as its name.
    pub(super) fn account(&self, username: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.username == username)
    }

    pub(super) fn account_mut(&mut self, username: &str) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.username == username)
    }

    pub(super) fn add_account(&mut self, username: &str, kind: AccountKind, team: Option<&str>) -> String {
        let id = self.next_id("User");
        if let Some(team) = team {
            self.add_team(team);
        }
        self.accounts.push(Account {
            id: id.clone(),
            username: username.to_owned(),
            kind,
            teams: team.map(str::to_owned).into_iter().collect(),
            keys: Vec::new(),
        });
        id
    }

    pub(super) fn add_team(&mut self, name: &str) {
        if !self.teams.iter().any(|team| team == name) {
            self.teams.push(name.to_owned());
        }
    }

    /// A new key for this account, if there is one.
    pub(super) fn add_key(&mut self, username: &str, description: &str) -> Option<Key> {
        let secret = format!("{}{}", self.key_prefix, random_text()?);
        self.add_known_key(username, description, secret)
    }

    pub(super) fn add_known_key(&mut self, username: &str, description: &str, secret: String) -> Option<Key> {
        let key = Key { id: self.next_id("ApiKey"), secret, description: description.to_owned() };
        self.account_mut(username)?.keys.push(key.clone());
        Some(key)
    }

    pub(super) fn add_token(&mut self, username: &str) -> Option<String> {
        let token = random_text()?;
        let expires = Instant::now() + self.token_lifetime;
        self.tokens.push(AccessToken { token: token.clone(), account: username.to_owned(), expires });
        Some(token)
    }

    /// What a listing shows of a key.
    pub(super) fn listed_name(&self, key: &Key) -> String {
        const SHOWN: usize = 6;
        let shown = if self.lists_whole_keys { usize::MAX } else { self.key_prefix.len() + SHOWN };
        key.secret.chars().take(shown).collect()
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.identifiers += 1;
        format!("{kind}-{}", self.identifiers)
    }
}

/// Without the random numbers of the cryptography library there is nothing to make a secret of.
fn random_text() -> Option<String> {
    let mut bytes = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}
