//! Where tokens come from: the issuer, for a client.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{AUDIENCE, CLIENT, CLIENT_SECRET, FROM_ISSUER, Federation, OTHER_CLIENT, claims, finding};
use crate::{service_account::outlast_first_retry, world::eventually};

const LIFETIME: Duration = Duration::from_mins(10);

#[tokio::test]
async fn a_token_of_the_issuer_is_published_with_all_that_programs_need() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    federation.apply(FROM_ISSUER, "attribution: {username: alice}").await?;
    let status = federation.ready().await?;
    let mut published = federation.published().await?;
    let token = published.remove("identity-token").unwrap_or_default();
    let claimed = claims(&token)?;
    assert_eq!(claimed["iss"], federation.provider.issuer());
    assert_eq!((&claimed["sub"], &claimed["aud"]), (&json!(CLIENT), &json!(AUDIENCE)));
    let expected = [
        ("SSL_CERT_FILE", "/var/run/secrets/auth.wandb.com/ca.crt"),
        ("WANDB_BASE_URL", &federation.server.base_url()),
        ("WANDB_CREDENTIALS_FILE", "/tmp/wandb-credentials.json"),
        ("WANDB_ENTITY", "research"),
        ("WANDB_IDENTITY_TOKEN_FILE", "/var/run/secrets/auth.wandb.com/identity-token"),
        ("WANDB_USERNAME", "alice"),
        ("ca.crt", &federation.certificate.authority_pem),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(published.into_iter().collect::<Vec<_>>(), expected);

    assert_eq!(status["account"]["username"], CLIENT);
    let expiration: jiff::Timestamp = serde_json::from_value(status["tokenExpiration"].clone())?;
    assert_eq!(Some(expiration.as_second()), claimed["exp"].as_i64());
    let names: Vec<_> =
        status["checks"].as_array().into_iter().flatten().map(|check| &check["name"]).collect();
    assert_eq!(
        json!(names),
        json!([
            "SecretValues",
            "DnsResolves",
            "EgressAllowed",
            "TcpConnects",
            "TlsVerifies",
            "InstanceReachable",
            "IssuerReady",
            "TokenObtained",
            "TokenClaims",
            "TokenExchange"
        ])
    );
    let metrics = federation.operator.get("/metrics")?.1;
    let figure = format!(
        "wandb_auth_token_expiration_seconds{{kind=\"ServiceAccount\",namespace=\"{}\",name=\"ci\"}} {}",
        federation.workspace.namespace(),
        expiration.as_second()
    );
    assert!(metrics.contains(&figure), "{figure} is not in {metrics}");
    // The secrets are where they belong and nowhere else.
    let told = format!(
        "{status}{}{metrics}{}",
        federation.workspace.events().await?,
        federation.operator.log().read()?
    );
    assert!(!told.contains(CLIENT_SECRET) && !told.contains(&token));
    Ok(())
}

#[tokio::test]
async fn a_changed_client_secret_is_tried_at_once_and_the_token_in_use_stays() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    federation.workspace.put_secret("client", &[("secret", "not the secret of the machine")]).await?;
    let message = federation.failed("ClientRejected").await?;
    assert!(message.contains("invalid_client") && message.contains("The published token stays"), "{message}");
    assert!(!message.contains("not the secret"), "{message}");
    assert_eq!(federation.published().await?, before);
    // Asked twice, in both ways, and not again before the interval is over.
    outlast_first_retry(&federation.workspace).await?;
    assert!(federation.token_requests()? <= 1 + 2, "{} requests", federation.token_requests()?);
    federation.workspace.put_secret("client", &[("secret", CLIENT_SECRET)]).await?;
    federation.ready().await?;
    Ok(())
}

#[tokio::test]
async fn a_new_source_is_never_proven_with_a_token_of_the_old_one() -> Result<()> {
    let federation = Federation::new(LIFETIME).await?;
    federation.apply(FROM_ISSUER, "").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    // The old client's token is fresh and for the same subject, which the new client's is not.
    federation.apply(&FROM_ISSUER.replace("clientID: ci", &format!("clientID: {OTHER_CLIENT}")), "").await?;
    federation.failed("SubjectMismatch").await?;
    for run in 1..=3 {
        let requests = federation.token_requests()?;
        federation.workspace.recheck("ServiceAccount", "ci", &format!("run {run}")).await?;
        eventually("a request to the new source", || async {
            Ok((federation.token_requests()? > requests).then_some(()))
        })
        .await?;
    }
    let status = federation
        .workspace
        .wait_for("ServiceAccount", "ci", |status| {
            status["checkedInputs"].to_string().contains("recheck=run 3")
        })
        .await?;
    assert_eq!(finding(&status, "TokenClaims")?["reason"], "SubjectMismatch");
    assert_eq!(federation.published().await?, before, "programs keep the token that works");
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_wants_to_be_told_more_is_told() -> Result<()> {
    const RESOURCE: &str = "urn:example:wandb";
    let federation = Federation::new(LIFETIME).await?;
    federation.server.accept_audience(RESOURCE);
    let audience = format!("audience: {AUDIENCE}");
    let account =
        |token: &str| federation.account(token, "").replace(&audience, &format!("audience: {RESOURCE}"));
    let issuer = super::jwt_issuer(federation.provider.issuer(), "");
    let issuer = issuer.replace(&format!("[{AUDIENCE}]"), &format!("['{AUDIENCE}', '{RESOURCE}']"));
    federation.workspace.apply(&issuer).await?;
    // The provider makes tokens for its usual audience, unless it is asked for a resource (RFC 8707).
    federation.workspace.apply(&account(FROM_ISSUER)).await?;
    let message = federation.failed("AudienceMismatch").await?;
    assert!(message.contains(RESOURCE), "{message}");
    let told = FROM_ISSUER.replace("}}", &format!("}}, parameters: {{resource: '{RESOURCE}'}}}}"));
    federation.workspace.apply(&account(&told)).await?;
    federation.ready().await?;
    let token = federation.published().await?.remove("identity-token").unwrap_or_default();
    assert_eq!(claims(&token)?["aud"], RESOURCE);
    Ok(())
}
