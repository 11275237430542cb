//! What an account waits for, and what a person has to do.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{CLIENT, FROM_ISSUER, Federation, finding, jwt_issuer};

const LIFETIME: Duration = Duration::from_mins(10);

#[tokio::test]
async fn an_account_follows_its_jwt_issuer() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    let workspace = &federation.workspace;
    // A sample that does not come out as expected: the issuer is there, but its trust is not as described.
    let broken = "samples:\n- {name: wrong, claims: {sub: x}, expect: {valid: true}}";
    workspace.apply(&jwt_issuer(federation.provider.issuer(), broken)).await?;
    workspace.wait_for_reason("JwtIssuer", "main", "Verified", "UnexpectedRuling").await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h\nfailureThreshold: 1").await?;
    let message = federation.failed("IssuerNotReady").await?;
    assert!(message.contains("UnexpectedRuling"), "it quotes the condition: {message}");
    assert_eq!(federation.token_requests()?, 0, "no secret is sent to an issuer that is not verified");
    workspace.patch("JwtIssuer", "main", &json!({"spec": {"samples": null}})).await?;
    federation.ready().await?;
    // Once in use, the token stays in use.
    let published = federation.published().await?;
    workspace.apply(&jwt_issuer(federation.provider.issuer(), broken)).await?;
    federation.failed("IssuerNotReady").await?;
    assert_eq!(federation.published().await?.keys().count(), published.keys().count());
    workspace
        .patch("JwtIssuer", "main", &json!({"spec": {"audiences": ["another"], "samples": null}}))
        .await?;
    let message = federation.failed("AudienceNotListed").await?;
    assert!(message.contains("another") && message.contains("my-org"), "{message}");
    let any = json!({"spec": {"skipAudienceValidation": true}});
    workspace.patch("JwtIssuer", "main", &any).await?;
    federation.ready().await?;
    Ok(())
}

#[tokio::test]
async fn an_account_without_its_jwt_issuer_is_unresolved() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    let manifest = federation.account(FROM_ISSUER, "").replace("{name: main}", "{name: elsewhere}");
    federation.workspace.apply(&manifest).await?;
    federation.workspace.wait_for_reason("ServiceAccount", "ci", "ResolvedRefs", "ResourceNotFound").await?;
    Ok(())
}

#[tokio::test]
async fn a_person_is_told_the_clicks_until_the_exchange_succeeds() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    let manifest = federation.account(FROM_ISSUER, "").replace("subject: ci", "subject: robot");
    federation.workspace.apply(&manifest).await?;
    let message = federation.failed("SubjectMismatch").await?;
    assert!(message.contains("robot") && message.contains("\"ci\""), "{message}");
    federation.server.register_issuer("https://else.example", &federation.provider.jwks()?)?;
    federation.server.accept_only_audiences(&["wandb"]);
    federation.apply(FROM_ISSUER, "checkInterval: 10s").await?;
    let message = federation.failed("ManualStepRequired").await?;
    for words in ["Service accounts", "\"ci\"", "the audience my-org is not accepted"] {
        assert!(message.contains(words), "{words} is not in: {message}");
    }
    assert!(federation.workspace.secrets().get_opt("ci-wsa").await?.is_none());
    federation.server.accept_audience("my-org");
    federation.ready().await?;
    Ok(())
}

#[tokio::test]
async fn an_account_of_another_team_is_warned_of() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    let manifest = federation.account(FROM_ISSUER, "").replace("team: research", "team: production");
    federation.workspace.apply(&manifest).await?;
    let status = federation.ready().await?;
    let seen = finding(&status, "TokenExchange")?;
    assert_eq!((&seen["result"], &seen["reason"]), (&json!("Warning"), &json!("NotAMember")));
    assert!(seen["message"].to_string().contains("research"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_subject_has_one_account() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    federation.apply(FROM_ISSUER, "").await?;
    federation.ready().await?;
    // Creation times are whole seconds, and names decide between equal ones.
    let second =
        federation.account(FROM_ISSUER, "").replace("metadata: {name: ci}", "metadata: {name: second}");
    federation.workspace.apply(&second).await?;
    let status =
        federation.workspace.wait_for_reason("ServiceAccount", "second", "Accepted", "Superseded").await?;
    assert!(super::message(&status, "Accepted")?.contains(&format!("the subject \"{CLIENT}\"")));
    Ok(())
}
