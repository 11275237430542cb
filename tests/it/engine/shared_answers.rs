//! One identical request once: what resources share of an issuer's answers, and what they never do.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};
use test_support::{
    Certificate, Operator, Workspace,
    hostile::{HttpServer, Request, Response},
    tokens::SigningKey,
};

use crate::world::{certificate, eventually, jwt_issuer, oidc_provider, operator, put_references, workspace};

const DOCUMENT: &str = "/.well-known/openid-configuration";
const OLDER: &str = "/.well-known/oidc-configuration";

/// An interval in which no resource's own time comes while a test runs.
const LONG: &str = "checkInterval: 8760h";

/// What the issuer does with those who ask for its document.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    /// It has no server behind it.
    Down,
    /// Its document names another issuer.
    Moved,
}

/// An issuer that a test changes, and many who ask it.
struct Town {
    server: HttpServer,
    mood: Arc<Mutex<Mood>>,
    workspace: Workspace,
    _operator: Operator,
}

impl Town {
    async fn build() -> Result<Self> {
        let certificate = certificate()?;
        let mood = Arc::new(Mutex::new(Mood::Well));
        let server = issuer(&certificate, Arc::clone(&mood))?;
        let workspace = workspace().await?;
        put_references(&workspace, &certificate).await?;
        let operator = operator(&workspace)?;
        Ok(Self { server, mood, workspace, _operator: operator })
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    fn asked_for(&self, path: &str) -> usize {
        self.server.requests().iter().filter(|request| request.path == path).count()
    }

    async fn apply(&self, name: &str, more: &str) -> Result<()> {
        let manifest = jwt_issuer(&self.server.url(""), more);
        self.workspace.apply(&manifest.replace("name: ci", &format!("name: {name}"))).await
    }

    async fn apply_provider(&self, name: &str) -> Result<()> {
        let manifest = oidc_provider(&self.server.url(""), LONG);
        self.workspace.apply(&manifest.replace("name: main", &format!("name: {name}"))).await
    }

    async fn verified(&self, name: &str, reason: &str) -> Result<Value> {
        self.workspace.wait_for_reason("JwtIssuer", name, "Verified", reason).await
    }
}

fn issuer(certificate: &Certificate, mood: Arc<Mutex<Mood>>) -> Result<HttpServer> {
    let key = SigningKey::rsa("one")?.jwk()?;
    HttpServer::tls(certificate, move |request: &Request| {
        let mood = *mood.lock().unwrap_or_else(PoisonError::into_inner);
        let issuer = format!("https://{}", request.header("host").unwrap_or_default());
        match request.path.as_str() {
            _ if mood == Mood::Down => Response::status(503, ""),
            DOCUMENT => Response::json(&json!({
                "issuer": if mood == Mood::Moved { "https://elsewhere.example.com" } else { &issuer },
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/jwks"),
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "profile", "email"],
            })),
            "/jwks" => Response::json(&json!({ "keys": [key] })),
            "/token" => Response::json_status(400, &json!({ "error": "invalid_grant" })),
            _ => Response::status(404, ""),
        }
    })
}

#[tokio::test]
async fn twenty_resources_ask_once_and_each_says_how_old_the_answer_may_be() -> Result<()> {
    let town = Town::build().await?;
    for number in 0..10 {
        town.apply(&format!("number-{number}"), "").await?;
        town.apply_provider(&format!("number-{number}")).await?;
    }
    for number in 0..10 {
        let name = format!("number-{number}");
        let status = town.workspace.wait_until_ready("JwtIssuer", &name).await?;
        assert!(status["checks"].to_string().contains("Seen within the last 5m"), "{status:#}");
        let status = town.workspace.wait_until_ready("OidcProvider", &name).await?;
        assert!(status["checks"].to_string().contains("Seen within the last 10m"), "{status:#}");
    }
    for path in [DOCUMENT, OLDER, "/jwks"] {
        assert_eq!(town.asked_for(path), 1, "{path}");
    }
    assert!(town.asked_for("/token") >= 10, "what sends credentials is nobody else's");
    Ok(())
}

#[tokio::test]
async fn who_asks_for_a_look_gets_one_and_others_share_what_it_found() -> Result<()> {
    let town = Town::build().await?;
    town.apply("first", LONG).await?;
    town.apply("second", LONG).await?;
    town.verified("first", "ChecksPassed").await?;
    town.verified("second", "ChecksPassed").await?;
    assert_eq!(town.asked_for(DOCUMENT), 1);

    town.becomes(Mood::Moved);
    town.workspace.patch("JwtIssuer", "first", &json!({"spec": {"failureThreshold": 1}})).await?;
    town.workspace.recheck("JwtIssuer", "first", "now").await?;
    town.verified("first", "IssuerMismatch").await?;
    town.apply("third", LONG).await?;
    town.verified("third", "IssuerMismatch").await?;

    town.becomes(Mood::Well);
    let before = town.asked_for(DOCUMENT);
    town.workspace.recheck("JwtIssuer", "third", "now").await?;
    town.verified("third", "ChecksPassed").await?;
    assert!(town.asked_for(DOCUMENT) > before);
    Ok(())
}

#[tokio::test]
async fn nobody_is_ready_by_an_answer_that_another_resource_cannot_get_any_more() -> Result<()> {
    let town = Town::build().await?;
    town.apply("first", &format!("{LONG}\nfailureThreshold: 1")).await?;
    town.verified("first", "ChecksPassed").await?;
    town.becomes(Mood::Down);
    town.workspace.recheck("JwtIssuer", "first", "now").await?;
    town.verified("first", "ServerUnavailable").await?;
    town.apply("second", LONG).await?;
    town.verified("second", "ServerUnavailable").await?;

    town.becomes(Mood::Well);
    town.workspace.recheck("JwtIssuer", "second", "now").await?;
    town.verified("second", "ChecksPassed").await?;
    Ok(())
}

#[tokio::test]
async fn every_look_of_a_resource_sees_something_new() -> Result<()> {
    let town = Town::build().await?;
    town.apply("often", "checkInterval: 10s\nfailureThreshold: 1").await?;
    town.verified("often", "ChecksPassed").await?;
    eventually("another look", || async { Ok((town.asked_for(DOCUMENT) >= 2).then_some(())) }).await?;
    town.becomes(Mood::Moved);
    town.verified("often", "IssuerMismatch").await?;
    Ok(())
}
