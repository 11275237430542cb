//! What W&B Server may answer instead of an access token or an account: each has its reason, and leads to
//! no storm of requests and of tokens.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use test_support::{WandbServer, wandb_server::Fault};

use super::{AUDIENCE, CLIENT, FROM_ISSUER, Federation, jwt_issuer, service_account};
use crate::service_account::{KIND, most_requests, wait_for_retry};

/// One of several accounts in a namespace, each at a server of its own.
struct AccountCase {
    name: String,
    server: WandbServer,
}

impl AccountCase {
    /// Applies it with a `JwtIssuer` of its own, since a subject there has one account.
    async fn apply(federation: &Federation, number: usize) -> Result<Self> {
        let issuer = federation.provider.issuer();
        let server = WandbServer::builder().certificate(&federation.certificate).start()?;
        server.accept_audience(AUDIENCE);
        server.register_issuer(issuer, &federation.provider.jwks()?)?;
        server.federated_account(CLIENT, "research");
        let name = format!("case-{number}");
        let own_name = format!("{{name: {name}}}");
        let account =
            service_account(&server.base_url(), FROM_ISSUER, "checkInterval: 1h\nfailureThreshold: 1");
        for manifest in [jwt_issuer(issuer, ""), account.replace("{name: ci}", &own_name)] {
            federation.workspace.apply(&manifest.replace("{name: main}", &own_name)).await?;
        }
        Ok(Self { name, server })
    }

    /// The name of its Secret.
    fn secret(&self) -> String {
        format!("{}-wsa", self.name)
    }
}

#[tokio::test]
async fn every_answer_without_an_account_has_its_reason() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(30)).await?;
    let workspace = &federation.workspace;
    let cases = [
        ("/oidc/token", Fault::Status(401), "ManualStepRequired"),
        ("/oidc/token", Fault::Status(403), "ManualStepRequired"),
        ("/oidc/token", Fault::TooManyRequests { retry_after: 600 }, "RateLimited"),
        ("/oidc/token", Fault::Status(500), "ServerUnavailable"),
        ("/oidc/token", Fault::MalformedJson, "NotJson"),
        ("viewer", Fault::Status(401), "Unauthorized"),
        ("viewer", Fault::Status(403), "AccessDenied"),
        ("viewer", Fault::TooManyRequests { retry_after: 600 }, "RateLimited"),
        ("viewer", Fault::Status(500), "ServerUnavailable"),
        ("viewer", Fault::MalformedJson, "NotJson"),
        ("viewer", Fault::Error("no such field".to_owned()), "QueryFailed"),
    ];
    let mut accounts = Vec::new();
    for number in 0..cases.len() {
        accounts.push(AccountCase::apply(&federation, number).await?);
    }
    for account in &accounts {
        workspace.wait_until_ready(KIND, &account.name).await?;
    }
    let tokens = federation.token_requests()?;
    let started = Instant::now();
    let mut before = Vec::new();
    for (account, (operation, fault, _)) in accounts.iter().zip(&cases) {
        let published = workspace.secrets().get(&account.secret()).await?.data;
        account.server.fail(operation, fault.clone());
        before.push((account.server.requests("/oidc/token"), published));
        workspace.recheck(KIND, &account.name, "broken").await?;
    }
    for (account, (_, _, reason)) in accounts.iter().zip(&cases) {
        workspace.wait_for_reason(KIND, &account.name, "Verified", reason).await?;
    }
    // The one whose server is unavailable.
    wait_for_retry(&accounts[3].server).await?;
    for ((account, (requests, published)), (operation, fault, reason)) in
        accounts.iter().zip(before).zip(&cases)
    {
        let told = format!("{operation} {fault:?}");
        let asked = account.server.requests("/oidc/token") - requests;
        ensure!((1..=most_requests(2, started)).contains(&asked), "{told}: {asked} requests");
        ensure!(*reason != "RateLimited" || asked == 1, "{told}: {asked} requests");
        let now = workspace.secrets().get(&account.secret()).await?.data;
        ensure!(now == published, "{told}: what programs use stays");
    }
    for account in &accounts {
        account.server.heal();
        workspace.recheck(KIND, &account.name, "healed").await?;
    }
    for account in &accounts {
        workspace.wait_until_ready(KIND, &account.name).await?;
    }
    assert_eq!(federation.token_requests()?, tokens, "no trouble of the server's leads to a new token");
    Ok(())
}
