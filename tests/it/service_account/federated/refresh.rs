//! Tokens are renewed ahead of their expiry, and stay where they cannot be.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use test_support::{condition, wandb_server::Fault};

use super::{FROM_ISSUER, Federation, claims};
use crate::world::eventually;

/// What the published Secret holds.
type Values = BTreeMap<String, String>;

/// The share of a token's life that is left.
fn left(token: &str) -> Result<f64> {
    let claims = claims(token)?;
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).with_context(|| format!("no {name}"));
    let (begin, end) = (time("iat")?, time("exp")?);
    Ok((end - Timestamp::now().as_duration().as_secs_f64()) / (end - begin))
}

/// Reads the Secret again and again until it has had so many tokens, and never one that is about to expire.
async fn fresh_tokens(
    federation: &Federation,
    count: usize,
    mut look: impl FnMut(&Values) -> Result<()>,
) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let renewed = eventually("another token", || async {
            let values = federation.published().await?;
            let token = values.get("identity-token").context("no token")?;
            let left = left(token)?;
            ensure!(left >= 0.1, "only {left:.2} of its life is left");
            Ok((!seen.contains(token)).then_some(values))
        })
        .await?;
        look(&renewed)?;
        seen.extend(renewed.get("identity-token").cloned());
    }
    Ok(seen)
}

#[tokio::test]
async fn whoever_reads_the_secret_finds_a_token_with_a_tenth_of_its_life_left() -> Result<()> {
    let federation = Federation::new(Duration::from_secs(20)).await?;
    // Nothing but the tokens' own lives leads to a run.
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let ready_since = |status: &Value| -> Result<Value> {
        Ok(condition(status, "Ready").context("Ready")?["lastTransitionTime"].clone())
    };
    let before = ready_since(&federation.ready().await?)?;
    let seen = fresh_tokens(&federation, 4, |_| Ok(())).await?;
    assert_eq!(federation.token_requests()?, seen.len(), "no token is made in vain");
    assert_eq!(ready_since(&federation.ready().await?)?, before, "it was Ready all the time");
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
        let token = federation.published().await?.remove("identity-token").context("no token")?;
        eventually("another token", || async {
            ensure!(left(&token)? > 0.0, "not renewed during {fault:?}");
            Ok((federation.published().await?.get("identity-token") != Some(&token)).then_some(()))
        })
        .await?;
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
    eventually("a token of the new key", || async {
        // Keys that were fetched within the last second are not fetched again, so one check may be too early.
        federation.workspace.recheck("ServiceAccount", "ci", &Timestamp::now().to_string()).await?;
        Ok((federation.published().await? != before).then_some(()))
    })
    .await?;
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
    let tokens = fresh_tokens(&federation, 3, |published| {
        ensure!(published.get("WANDB_BASE_URL") == before.get("WANDB_BASE_URL"));
        Ok(())
    })
    .await?;
    // One to try the changed spec, the others as they were due.
    assert!(federation.token_requests()? <= tokens.len() + 1, "{} requests", federation.token_requests()?);
    Ok(())
}
