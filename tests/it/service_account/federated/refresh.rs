//! Tokens are renewed ahead of their expiry, and stay where they cannot be.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use test_support::{condition, wandb_server::Fault};

use super::{FROM_ISSUER, Federation, claims};

/// The share of a token's life that is left.
fn left(token: &str) -> Result<f64> {
    let claims = claims(token)?;
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).with_context(|| format!("no {name}"));
    let (begin, end) = (time("iat")?, time("exp")?);
    Ok((end - Timestamp::now().as_duration().as_secs_f64()) / (end - begin))
}

#[tokio::test]
async fn whoever_reads_the_secret_finds_a_token_with_a_tenth_of_its_life_left() -> Result<()> {
    let federation = Federation::new(Duration::from_secs(20)).await?;
    // Nothing but the tokens' own lives leads to a run.
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let started = Instant::now();
    let mut seen = BTreeSet::new();
    while started.elapsed() < Duration::from_secs(55) {
        let token = federation.published().await?.remove("identity-token").context("no token")?;
        let left = left(&token)?;
        ensure!(left >= 0.1, "only {left:.2} of its life is left, after {:?}", started.elapsed());
        seen.insert(token);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(seen.len() >= 4, "{} tokens in 55 seconds", seen.len());
    assert_eq!(federation.token_requests()?, seen.len(), "no token is made in vain");
    let status = federation.ready().await?;
    let transition = condition(&status, "Ready").context("Ready")?["lastTransitionTime"].clone();
    let since: Timestamp = serde_json::from_value(transition)?;
    assert!(Timestamp::now().duration_since(since).as_secs() > 50, "it was Ready all the time");
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_stays_and_is_told_before_it_expires() -> Result<()> {
    let mut federation = Federation::new(Duration::from_secs(40)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h\nfailureThreshold: 1000").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    let token = before.get("identity-token").context("no token")?;
    federation.provider.stop()?;
    let message = federation.failed("ConnectionRefused").await?;
    assert!(left(token)? > 0.0, "the condition came before the end");
    assert!(message.contains("stays, and is valid until"), "{message}");
    let metrics = federation.operator.get("/metrics")?.1;
    let end = claims(token)?["exp"].to_string();
    let figure = metrics.lines().find(|line| line.starts_with("wandb_auth_token_expiration_seconds{"));
    assert!(figure.is_some_and(|line| line.contains(&end)), "{end} is not in {figure:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(federation.published().await?, before);
    // The provider comes back with other keys, which W&B Server fetches as well.
    federation.provider.start()?;
    federation.server.register_issuer(federation.provider.issuer(), &federation.provider.jwks()?)?;
    federation.ready().await?;
    assert_ne!(federation.published().await?["identity-token"], *token);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_away_keeps_no_token_from_being_renewed() -> Result<()> {
    let federation = Federation::new(Duration::from_secs(30)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h\ncheckTimeout: 4s").await?;
    federation.ready().await?;
    // A server that hangs takes up to the time limit before the new token is published.
    for fault in [Fault::Hang, Fault::Status(503)] {
        for operation in ["/healthz", "/oidc/token"] {
            federation.server.fail(operation, fault.clone());
        }
        let token = federation.published().await?.remove("identity-token");
        let started = Instant::now();
        while federation.published().await?.remove("identity-token") == token {
            ensure!(started.elapsed() < Duration::from_secs(29), "not renewed during {fault:?}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        federation.server.heal();
    }
    federation.workspace.recheck("ServiceAccount", "ci", "after the outage").await?;
    federation.ready().await?;
    Ok(())
}

#[tokio::test]
async fn a_withdrawn_key_leads_to_a_new_token_at_once() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    federation.provider.rotate_keys()?;
    federation.provider.withdraw_old_keys()?;
    federation.server.register_issuer(federation.provider.issuer(), &federation.provider.jwks()?)?;
    let started = Instant::now();
    while federation.published().await? == before {
        ensure!(started.elapsed() < Duration::from_secs(20), "the token of the withdrawn key stays");
        // Keys that were fetched within the last second are not fetched again, so one check may be too early.
        federation.workspace.recheck("ServiceAccount", "ci", &format!("{:?}", started.elapsed())).await?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    federation.ready().await?;
    assert_eq!(federation.token_requests()?, 2);
    Ok(())
}

#[tokio::test]
async fn values_that_are_held_have_their_token_renewed() -> Result<()> {
    let federation = Federation::new(Duration::from_secs(20)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    // A mistake in the spec, which nobody notices for some time.
    let nowhere = json!({"spec": {"instance": {"baseURL": "https://127.0.0.1:1"}}});
    federation.workspace.patch("ServiceAccount", "ci", &nowhere).await?;
    let status =
        federation.workspace.wait_for_reason("ServiceAccount", "ci", "Verified", "ConnectionRefused").await?;
    assert_eq!(condition(&status, "Published").context("Published")?["reason"], "HoldingLastVerified");
    let (started, mut tokens) = (Instant::now(), BTreeSet::new());
    while started.elapsed() < Duration::from_secs(40) {
        let mut published = federation.published().await?;
        let token = published.remove("identity-token").context("no token")?;
        ensure!(left(&token)? >= 0.1, "a token that is held is left to expire");
        assert_eq!(published.get("WANDB_BASE_URL"), before.get("WANDB_BASE_URL"));
        tokens.insert(token);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(tokens.len() >= 3, "{} tokens", tokens.len());
    // One to try the changed spec, the others as they were due.
    assert!(federation.token_requests()? <= tokens.len() + 1, "{} requests", federation.token_requests()?);
    Ok(())
}
