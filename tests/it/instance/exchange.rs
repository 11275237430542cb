//! From an identity token to what an account may do.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp, jwk::Jwk};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use test_support::{
    WandbServer,
    hostile::{HttpServer, Response},
};
use wandb_auth_operator::{api::Reason, instance::Credential, sensitive::Sensitive};

use super::{Way, granted, refusal};
use crate::world::certificate;

const ISSUER: &str = "https://issuer.example.org";
const SUBJECT: &str = "ci@example.org";

/// A key with which tests sign.
struct Signer(EncodingKey);

impl Signer {
    fn new() -> Self {
        let pem = certificate().unwrap().key_pem;
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        Self(EncodingKey::from_ec_der(der.secret_der()))
    }

    fn jwks(&self) -> String {
        json!({ "keys": [Jwk::from_encoding_key(&self.0, Algorithm::ES256).unwrap()] }).to_string()
    }

    fn token(&self, changes: &Value) -> Sensitive {
        let exp = get_current_timestamp() + 600;
        let mut claims = json!({ "iss": ISSUER, "sub": SUBJECT, "aud": "wandb", "exp": exp });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Sensitive::new(encode(&Header::new(Algorithm::ES256), &claims, &self.0).unwrap())
    }
}

fn server(signer: &Signer) -> WandbServer {
    let server = WandbServer::builder().start().unwrap();
    server.register_issuer(ISSUER, &signer.jwks()).unwrap();
    server.federated_account(SUBJECT, "research");
    server
}

#[tokio::test]
async fn an_identity_token_becomes_an_access_token() {
    let signer = Signer::new();
    let server = server(&signer);
    let way = Way::to(&server.base_url());
    let instance = way.instance();

    let access = granted(instance.exchange(&signer.token(&json!({}))).await);
    assert_eq!(access.expires_in, Duration::from_hours(1));
    let credential = Credential::Token(access);
    let viewer = granted(instance.viewer(&credential).await);
    assert_eq!(viewer.username.as_deref(), Some(SUBJECT));
    assert_eq!(viewer.teams, ["research"]);
    let forbidden = refusal(instance.generate_api_key(&credential, "x").await).problem;
    assert_eq!(forbidden.reason, Reason::KeyCreationForbidden);

    server.revoke_access_tokens();
    let revoked = refusal(instance.viewer(&credential).await).problem;
    assert_eq!(revoked.reason, Reason::Unauthorized);
    assert!(revoked.message.contains("does not accept the access token"), "{}", revoked.message);
}

#[tokio::test]
async fn a_token_that_breaks_a_rule_is_refused_in_the_servers_words() {
    let signer = Signer::new();
    let server = server(&signer);
    let way = Way::to(&server.base_url());
    for (changes, words) in [
        (
            json!({ "iss": "https://other.example.org" }),
            "the issuer https://other.example.org is not registered",
        ),
        (json!({ "sub": "Ci@example.org" }), "no service account has the subject Ci@example.org"),
        (json!({ "aud": "other" }), "the audience other is not accepted"),
        (json!({ "exp": 1 }), "the token has expired"),
    ] {
        let problem = refusal(way.instance().exchange(&signer.token(&changes)).await).problem;
        assert_eq!(problem.reason, Reason::TokenRefused);
        let words = format!("the status 400 (invalid_grant: {words})");
        assert!(problem.message.contains(&words), "{words} is not in: {}", problem.message);
    }
    let forged = refusal(way.instance().exchange(&Signer::new().token(&json!({}))).await).problem;
    assert_eq!(forged.reason, Reason::TokenRefused);
}

#[tokio::test]
async fn a_server_without_the_exchange_is_not_a_refusal() {
    for (response, reason) in [
        (Response::status(404, "404 page not found"), Reason::UnexpectedStatus),
        (Response::html("<html>W&B</html>"), Reason::NotJson),
        (Response::json(&json!({ "access_token": "x" })), Reason::InvalidDocument),
        (Response::status(502, "<html>"), Reason::ServerUnavailable),
    ] {
        let server = HttpServer::plain(move |_| response.clone()).unwrap();
        let way = Way::to(&server.url("/wandb"));
        let problem = refusal(way.instance().exchange(&"a.b.c".into()).await).problem;
        assert_eq!(problem.reason, reason, "{}", problem.message);
        let requests = server.requests();
        let request = requests.first().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/wandb/oidc/token"));
        assert_eq!(request.header("authorization"), None);
        assert_eq!(
            request.body,
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c"
        );
    }
}
