//! Issuers that are not as they should be, or not as most are.

use anyhow::{Context, Result};
use serde_json::json;
use test_support::{
    Operator, WandbServer, Workspace,
    hostile::{HttpServer, Request, Response},
    tokens::SigningKey,
};

use super::{AUDIENCE, CLIENT, CLIENT_SECRET, FROM_ISSUER, finding, jwt_issuer, service_account};
use crate::world::{certificate, operator, put_authority, workspace};

/// An issuer that answers token requests like this, with its document where only older releases look.
struct Scripted {
    http: HttpServer,
    workspace: Workspace,
    /// Killed when dropped.
    _operator: Operator,
    server: WandbServer,
}

impl Scripted {
    /// With a verified `JwtIssuer` and an account for it.
    async fn new(
        answer: impl Fn(&Request, &str, &SigningKey) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::with_endpoint(None, answer).await
    }

    /// The same, with a document that names this endpoint for tokens.
    async fn with_endpoint(
        endpoint: Option<&'static str>,
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
                    "token_endpoint": endpoint.map_or_else(|| format!("{issuer}/token"), str::to_owned),
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
        Ok(Self { http, workspace, _operator: operator, server })
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
        if request.header("authorization").is_some() {
            return Response::json_status(401, &json!({"error": "invalid_client"}));
        }
        granted(request, issuer, key)
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

#[tokio::test]
async fn the_secret_goes_to_no_endpoint_that_is_not_to_be_trusted() -> Result<()> {
    for (endpoint, reason) in [
        ("https://169.254.169.254/token", "EgressDenied"),
        ("http://127.0.0.1/token", "InvalidEndpoint"),
        ("ftp://127.0.0.1/token", "InvalidEndpoint"),
    ] {
        let scripted = Scripted::with_endpoint(Some(endpoint), |_, _, _| Response::status(500, "")).await?;
        let workspace = &scripted.workspace;
        let status = workspace.wait_for_reason("ServiceAccount", "ci", "Verified", reason).await?;
        assert!(finding(&status, "TokenObtained")?["message"].to_string().contains("token_endpoint"));
        scripted.assert_secret_kept();
    }
    Ok(())
}

#[tokio::test]
async fn the_issuer_may_come_from_another_authority_than_the_server() -> Result<()> {
    let scripted = Scripted::new(granted).await?;
    let workspace = &scripted.workspace;
    workspace.wait_until_ready("ServiceAccount", "ci").await?;
    // The account knows the authority of its server, and the JwtIssuer that of the issuer.
    let other = certificate()?;
    let server = WandbServer::builder().certificate(&other).start()?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}, "data": {"ca.crt": other.authority_pem}});
    workspace.apply(&map.to_string()).await?;
    let account =
        service_account(&server.base_url(), FROM_ISSUER, "").replace("name: authority", "name: other");
    workspace.apply(&account).await?;
    let status = workspace.wait_for_reason("ServiceAccount", "ci", "Verified", "UnknownAuthority").await?;
    assert_eq!(finding(&status, "TlsVerifies")?["result"], "Passed");
    let seen = finding(&status, "TokenObtained")?["message"].to_string();
    assert!(seen.contains(&format!("The issuer {}", scripted.http.url(""))), "{seen}");
    Ok(())
}

/// Auth0 and Hydra give tokens only for an audience that they are told.
#[tokio::test]
async fn an_issuer_that_wants_an_audience_gets_it() -> Result<()> {
    let scripted = Scripted::new(|request, issuer, key| {
        if request.body.contains("audience=my-org") {
            return granted(request, issuer, key);
        }
        let description = "Client has not been granted access to an audience";
        Response::json_status(403, &json!({"error": "access_denied", "error_description": description}))
    })
    .await?;
    let workspace = &scripted.workspace;
    let status = workspace.wait_for_reason("ServiceAccount", "ci", "Verified", "ClientRejected").await?;
    let message = finding(&status, "TokenObtained")?["message"].to_string();
    assert!(message.contains("clientCredentials.parameters"), "{message}");
    let told = FROM_ISSUER.replace("}}", "}, parameters: {audience: my-org, x: 'a b&c=d'}}");
    workspace.apply(&service_account(&scripted.server.base_url(), &told, "")).await?;
    workspace.wait_until_ready("ServiceAccount", "ci").await?;
    let requests = scripted.http.requests();
    let last = requests.iter().rfind(|request| request.path == "/token").context("no request")?;
    assert_eq!(last.body, "grant_type=client_credentials&audience=my-org&x=a+b%26c%3Dd");
    scripted.assert_secret_kept();
    Ok(())
}

/// A token for the client, if it sends its secret in whichever way.
fn granted(request: &Request, issuer: &str, key: &SigningKey) -> Response {
    if request.header("authorization").is_none() && !request.body.contains(CLIENT_SECRET) {
        return Response::json_status(401, &json!({"error": "invalid_client"}));
    }
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({"iss": issuer, "sub": CLIENT, "aud": AUDIENCE, "iat": now, "exp": now + 600});
    let token = key.sign(&claims).unwrap_or_default();
    Response::json(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 600}))
}
