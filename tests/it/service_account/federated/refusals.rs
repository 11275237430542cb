//! What W&B Server may answer instead of an access token or an account: each has its reason, and leads to
//! no storm of requests and of tokens.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use test_support::wandb_server::Fault;

use super::{FROM_ISSUER, Federation};
use crate::service_account::most_requests;

#[tokio::test]
async fn every_answer_without_an_account_has_its_reason() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(30)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h\nfailureThreshold: 1").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    for (index, (operation, fault, reason)) in [
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
    ]
    .into_iter()
    .enumerate()
    {
        let told = format!("{operation} {fault:?}");
        federation.server.fail(operation, fault);
        let requests = federation.server.requests("/oidc/token");
        let started = Instant::now();
        federation.workspace.recheck("ServiceAccount", "ci", &format!("broken {index}")).await?;
        federation.failed(reason).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let asked = federation.server.requests("/oidc/token") - requests;
        ensure!((1..=most_requests(2, started)).contains(&asked), "{told}: {asked} requests");
        ensure!(reason != "RateLimited" || asked == 1, "{told}: {asked} requests");
        ensure!(federation.published().await? == before, "{told}: what programs use stays");
        federation.server.heal();
        federation.workspace.recheck("ServiceAccount", "ci", &format!("healed {index}")).await?;
        federation.ready().await?;
    }
    assert_eq!(federation.token_requests()?, 1, "no trouble of the server's leads to a new token");
    Ok(())
}
