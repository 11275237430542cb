//! Tokens that somebody else puts into a Secret: what each of the five rules refuses, and what is nearly over.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use test_support::tokens::SigningKey;

use super::{AUDIENCE, CLIENT, Federation, finding};

const FROM_SECRET: &str = "secretRef: {name: token, key: token}";

/// A token of the issuer with these changes of its claims; a change to null takes the claim out.
fn token(federation: &Federation, changes: &Value) -> Result<String> {
    let now = Timestamp::now().as_second();
    let mut claims = json!({"sub": CLIENT, "aud": AUDIENCE, "iat": now, "exp": now + 3600});
    if let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
        claims.extend(changes.clone());
        claims.retain(|_, claim| !claim.is_null());
    }
    federation.provider.issue(&claims)
}

async fn put(federation: &Federation, token: &str) -> Result<()> {
    federation.workspace.put_secret("token", &[("token", token)]).await
}

#[tokio::test]
async fn each_rule_tells_what_it_refuses_and_the_last_good_token_stays() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    let good = token(&federation, &json!({}))?;
    put(&federation, &good).await?;
    federation.apply(FROM_SECRET, "").await?;
    federation.ready().await?;
    let now = Timestamp::now().as_second();
    let stranger = SigningKey::rsa("stranger")?;
    let claims =
        json!({"iss": federation.provider.issuer(), "sub": CLIENT, "aud": AUDIENCE, "exp": now + 60});
    for (token, reason, words) in [
        (token(&federation, &json!({"iss": "https://else.example"}))?, "IssuerMismatch", "rule Issuer"),
        (token(&federation, &json!({"sub": "CI"}))?, "SubjectMismatch", "upper and lower case only"),
        // Listed in the JwtIssuer or not: another audience than the account's is not the account's token.
        (token(&federation, &json!({"aud": "wandb"}))?, "AudienceMismatch", "rule Audience"),
        (token(&federation, &json!({"exp": now - 120}))?, "TokenExpired", "rule Expiry"),
        (token(&federation, &json!({"nbf": now + 600}))?, "TokenNotYetValid", "rule Expiry"),
        (stranger.sign(&claims)?, "SignatureInvalid", "rule Signature"),
        ("not-a-token".to_owned(), "TokenMalformed", "rule Signature"),
    ] {
        put(&federation, &token).await?;
        let message = federation.failed(reason).await?;
        assert!(message.contains(words), "{words} is not in: {message}");
        assert!(!message.contains(&token), "{message}");
        assert_eq!(federation.published().await?["identity-token"], good, "{reason}");
        let status = federation.workspace.status("ServiceAccount", "ci").await?;
        assert_eq!(finding(&status, "TokenExchange")?["reason"], "NotReached");
    }
    assert_eq!(federation.server.requests("/oidc/token"), 1, "only the good token was sent");
    let next = token(&federation, &json!({"jti": "next"}))?;
    put(&federation, &next).await?;
    federation.ready().await?;
    assert_eq!(federation.published().await?["identity-token"], next);
    assert_eq!(federation.token_requests()?, 0, "nothing is made where a Secret has the token");
    Ok(())
}

#[tokio::test]
async fn a_token_that_nobody_renews_is_warned_of_and_then_expires() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    // Nothing but the account's own check takes from the token's short life.
    federation.workspace.wait_until_ready("JwtIssuer", "main").await?;
    let now = Timestamp::now().as_second();
    put(&federation, &token(&federation, &json!({"exp": now + 30}))?).await?;
    federation.apply(FROM_SECRET, "checkInterval: 1h\nfailureThreshold: 1000").await?;
    let status = federation.ready().await?;
    let seen = finding(&status, "TokenClaims")?;
    assert_eq!((&seen["result"], &seen["reason"]), (&json!("Warning"), &json!("TokenExpiresSoon")));
    assert!(seen["message"].to_string().contains("put a new one into the Secret"), "{seen}");
    // Neither the interval nor the threshold delays what is certain.
    let message = federation.failed("TokenExpired").await?;
    assert!(message.contains("expired"), "{message}");
    put(&federation, &token(&federation, &json!({}))?).await?;
    let status = federation.ready().await?;
    assert_eq!(finding(&status, "TokenClaims")?["result"], "Passed");
    Ok(())
}
