//! Tokens are renewed ahead of their expiry, and stay where they cannot be.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use test_support::{AuditEvent, ControlPlane, condition, wandb_server::Fault};

use super::{FROM_ISSUER, Federation, claims, message};
use crate::world::eventually;

/// What the published Secret holds.
type Values = BTreeMap<String, String>;

/// When a token was made and when it expires, in seconds since 1970.
fn life(token: &str) -> Result<(i64, i64)> {
    let claims = claims(token)?;
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).with_context(|| format!("no {name}"));
    Ok((time("iat")?, time("exp")?))
}

/// The share of a token's life that was left at that time.
fn left(token: &str, time: Timestamp) -> Result<f64> {
    let (begin, end) = life(token)?;
    let [begin, end] = [begin, end].map(|second| Timestamp::from_second(second).map(seconds));
    let (begin, end) = (begin?, end?);
    Ok((end - seconds(time)) / (end - begin))
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// How many tokens there may be by now since this one was made, which counts: none is renewed before three quarters of
/// its life.
fn most_tokens(first: &str) -> Result<usize> {
    let (begin, end) = life(first)?;
    // A second less, since these times are whole ones.
    let shortest_wait = (end - begin) * 3 / 4 - 1;
    let renewals = (Timestamp::now().as_second() - begin) / shortest_wait;
    Ok(usize::try_from(1 + renewals)?)
}

/// The token in the Secret.
async fn token(federation: &Federation) -> Result<String> {
    federation.published().await?.remove("identity-token").context("no token")
}

/// Reads the Secret again and again until it has had so many tokens, of which these are known.
async fn published_tokens(
    federation: &Federation,
    mut seen: Vec<String>,
    count: usize,
    mut look: impl FnMut(&Values) -> Result<()>,
) -> Result<Vec<String>> {
    while seen.len() < count {
        let renewed = eventually("another token", || async {
            let values = federation.published().await?;
            let token = values.get("identity-token").context("no token")?;
            Ok((!seen.contains(token)).then_some(values))
        })
        .await?;
        look(&renewed)?;
        seen.extend(renewed.get("identity-token").cloned());
    }
    Ok(seen)
}

/// When the operator replaced another token in the Secret by this one, as the API server recorded it.
async fn written_at(federation: &Federation, token: &str) -> Result<Timestamp> {
    let (made, _) = life(token)?;
    let is_write = |event: &&AuditEvent| {
        let object = (event.resource.as_str(), event.name.as_str());
        event.user == "operator"
            && event.verb == "update"
            && object == ("secrets", "ci-wsa")
            && event.code == 200
    };
    let requests = ControlPlane::shared().await?.audit_in(federation.workspace.namespace())?;
    for write in requests.iter().filter(is_write) {
        let time: Timestamp = write.timestamp.parse()?;
        if time.as_second() >= made {
            return Ok(time);
        }
    }
    bail!("no write of the Secret after {made}")
}

/// Fails where one of these tokens was in the Secret with less than a tenth of its life left.
async fn expect_a_tenth_left(federation: &Federation, tokens: &[String]) -> Result<()> {
    for (before, after) in tokens.iter().zip(tokens.iter().skip(1)) {
        let left = left(before, written_at(federation, after).await?)?;
        ensure!(left >= 0.1, "only {left:.2} of its life was left");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_reads_the_secret_finds_a_token_with_a_tenth_of_its_life_left() -> Result<()> {
    // Long enough that a tenth of it is long against a renewal.
    let federation = Federation::new(Duration::from_mins(1)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let tokens = published_tokens(&federation, Vec::new(), 2, |_| Ok(())).await?;
    expect_a_tenth_left(&federation, &tokens).await
}

#[tokio::test]
async fn tokens_are_renewed_again_and_again_and_none_is_made_in_vain() -> Result<()> {
    let federation = Federation::new(Duration::from_secs(20)).await?;
    // Nothing but the tokens' own lives leads to a run.
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    let ready_since = |status: &Value| -> Result<Value> {
        Ok(condition(status, "Ready").context("Ready")?["lastTransitionTime"].clone())
    };
    let before = ready_since(&federation.ready().await?)?;
    let tokens = published_tokens(&federation, Vec::new(), 4, |_| Ok(())).await?;
    let requests = federation.token_requests()?;
    let most = most_tokens(tokens.first().context("no token")?)?;
    ensure!(requests <= most, "{requests} tokens were made, and {most} were due");
    assert_eq!(ready_since(&federation.ready().await?)?, before, "it was Ready all the time");
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_stays_and_is_told_before_it_expires() -> Result<()> {
    let mut federation = Federation::new(Duration::from_secs(50)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h\nfailureThreshold: 1000").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    let token = before.get("identity-token").context("no token")?;
    federation.provider.stop()?;
    let status =
        federation.workspace.wait_for_reason("ServiceAccount", "ci", "Verified", "ConnectionRefused").await?;
    let told = condition(&status, "Verified").context("Verified")?["lastTransitionTime"].clone();
    let told: Timestamp = serde_json::from_value(told)?;
    ensure!(left(token, told)? > 0.0, "it was told at {told}, after its end");
    let message = message(&status, "Ready")?;
    assert!(message.contains("stays, and is valid until"), "{message}");
    let metrics = federation.operator.get("/metrics")?.1;
    let end = claims(token)?["exp"].to_string();
    let figure = metrics.lines().find(|line| line.starts_with("wandb_auth_token_expiration_seconds{"));
    assert!(figure.is_some_and(|line| line.contains(&end)), "{end} is not in {figure:?}");
    federation.workspace.recheck("ServiceAccount", "ci", "once more").await?;
    federation
        .workspace
        .wait_for("ServiceAccount", "ci", |status| status["lastHandledRecheck"] == "once more")
        .await?;
    assert_eq!(federation.published().await?, before);
    // The provider comes back with other keys, which W&B Server fetches as well.
    federation.provider.start()?;
    federation.server.register_issuer(federation.provider.issuer(), &federation.provider.jwks()?)?;
    federation.ready().await?;
    assert_ne!(federation.published().await?["identity-token"], *token);
    Ok(())
}

/// Breaks the server like this, and fails where the token expired before another one took its place.
async fn expect_renewal_during(fault: &Fault) -> Result<()> {
    let federation = Federation::new(Duration::from_mins(1)).await?;
    // A server that hangs takes up to the time limit before the new token is published.
    federation.apply(FROM_ISSUER, "checkInterval: 1h\ncheckTimeout: 7s").await?;
    federation.ready().await?;
    let first = token(&federation).await?;
    for operation in ["/healthz", "/oidc/token"] {
        federation.server.fail(operation, fault.clone());
    }
    let tokens = published_tokens(&federation, vec![first.clone()], 2, |_| Ok(())).await?;
    let renewed = written_at(&federation, tokens.last().context("no token")?).await?;
    ensure!(left(&first, renewed)? > 0.0, "it was renewed at {renewed}, after its end");
    federation.server.heal();
    federation.workspace.recheck("ServiceAccount", "ci", "after the outage").await?;
    federation.ready().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_away_keeps_no_token_from_being_renewed() -> Result<()> {
    expect_renewal_during(&Fault::Status(503)).await
}

#[tokio::test]
async fn a_server_that_hangs_keeps_no_token_from_being_renewed() -> Result<()> {
    expect_renewal_during(&Fault::Hang).await
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
    let federation = Federation::new(Duration::from_mins(1)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    let first = token(&federation).await?;
    // A mistake in the spec, which nobody notices for some time.
    let nowhere = json!({"spec": {"instance": {"baseURL": "https://127.0.0.1:1"}}});
    federation.workspace.patch("ServiceAccount", "ci", &nowhere).await?;
    let status =
        federation.workspace.wait_for_reason("ServiceAccount", "ci", "Verified", "ConnectionRefused").await?;
    assert_eq!(condition(&status, "Published").context("Published")?["reason"], "HoldingLastVerified");
    // One to try the changed spec, and another one as it is due: failed checks are repeated ever more seldom, so that
    // none of them falls on that time.
    let tokens = published_tokens(&federation, vec![first], 3, |published| {
        ensure!(published.get("WANDB_BASE_URL") == before.get("WANDB_BASE_URL"));
        Ok(())
    })
    .await?;
    let requests = federation.token_requests()?;
    let most = 1 + most_tokens(tokens.get(1).context("no token for the changed spec")?)?;
    ensure!(requests <= most, "{requests} tokens were made, and {most} were due");
    expect_a_tenth_left(&federation, &tokens).await
}
