//! The whole operator on a Kubernetes API.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use test_support::{Workspace, condition};

use super::SUBJECT;
use crate::world::{certificate, eventually, jwt_issuer, operator, provider, put_authority, workspace};

const KIND: &str = "JwtIssuer";

/// A sample whose token is in the Secret `token`.
const SAMPLE: &str = "\
samples:
- name: ci
  tokenSecretRef: {name: token, key: token}
  expect: {valid: true, subject: ci@example.org}
";

fn kids(status: &Value) -> Vec<String> {
    let keys = status["keys"].as_array().into_iter().flatten();
    keys.filter_map(|key| key["kid"].as_str()).map(str::to_owned).collect()
}

async fn published(workspace: &Workspace) -> Result<Vec<(String, String)>> {
    let secret = workspace.secrets().get("ci-jwt").await?;
    let data = secret.data.context("the Secret has data")?.into_iter();
    data.map(|(name, value)| Ok((name, String::from_utf8(value.0)?))).collect()
}

#[tokio::test]
async fn it_becomes_ready_publishes_and_follows_the_keys() -> Result<()> {
    let certificate = certificate()?;
    let provider = provider(&certificate)?;
    let workspace = workspace().await?;
    let operator = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    let token = provider.issue(&json!({"sub": SUBJECT, "aud": "my-org"}))?;
    workspace.put_secret("token", &[("token", &token)]).await?;
    workspace.apply(&jwt_issuer(provider.issuer(), &format!("checkInterval: 1h\n{SAMPLE}"))).await?;
    let status = workspace.wait_until_ready(KIND, "ci").await?;
    let first = kids(&status);
    assert_eq!(first.len(), 1);
    assert_eq!(
        (&status["keys"][0]["algorithm"], &status["keys"][0]["bits"]),
        (&json!("RS256"), &json!(2048))
    );
    let value = ("FEDERATED_AUTH_AUDIENCES".to_owned(), "my-org,research".to_owned());
    assert_eq!(published(&workspace).await?, [value]);
    let table = workspace.table("jwtissuers").await?;
    assert_eq!(table.rows()[1][..6], ["ci", provider.issuer(), "True", "Ready", "2", "ci-jwt"]);
    assert!(!workspace.events().await?.contains("KeysChanged"), "the first keys are no news");

    provider.rotate_keys()?;
    let status = recheck_until(&workspace, |status| kids(status).len() == 2).await?;
    let second = kids(&status).into_iter().find(|kid| *kid != first[0]).context("a new key")?;
    let events = events_with(&workspace, &format!("new: {second}")).await?;
    assert!(events.contains("KeysChanged"), "{events}");

    // The sample's key goes: the values stay.
    provider.withdraw_old_keys()?;
    let status = recheck_until(&workspace, |status| kids(status) == [second.clone()]).await?;
    assert_eq!(condition(&status, "Published").context("Published")?["status"], "True");
    events_with(&workspace, &format!("gone: {}", first[0])).await?;
    assert!(!published(&workspace).await?.is_empty());

    let metrics = operator.get("/metrics")?.1;
    assert!(metrics.contains("check=\"Sample/ci\""), "{metrics}");
    for shown in [workspace.events().await?, status.to_string(), operator.log().read()?, metrics] {
        assert!(!shown.contains(&token));
    }
    Ok(())
}

/// Has the keys fetched until the status is as it should be. For a second, an answer counts as the one to a later
/// request, so one check may be too early.
async fn recheck_until(workspace: &Workspace, is_meant: impl Fn(&Value) -> bool) -> Result<Value> {
    let is_meant = &is_meant;
    eventually("the keys to be fetched", || async move {
        let now = Timestamp::now().to_string();
        workspace.recheck(KIND, "ci", &now).await?;
        let status = workspace.wait_for(KIND, "ci", |status| status["lastHandledRecheck"] == *now).await?;
        Ok(is_meant(&status).then_some(status))
    })
    .await
}

/// Waits for an event with these words; events come after the status.
async fn events_with(workspace: &Workspace, words: &str) -> Result<String> {
    eventually("an event", || async {
        let events = workspace.events().await?;
        Ok(events.contains(words).then_some(events))
    })
    .await
    .with_context(|| words.to_owned())
}

#[tokio::test]
async fn an_unreachable_issuer_keeps_values_and_keys() -> Result<()> {
    let certificate = certificate()?;
    let mut provider = provider(&certificate)?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    let spec = "checkInterval: 1h\nfailureThreshold: 1";
    workspace.apply(&jwt_issuer(provider.issuer(), spec)).await?;
    let ready = workspace.wait_until_ready(KIND, "ci").await?;
    let values = published(&workspace).await?;
    provider.stop()?;
    workspace.recheck(KIND, "ci", "stopped").await?;
    let failed = workspace.wait_for_reason(KIND, "ci", "Verified", "ConnectionRefused").await?;
    assert_eq!(kids(&failed), kids(&ready), "the keys of the last fetch stay");
    assert_eq!(published(&workspace).await?, values);
    provider.start()?;
    workspace.wait_until_ready(KIND, "ci").await?;
    Ok(())
}

#[tokio::test]
async fn what_a_sample_disproves_is_not_published() -> Result<()> {
    let certificate = certificate()?;
    let provider = provider(&certificate)?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    let token = provider.issue(&json!({"sub": SUBJECT, "aud": "another-org"}))?;
    workspace.put_secret("token", &[("token", &token)]).await?;
    workspace.apply(&jwt_issuer(provider.issuer(), SAMPLE)).await?;
    let status = workspace.wait_for_reason(KIND, "ci", "Verified", "UnexpectedRuling").await?;
    let message = condition(&status, "Ready").context("Ready")?["message"].to_string();
    assert!(message.contains("AudienceMismatch") && message.contains("another-org"), "{message}");
    assert_eq!(condition(&status, "Published").context("Published")?["reason"], "NotYetVerified");
    assert!(workspace.secrets().get_opt("ci-jwt").await?.is_none());

    // A token in its place is seen at once.
    let token = provider.issue(&json!({"sub": SUBJECT, "aud": "research"}))?;
    workspace.put_secret("token", &[("token", &token)]).await?;
    workspace.wait_until_ready(KIND, "ci").await?;
    Ok(())
}
