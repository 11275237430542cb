//! The double of the W&B server satisfies the real client, and refuses it in words that it shows.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use test_support::wandb_server::Fault;
use test_support::{
    Certificate, CertificateAuthority, Leaf, OpenIdProvider, WandbAction, WandbClient, WandbServer,
};

const SUBJECT: &str = "system:serviceaccount:research:trainer";

/// A server over https with what a client needs to trust it.
struct World {
    client: WandbClient,
    server: WandbServer,
    certificate: Certificate,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Result<Self> {
        let certificate = CertificateAuthority::new("test authority")?.issue(&Leaf::loopback())?;
        let server = WandbServer::builder().certificate(&certificate).start()?;
        Ok(Self { client: WandbClient::install()?, server, certificate, directory: tempfile::tempdir()? })
    }

    fn file(&self, name: &str, contents: &str) -> Result<String> {
        let path = self.directory.path().join(name);
        fs::write(&path, contents)?;
        Ok(path.to_str().context("a path is no text")?.to_owned())
    }

    fn run(&self, action: WandbAction, identity: &[(&str, &str)]) -> Result<Result<Value, String>> {
        let (url, authority) =
            (self.server.base_url(), self.file("ca.pem", &self.certificate.authority_pem)?);
        let place = [("WANDB_BASE_URL", url.as_str()), ("SSL_CERT_FILE", authority.as_str())];
        self.client.run(&[&place, identity].concat(), action)
    }
}

#[test]
fn a_key_logs_in_until_it_is_revoked() -> Result<()> {
    let world = World::new()?;
    let key = world.server.service_account("robot", "research")?;
    let identity = [("WANDB_API_KEY", key.as_str())];
    assert_eq!(world.run(WandbAction::Login, &identity)?, Ok(json!({ "loggedIn": true })));
    let viewer = world.run(WandbAction::Viewer, &identity)?.map_err(anyhow::Error::msg)?;
    assert_eq!((&viewer["username"], &viewer["entity"]), (&json!("robot"), &json!("research")));
    assert_eq!((&viewer["teams"], &viewer["apiKeys"]), (&json!(["research"]), &json!([key[..6]])));
    assert!(world.server.calls().iter().all(|call| call.account.as_deref() == Some("robot")));

    world.server.revoke(&world.server.keys_of("robot")[0].id)?;
    for action in [WandbAction::Login, WandbAction::Viewer] {
        let refusal = world.run(action, &identity)?.unwrap_err();
        assert!(refusal.contains("invalid API key"), "{refusal}");
    }
    Ok(())
}

#[test]
fn an_identity_token_logs_in_if_it_keeps_the_rules() -> Result<()> {
    let world = World::new()?;
    let provider = OpenIdProvider::builder().start()?;
    world.server.register_issuer(provider.issuer(), &provider.jwks()?)?;
    world.server.federated_account(SUBJECT, "research");
    let credentials = world.directory.path().join("credentials.json");
    let credentials = credentials.to_str().context("a path is no text")?;
    let run = |action, audience| -> Result<Result<Value, String>> {
        let token = provider.issue(&json!({ "sub": SUBJECT, "aud": audience }))?;
        let token = world.file("token", &token)?;
        let identity =
            [("WANDB_IDENTITY_TOKEN_FILE", token.as_str()), ("WANDB_CREDENTIALS_FILE", credentials)];
        world.run(action, &identity)
    };
    let refusal = run(WandbAction::Login, "elsewhere")?.unwrap_err();
    assert!(refusal.contains("the audience elsewhere is not accepted"), "{refusal}");
    assert_eq!(world.server.requests("/oidc/token"), 1);

    assert_eq!(run(WandbAction::Login, "wandb")?, Ok(json!({ "loggedIn": true })));
    let viewer = run(WandbAction::Viewer, "wandb")?.map_err(anyhow::Error::msg)?;
    assert_eq!((&viewer["username"], &viewer["apiKeys"]), (&json!(SUBJECT), &json!([])));
    let written: Value = serde_json::from_str(&fs::read_to_string(credentials)?)?;
    assert!(written["credentials"][world.server.base_url()]["access_token"].is_string());
    Ok(())
}

#[test]
fn the_client_tries_again_what_may_pass() -> Result<()> {
    let world = World::new()?;
    let key = world.server.service_account("robot", "research")?;
    world.server.fail_next(1, "viewer", Fault::Status(502));
    let answer = world.run(WandbAction::Login, &[("WANDB_API_KEY", &key)])?;
    assert_eq!(answer, Ok(json!({ "loggedIn": true })));
    assert_eq!(world.server.requests("viewer"), 2);
    Ok(())
}
