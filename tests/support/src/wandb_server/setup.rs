//! What a test does with the server, and asks it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::account::AccountKind;
use super::{Call, Fault, Key, Phase, WandbServer};

/// What a person does in the web UI.
impl WandbServer {
    /// A team without members.
    pub fn team(&self, name: &str) {
        self.serving.state().add_team(name);
    }

    /// A person in this team, which is made too; the key is theirs.
    pub fn user(&self, name: &str, team: &str) -> Result<String> {
        self.create(name, AccountKind::Person, Some(team))
    }

    /// A person who administers the server and is in no team; the key is theirs.
    pub fn admin(&self, name: &str) -> Result<String> {
        self.create(name, AccountKind::Administrator, None)
    }

    /// A service account of the server's own with its first key.
    pub fn service_account(&self, name: &str, team: &str) -> Result<String> {
        self.create(name, AccountKind::BuiltIn, Some(team))
    }

    /// The same with a key that the test knows beforehand.
    pub fn service_account_with(&self, name: &str, team: &str, key: &str) -> Result<()> {
        self.serving.state().add_account(name, AccountKind::BuiltIn, Some(team));
        let added = self.serving.state().add_known_key(name, "made by the test", key.to_owned());
        added.map(drop).with_context(|| format!("the server has no account {name}"))
    }

    /// An external service account, which signs in with tokens for this subject.
    pub fn federated_account(&self, subject: &str, team: &str) {
        self.serving.state().add_account(subject, AccountKind::Federated, Some(team));
    }

    fn create(&self, name: &str, kind: AccountKind, team: Option<&str>) -> Result<String> {
        self.serving.state().add_account(name, kind, team);
        Ok(self.add_key(name, "made by the test")?.secret)
    }

    /// One more key for this account.
    pub fn add_key(&self, account: &str, description: &str) -> Result<Key> {
        let key = self.serving.state().add_key(account, description);
        key.with_context(|| format!("the server has no account {account}"))
    }

    /// Deletes a key, without a call of [`WandbServer::before_revoking`]'s hook.
    pub fn revoke(&self, id: &str) -> Result<()> {
        let mut found = false;
        for account in &mut self.serving.state().accounts {
            let before = account.keys.len();
            account.keys.retain(|key| key.id != id);
            found |= account.keys.len() < before;
        }
        ensure!(found, "the server has no key {id}");
        Ok(())
    }

    /// Trusts this issuer, which signs with the keys of this JWKS; a known one gets new keys.
    pub fn register_issuer(&self, issuer: &str, jwks: &str) -> Result<()> {
        let keys = serde_json::from_str(jwks).with_context(|| format!("this is no JWKS: {jwks}"))?;
        let mut state = self.serving.state();
        state.issuers.retain(|(known, _)| known != issuer);
        state.issuers.push((issuer.to_owned(), keys));
        Ok(())
    }

    /// Accepts tokens for this audience, beside `wandb`.
    pub fn accept_audience(&self, audience: &str) {
        self.serving.state().audiences.push(audience.to_owned());
    }

    /// Accepts tokens for these audiences only.
    pub fn accept_only_audiences(&self, audiences: &[&str]) {
        self.serving.state().audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
    }

    /// How long the access tokens last that are issued from now on: an hour, if nothing else is said.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.serving.state().token_lifetime = lifetime;
    }

    /// Makes every access token invalid that has been issued.
    pub fn revoke_access_tokens(&self) {
        self.serving.state().tokens.clear();
    }

    /// Whether it refuses to make keys, as a server with that setting does.
    pub fn forbid_key_creation(&self, forbid: bool) {
        self.serving.state().forbids_key_creation = forbid;
    }

    /// Whether it refuses to make service accounts, as a server with that setting does.
    pub fn forbid_service_account_creation(&self, forbid: bool) {
        self.serving.state().forbids_service_account_creation = forbid;
    }

    /// Gives out lists in pages of this size.
    pub fn set_page_size(&self, size: usize) {
        self.serving.state().page_size = size;
    }

    /// Whether listings show whole keys.
    pub fn set_lists_whole_keys(&self, whole: bool) {
        self.serving.state().lists_whole_keys = whole;
    }
}

/// What goes wrong, and when the test is told.
impl WandbServer {
    /// Breaks all requests of an operation: a root field of GraphQL, or a path.
    pub fn fail(&self, operation: &str, fault: Fault) {
        self.serving.faults().add(operation, fault, None);
    }

    /// Breaks the next requests of an operation; faults for the same one follow each other.
    pub fn fail_next(&self, requests: usize, operation: &str, fault: Fault) {
        self.serving.faults().add(operation, fault, Some(requests));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.serving.faults().clear();
    }

    /// Calls this for every request, once before it is handled and once before it is answered.
    pub fn on_request(&self, hook: impl Fn(&Call, Phase) + Send + Sync + 'static) {
        self.serving.hooks().on_request = Some(std::sync::Arc::new(hook));
    }

    /// Calls this before a client's request deletes a key, which is still valid then.
    pub fn before_revoking(&self, hook: impl Fn(&Key) + Send + Sync + 'static) {
        self.serving.hooks().before_revoking = Some(std::sync::Arc::new(hook));
    }
}

/// What there is, and what there was.
impl WandbServer {
    /// The valid keys of this account, the oldest first.
    pub fn keys_of(&self, account: &str) -> Vec<Key> {
        let state = self.serving.state();
        state.account(account).map(|account| account.keys.clone()).unwrap_or_default()
    }

    /// Whether a key with this secret is valid.
    pub fn is_valid(&self, secret: &str) -> bool {
        let state = self.serving.state();
        state.accounts.iter().flat_map(|account| &account.keys).any(|key| key.secret == secret)
    }

    /// The access tokens that it gave out and did not revoke.
    pub fn access_tokens(&self) -> Vec<String> {
        self.serving.state().tokens.iter().map(|given| given.token.clone()).collect()
    }

    /// The usernames of a team's members, in the order of their creation.
    pub fn members(&self, team: &str) -> Vec<String> {
        let state = self.serving.state();
        let members = state.accounts.iter().filter(|account| account.is_in(team));
        members.map(|account| account.username.clone()).collect()
    }

    /// Everything that was asked, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.serving.calls().clone()
    }

    /// How many requests there were of an operation: a root field of GraphQL, or a path.
    pub fn requests(&self, operation: &str) -> usize {
        self.serving.calls().iter().filter(|call| call.operation == operation).count()
    }
}

impl Call {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A text in the arguments, such as `/input/description`.
    pub fn argument(&self, pointer: &str) -> Option<&str> {
        self.arguments.pointer(pointer).and_then(Value::as_str)
    }
}
