//! Accounts that programs use with tokens of a trusted issuer.

mod clients;
mod command_line;
mod kubernetes;
mod quiet;
mod refresh;
mod refusals;
mod rules;
mod scripted;
mod secrecy;
mod sources;
mod waiting;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use test_support::{Certificate, OpenIdClient, OpenIdProvider, Operator, WandbServer, Workspace, condition};

use crate::world::{certificate, operator, put_authority, workspace};

/// The client at the issuer, which is the subject of its tokens.
pub const CLIENT: &str = "ci";
/// Another client, whose tokens have another subject than the account's.
pub const OTHER_CLIENT: &str = "another";
pub const CLIENT_SECRET: &str = "the-secret-of-the-machine";
pub const AUDIENCE: &str = "my-org";

/// An issuer, a server that trusts it, and an operator, all with certificates of one private authority.
pub struct Federation {
    pub certificate: Certificate,
    pub provider: OpenIdProvider,
    pub server: WandbServer,
    pub workspace: Workspace,
    /// Killed when dropped.
    pub operator: Operator,
}

impl Federation {
    /// Everything that a person does beforehand; tokens of machines live that long.
    pub async fn new(lifetime: Duration) -> Result<Self> {
        let certificate = certificate()?;
        let provider = OpenIdProvider::builder()
            .certificate(&certificate)
            .client(OpenIdClient::machine(CLIENT, CLIENT_SECRET))
            .client(OpenIdClient::machine(OTHER_CLIENT, CLIENT_SECRET))
            .audience(AUDIENCE)
            .token_lifetime(lifetime)
            .start()?;
        let server = WandbServer::builder().certificate(&certificate).start()?;
        server.accept_audience(AUDIENCE);
        server.register_issuer(provider.issuer(), &provider.jwks()?)?;
        server.federated_account(CLIENT, "research");
        let workspace = workspace().await?;
        let operator = operator(&workspace)?;
        put_authority(&workspace, &certificate).await?;
        workspace.put_secret("client", &[("secret", CLIENT_SECRET)]).await?;
        workspace.apply(&jwt_issuer(provider.issuer(), "")).await?;
        Ok(Self { certificate, provider, server, workspace, operator })
    }

    /// Applies the account, with its tokens from there, and these further lines in its spec.
    pub async fn apply(&self, token: &str, more: &str) -> Result<()> {
        self.workspace.apply(&self.account(token, more)).await
    }

    /// The manifest of the account.
    pub fn account(&self, token: &str, more: &str) -> String {
        service_account(&self.server.base_url(), token, more)
    }

    /// Waits until the account is Ready.
    pub async fn ready(&self) -> Result<Value> {
        self.workspace.wait_until_ready("ServiceAccount", "ci").await
    }

    /// Waits until a check of the account is the reason why it is not verified; gives its message.
    pub async fn failed(&self, reason: &str) -> Result<String> {
        let status = self.workspace.wait_for_reason("ServiceAccount", "ci", "Verified", reason).await?;
        message(&status, "Ready")
    }

    /// What the published Secret holds.
    pub async fn published(&self) -> Result<BTreeMap<String, String>> {
        published(&self.workspace).await
    }

    /// How many tokens were made, or refused, for clients.
    pub fn token_requests(&self) -> Result<usize> {
        self.provider.requests("/token")
    }
}

/// Tokens from the issuer itself.
pub const FROM_ISSUER: &str =
    "clientCredentials: {clientID: ci, clientSecretRef: {name: client, key: secret}}";

/// A `JwtIssuer` named `main`; `more` are further lines of its spec.
pub fn jwt_issuer(issuer: &str, more: &str) -> String {
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: JwtIssuer
metadata: {{name: main}}
spec:
  issuer: {issuer}
  audiences: [{AUDIENCE}]
  tls: {{caBundle: {{configMapKeyRef: {{name: authority, key: ca.crt}}}}}}
{}",
        crate::world::indented(more)
    )
}

/// A `ServiceAccount` named `ci` with its tokens from there; `more` are further lines of its spec.
pub fn service_account(base_url: &str, token: &str, more: &str) -> String {
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: ServiceAccount
metadata: {{name: ci}}
spec:
  instance: {{baseURL: {base_url}}}
  team: research
  credentials:
    federated:
      issuerRef: {{name: main}}
      subject: {CLIENT}
      audience: {AUDIENCE}
      token: {{{token}}}
  tls: {{caBundle: {{configMapKeyRef: {{name: authority, key: ca.crt}}}}}}
{}",
        crate::world::indented(more)
    )
}

/// What the published Secret holds.
pub async fn published(workspace: &Workspace) -> Result<BTreeMap<String, String>> {
    let data = workspace.secrets().get("ci-wsa").await?.data.unwrap_or_default();
    data.into_iter().map(|(name, value)| Ok((name, String::from_utf8(value.0)?))).collect()
}

/// What a token claims.
pub fn claims(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).context("no payload")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}

/// The message of a condition.
pub fn message(status: &Value, type_: &str) -> Result<String> {
    let condition = condition(status, type_).context("no such condition")?;
    Ok(condition["message"].as_str().context("no message")?.to_owned())
}

/// The finding of a check.
pub fn finding<'a>(status: &'a Value, name: &str) -> Result<&'a Value> {
    let checks = status["checks"].as_array().context("no checks")?;
    checks.iter().find(|check| check["name"] == name).with_context(|| format!("no check {name}"))
}
