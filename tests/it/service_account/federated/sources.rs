//! Where tokens come from: the issuer, for a client.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use test_support::{
    Operator, WandbServer, Workspace,
    hostile::{HttpServer, Request, Response},
    tokens::SigningKey,
};

use super::{
    AUDIENCE, CLIENT, CLIENT_SECRET, FROM_ISSUER, Federation, claims, finding, jwt_issuer, service_account,
};
use crate::world::{certificate, operator, put_authority, workspace};

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
    federation.apply(FROM_ISSUER, "").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    federation.workspace.put_secret("client", &[("secret", "not the secret of the machine")]).await?;
    let message = federation.failed("ClientRejected").await?;
    assert!(message.contains("invalid_client") && message.contains("The published token stays"), "{message}");
    assert!(!message.contains("not the secret"), "{message}");
    assert_eq!(federation.published().await?, before);
    // Asked twice each time, in both ways, with growing pauses.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(federation.token_requests()? <= 1 + 3 * 2, "{} requests", federation.token_requests()?);
    federation.workspace.put_secret("client", &[("secret", CLIENT_SECRET)]).await?;
    federation.ready().await?;
    Ok(())
}

/// An issuer that answers token requests like this, with its document where only older releases look.
struct Scripted {
    http: HttpServer,
    workspace: Workspace,
    /// Killed when dropped.
    _operator: Operator,
    _server: WandbServer,
}

impl Scripted {
    /// With a verified `JwtIssuer` and an account for it.
    async fn new(
        answer: impl Fn(&Request, &str, &SigningKey) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        let certificate = certificate()?;
        let key = SigningKey::rsa("key")?;
        let keys = json!({"keys": [key.jwk()?]});
        let server = WandbServer::builder().certificate(&certificate).start()?;
        server.accept_audience(AUDIENCE);
        server.federated_account(CLIENT, "research");
        let published = keys.clone();
        let http = HttpServer::tls(&certificate, move |request| {
            let issuer = format!("https://{}", request.header("host").unwrap_or_default());
            match request.path.as_str() {
                "/.well-known/oidc-configuration" => Response::json(&json!({
                    "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
                    "token_endpoint": format!("{issuer}/token"),
                })),
                "/jwks" => Response::json(&published),
                "/token" => answer(request, &issuer, &key),
                _ => Response::status(404, ""),
            }
        })?;
        server.register_issuer(&http.url(""), &keys.to_string())?;
        let workspace = workspace().await?;
        let operator = operator(&workspace)?;
        put_authority(&workspace, &certificate).await?;
        workspace.put_secret("client", &[("secret", CLIENT_SECRET)]).await?;
        workspace.apply(&jwt_issuer(&http.url(""), "")).await?;
        workspace.wait_until_ready("JwtIssuer", "main").await?;
        workspace.apply(&service_account(&server.base_url(), FROM_ISSUER, "")).await?;
        Ok(Self { http, workspace, _operator: operator, _server: server })
    }

    /// The client's secret went to the token endpoint and in no other request.
    fn assert_secret_kept(&self) {
        for request in self.http.requests() {
            let has_secret =
                request.header("authorization").is_some() || request.body.contains(CLIENT_SECRET);
            assert_eq!(has_secret, request.path == "/token", "{}", request.path);
        }
    }
}

#[tokio::test]
async fn a_client_may_have_to_send_its_secret_in_the_body() -> Result<()> {
    let scripted = Scripted::new(|request, issuer, key| {
        if request.header("authorization").is_some() || !request.body.contains(CLIENT_SECRET) {
            return Response::json_status(401, &json!({"error": "invalid_client"}));
        }
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({"iss": issuer, "sub": CLIENT, "aud": AUDIENCE, "iat": now, "exp": now + 600});
        let token = key.sign(&claims).unwrap_or_default();
        Response::json(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 600}))
    })
    .await?;
    scripted.workspace.wait_until_ready("ServiceAccount", "ci").await?;
    assert_eq!(scripted.http.requests().iter().filter(|request| request.path == "/token").count(), 2);
    scripted.assert_secret_kept();
    Ok(())
}

#[tokio::test]
async fn what_the_issuer_gives_out_must_be_a_web_token() -> Result<()> {
    let opaque = json!({"access_token": "an-opaque-token", "token_type": "Bearer"});
    let scripted = Scripted::new(move |_, _, _| Response::json(&opaque)).await?;
    let workspace = &scripted.workspace;
    let status = workspace.wait_for_reason("ServiceAccount", "ci", "Verified", "TokenMalformed").await?;
    let message = finding(&status, "TokenObtained")?["message"].to_string();
    assert!(message.contains("JWT access tokens") && !message.contains("an-opaque-token"), "{message}");
    scripted.assert_secret_kept();
    Ok(())
}

#[tokio::test]
async fn every_answer_without_a_token_has_its_reason() -> Result<()> {
    let secret_back = format!("no: {CLIENT_SECRET}");
    for (response, reason, words) in [
        (Response::json_status(400, &json!({"error": "invalid_scope"})), "ClientRejected", "invalid_scope"),
        (
            Response::json_status(
                400,
                &json!({"error": "unauthorized_client", "error_description": secret_back}),
            ),
            "ClientRejected",
            "[redacted]",
        ),
        (Response::status(503, "later"), "ServerUnavailable", "503"),
        (Response::redirect("https://else.example/token"), "InvalidDocument", "302"),
        (Response::html("<p>Log in"), "InvalidDocument", "no JSON"),
        (Response::json(&json!({"token": "x"})), "InvalidDocument", "no OAuth answer"),
        (Response::broken_off(), "ConnectionClosed", "token_endpoint"),
    ] {
        let scripted = Scripted::new(move |_, _, _| response.clone()).await?;
        let workspace = &scripted.workspace;
        let status = workspace.wait_for_reason("ServiceAccount", "ci", "Verified", reason).await?;
        let message = finding(&status, "TokenObtained")?["message"].to_string();
        assert!(message.contains(words) && !message.contains(CLIENT_SECRET), "{words}: {message}");
        scripted.assert_secret_kept();
    }
    Ok(())
}
