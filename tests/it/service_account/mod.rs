//! `ServiceAccount`: with an API key on a real API server, against the double of W&B Server; with tokens
//! of real issuers in `federated`.

mod bootstrap;
mod clocks;
mod crashes;
mod creation;
mod deletion;
mod edited_secrets;
pub(crate) mod federated;
mod refusals;
mod requests;
mod rotation;
mod secrecy;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use test_support::{
    Operator, WandbServer, Workspace,
    wandb_server::{Fault, Key},
};

use crate::world::{eventually, operator, workspace};

const KIND: &str = "ServiceAccount";

/// How long it takes at least until something is tried again that may pass by itself.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// How many requests make no storm: as many as the first try takes, and as many again for each retry that there
/// was time for.
pub fn most_requests(of_first_try: usize, started: Instant) -> usize {
    let retries = started.elapsed().as_secs() / FIRST_RETRY.as_secs();
    of_first_try.saturating_mul(usize::try_from(retries).unwrap_or(usize::MAX).saturating_add(1))
}

/// Waits until a server is looked at once more whose resource is tried again. Whatever is repeated without a pause has
/// been repeated by then.
async fn wait_for_retry(server: &WandbServer) -> Result<()> {
    let looks = server.requests("/healthz");
    eventually("a retry", || async { Ok((server.requests("/healthz") > looks).then_some(())) }).await
}

/// Waits until another resource, which fails from now on, has been tried again twice: whatever failed before and is to
/// be tried again after [`FIRST_RETRY`] has been tried by then.
async fn outlast_first_retry(workspace: &Workspace) -> Result<()> {
    let server = WandbServer::builder().start()?;
    let key = server.service_account("ci", "research")?;
    server.fail("/healthz", Fault::Status(503));
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    workspace.apply(&service_account("another", &server.base_url(), "", "")).await?;
    eventually("two retries of another resource", || async {
        Ok((server.requests("/healthz") >= 3).then_some(()))
    })
    .await
}

/// A namespace with an operator, and a server with the account `ci` in the team `research`.
///
/// Its key is in the Secret `sa-key`; nothing refers to it yet.
struct Robot {
    server: Arc<WandbServer>,
    workspace: Workspace,
    operator: Operator,
    /// The key that a person copied.
    bootstrap: String,
}

impl Robot {
    async fn new() -> Result<Self> {
        let server = WandbServer::builder().key_prefix("local").start()?;
        let bootstrap = server.service_account("ci", "research")?;
        Self::at(server, bootstrap).await
    }

    /// The same at a server that has the account and this key already.
    async fn at(server: WandbServer, bootstrap: String) -> Result<Self> {
        let server = Arc::new(server);
        let workspace = workspace().await?;
        workspace.put_secret("sa-key", &[("key", &bootstrap)]).await?;
        let operator = operator(&workspace)?;
        Ok(Self { server, workspace, operator, bootstrap })
    }

    /// Applies the resource named `ci`.
    async fn apply(&self, api_key: &str, more: &str) -> Result<()> {
        self.workspace.apply(&service_account("ci", &self.server.base_url(), api_key, more)).await
    }

    /// Publishes the copied key, as it would have been long ago: a rotation is due at once.
    async fn publish_long_ago(&self) -> Result<()> {
        publish_long_ago(&self.workspace, &self.server, &self.bootstrap).await
    }

    /// A robot whose copied key was replaced just now, and stays valid for an hour.
    async fn rotated(more: &str) -> Result<Self> {
        let robot = Self::new().await?;
        robot.publish_long_ago().await?;
        robot.apply(LONG_ROTATION, more).await?;
        robot.wait_for_rotation(&robot.bootstrap).await?;
        robot.workspace.wait_until_ready(KIND, "ci").await?;
        Ok(robot)
    }

    /// The published key.
    async fn published(&self) -> Result<String> {
        published(&self.workspace.secrets()).await?.context("no key is published")
    }

    /// Waits until another key is published than this one, and gives it.
    async fn wait_for_rotation(&self, old: &str) -> Result<Key> {
        eventually("another published key", || async {
            let Some(secret) = published(&self.workspace.secrets()).await? else { return Ok(None) };
            Ok(self.server.keys_of("ci").into_iter().find(|key| key.secret == secret && secret != old))
        })
        .await
    }

    /// The finding of one check.
    async fn finding(&self, check: &str) -> Result<Value> {
        finding(&self.workspace.status(KIND, "ci").await?, check)
    }
}

/// Publishes a key for the resource `ci`, as it would have been long ago: a rotation is due at once.
pub async fn publish_long_ago(workspace: &Workspace, server: &WandbServer, key: &str) -> Result<()> {
    publish(workspace, server, key, r#"{"rotation":0,"since":"2026-01-01T00:00:00Z"}"#).await
}

/// Publishes a key for the resource `ci`, with this record.
async fn publish(workspace: &Workspace, server: &WandbServer, key: &str, record: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "ci-wsa", "annotations": {
            "auth.wandb.com/owner": "ServiceAccount/ci",
            "auth.wandb.com/record": record,
        } },
        "stringData": {
            "WANDB_API_KEY": key,
            "WANDB_BASE_URL": server.base_url(),
            "WANDB_ENTITY": "research",
        },
    });
    workspace.apply(&secret.to_string()).await
}

/// Rotates once, at once where a key was published long ago.
pub const LONG_ROTATION: &str = "rotation: {interval: 2h, overlap: 1h}";

/// A `ServiceAccount`; further lines of `spec.credentials.apiKey`, and of its spec.
pub fn service_account(name: &str, base_url: &str, api_key: &str, more: &str) -> String {
    let indented = |lines: &str, by: usize| {
        lines.lines().fold(String::new(), |text, line| format!("{text}{}{line}\n", " ".repeat(by)))
    };
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: ServiceAccount
metadata: {{name: {name}}}
spec:
  instance: {{baseURL: '{base_url}', insecurePlaintext: true}}
  accountName: ci
  team: research
  credentials:
    apiKey:
      bootstrapSecretRef: {{name: sa-key, key: key}}
{}{}",
        indented(api_key, 6),
        indented(more, 2)
    )
}

fn finding(status: &Value, check: &str) -> Result<Value> {
    let checks = status["checks"].as_array().context("the status has checks")?;
    checks.iter().find(|found| found["name"] == check).cloned().with_context(|| format!("no {check}"))
}

/// Everything in the Secret.
fn content(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// The key in the Secret `ci-wsa`.
async fn published(secrets: &Api<Secret>) -> Result<Option<String>> {
    let secret = secrets.get_opt("ci-wsa").await?;
    Ok(secret.and_then(|secret| content(&secret).remove("WANDB_API_KEY")))
}

/// Watches every revocation at the server: the published key must never be the one.
fn watch_revocations(server: &WandbServer, secrets: Api<Secret>) -> Arc<Mutex<Vec<String>>> {
    let runtime = tokio::runtime::Handle::current();
    let mistakes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&mistakes);
    server.before_revoking(move |key| {
        let mistake = match runtime.block_on(published(&secrets)) {
            Ok(Some(published)) if published != key.secret => return,
            Ok(Some(_)) => format!("the published key {} is revoked", key.id),
            Ok(None) => format!("{} is revoked while no key is published", key.id),
            Err(error) => format!("the Secret cannot be read: {error:#}"),
        };
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(mistake);
    });
    mistakes
}

/// Asserts that nothing was noted.
fn expect_none(mistakes: &Mutex<Vec<String>>) -> Result<()> {
    let mistakes = mistakes.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(mistakes.is_empty(), "{mistakes:?}");
    Ok(())
}
