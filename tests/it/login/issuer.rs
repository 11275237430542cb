//! Logins of programs with tokens of an issuer.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use test_support::{WandbServer, hostile::HttpServer, tokens::SigningKey};

use super::{assert_found, check};
use crate::{
    command_line::call::{Directory, Printed},
    jwt::scripted_issuer::{Issuer, claims},
};

const SUBJECT: &str = "ci@example.org";

/// An issuer, and a W&B Server that may know it.
struct World {
    key: SigningKey,
    issuer: HttpServer,
    server: WandbServer,
}

impl World {
    fn new() -> Result<Self> {
        let key = SigningKey::p256("one")?;
        let issuer = Issuer::publishing(&[&key]).start();
        Ok(Self { key, issuer, server: WandbServer::builder().start()? })
    }

    /// A token with these changes of its claims.
    fn token(&self, changes: &Value) -> Result<String> {
        self.key.sign(&claims(&self.issuer.url(""), changes))
    }

    /// Tries the login with this token.
    fn log_in(&self, token: &str, more: &str) -> Result<Printed> {
        let resource = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "JwtIssuer", "metadata": {"name": "main"},
            "spec": {
                "issuer": self.issuer.url(""), "insecurePlaintext": true, "audiences": ["my-org"],
                "instance": {"baseURL": self.server.base_url(), "insecurePlaintext": true},
            },
        });
        let files =
            Directory::with(&[("main.yaml", &resource.to_string()), ("token", &format!("{token}\n"))])?;
        let printed = files.call(&format!("login jwt/main -f main.yaml --token-file token {more}"))?;
        ensure!(!printed.stdout.contains(token) && !printed.stderr.contains(token), "{printed}");
        let signature = token.rsplit('.').next().unwrap_or_default();
        ensure!(signature.len() < 20 || !printed.stdout.contains(signature), "{printed}");
        Ok(printed)
    }

    fn exchanges(&self) -> usize {
        self.server.requests("/oidc/token")
    }
}

#[test]
fn a_token_that_keeps_all_rules_is_shown_decoded() -> Result<()> {
    let world = World::new()?;
    let printed = world.log_in(&world.token(&json!({}))?, "-o json")?;
    assert_eq!(printed.code, 0, "{printed}");
    let report = printed.json()?;
    let message = assert_found(&report, "TokenClaims", "Passed", "Passed")?;
    ensure!(message.contains(&format!("W&B identifies it as \"{SUBJECT}\"")), "{message}");
    assert_eq!(report["token"]["algorithm"], "ES256");
    assert_eq!(report["token"]["key"], "one");
    assert_eq!(report["token"]["claims"]["sub"], SUBJECT);
    assert_eq!(report["person"]["knownAs"], SUBJECT);
    ensure!(check(&report, "TokenExchange").is_err(), "{printed}");
    let tree = world.log_in(&world.token(&json!({}))?, "")?;
    ensure!(tree.stdout.contains(&format!("sub: {SUBJECT}")), "{tree}");
    let summary = "A program with this token can log in only if W&B Server knows the issuer and the subject, which --exchange shows.";
    ensure!(tree.stdout.contains(&format!("! {summary}")), "{tree}");
    assert_eq!(world.exchanges(), 0);
    Ok(())
}

#[test]
fn the_rule_that_refuses_a_token_is_named() -> Result<()> {
    let world = World::new()?;
    let stranger = SigningKey::p256("one")?.sign(&claims(&world.issuer.url(""), &json!({})))?;
    for (token, more, rule, reason) in [
        (world.token(&json!({"aud": "other"}))?, "", "Audience", "AudienceMismatch"),
        (world.token(&json!({"iss": "https://other.example"}))?, "", "Issuer", "IssuerMismatch"),
        (world.token(&json!({"exp": 1}))?, "", "Expiry", "TokenExpired"),
        (world.token(&json!({}))?, "--subject other@example.org", "Subject", "SubjectMismatch"),
        (stranger, "", "Signature", "SignatureInvalid"),
        ("no-token-at-all".to_owned(), "", "Signature", "TokenMalformed"),
    ] {
        let printed = world.log_in(&token, &format!("-o json --exchange {more}"))?;
        assert_eq!(printed.code, 1, "{printed}");
        let report = printed.json()?;
        let message = assert_found(&report, "TokenClaims", "Failed", reason)?;
        ensure!(message.contains(&format!("The rule {rule} refuses the token.")), "{message}");
        // What a rule refuses goes nowhere.
        assert_found(&report, "TokenExchange", "Skipped", "NotReached")?;
    }
    assert_eq!(world.exchanges(), 0);
    Ok(())
}

#[test]
fn a_token_is_exchanged_when_that_is_asked_for() -> Result<()> {
    let world = World::new()?;
    let token = world.token(&json!({}))?;
    let printed = world.log_in(&token, "--exchange -o json")?;
    assert_eq!(printed.code, 1, "{printed}");
    let message = assert_found(&printed.json()?, "TokenExchange", "Failed", "TokenRefused")?;
    ensure!(message.contains("Set up JWT Issuer"), "{message}");

    let jwks = json!({ "keys": [world.key.jwk()?] });
    world.server.register_issuer(&world.issuer.url(""), &jwks.to_string())?;
    world.server.accept_audience("my-org");
    world.server.federated_account(SUBJECT, "research");
    let printed = world.log_in(&token, "--exchange")?;
    assert_eq!(printed.code, 0, "{printed}");
    ensure!(printed.stdout.contains("exchanges the token for an access token of"), "{printed}");
    ensure!(printed.stdout.contains("A program with this token can log in"), "{printed}");
    ensure!(!printed.stdout.contains("only if"), "{printed}");
    Ok(())
}

#[test]
fn a_file_that_has_no_token_ends_with_two() -> Result<()> {
    let world = World::new()?;
    for (token, words) in [("", "has 0 characters"), (&"x".repeat(70_000), "has 70000 characters")] {
        let resource = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "JwtIssuer", "metadata": {"name": "main"},
            "spec": {"issuer": world.issuer.url(""), "insecurePlaintext": true, "audiences": ["my-org"]},
        });
        let files = Directory::with(&[("main.yaml", &resource.to_string()), ("token", token)])?;
        let printed = files.call("login -f main.yaml --token-file token")?;
        assert_eq!(printed.code, 2, "{printed}");
        ensure!(printed.stderr.contains(words), "{printed}");
        for (more, words) in
            [("", "--token-file FILE"), ("--token-file token --exchange", "set spec.instance")]
        {
            let files = Directory::with(&[("main.yaml", &resource.to_string()), ("token", "a.b.c")])?;
            let printed = files.call(&format!("login -f main.yaml {more}"))?;
            assert_eq!(printed.code, 2, "{printed}");
            ensure!(printed.stderr.contains(words), "{printed}");
        }
    }
    Ok(())
}
