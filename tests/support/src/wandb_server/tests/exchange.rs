//! The token exchange, rule by rule.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::KeyPair;

use super::*;

const ISSUER: &str = "https://issuer.example.org";
const SUBJECT: &str = "system:serviceaccount:research:trainer";

/// A key with the JWKS that has it.
fn key(id: &str) -> Result<(EncodingKey, String)> {
    let key = EncodingKey::from_ec_der(&KeyPair::generate()?.serialize_der());
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
    jwk.common.key_id = Some(id.to_owned());
    Ok((key, json!({ "keys": [jwk] }).to_string()))
}

fn token(key: &EncodingKey, kid: &str, changes: &Value) -> Result<String> {
    let now = get_current_timestamp();
    let mut claims = json!({ "iss": ISSUER, "sub": SUBJECT, "aud": "wandb", "exp": now + 60 });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
    Ok(encode(&header, &claims, key)?)
}

fn exchange(server: &WandbServer, token: &str) -> Result<(u16, Value)> {
    let client = HttpClient { address: server.address(), tls: None };
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
        .append_pair("assertion", token)
        .finish();
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = client.send("POST /oidc/token", headers, &form)?;
    Ok((answer.status, serde_json::from_str(&answer.body)?))
}

#[test]
fn a_token_is_exchanged_for_access_without_keys() -> Result<()> {
    let server = WandbServer::builder().start()?;
    let (key, jwks) = key("one")?;
    server.register_issuer(ISSUER, &jwks)?;
    server.federated_account(SUBJECT, "research");

    let (status, answer) = exchange(&server, &token(&key, "one", &json!({}))?)?;
    assert_eq!((status, &answer["expires_in"], &answer["token_type"]), (200, &json!(3600), &json!("Bearer")));
    let bearer = format!("Authorization: Bearer {}\r\n", answer["access_token"].as_str().unwrap());
    let viewer: Value = serde_json::from_str(&send(&server, &bearer, VIEWER, &json!({}))?.body)?;
    assert_eq!(viewer["data"]["viewer"]["username"], SUBJECT);
    let made: Value = serde_json::from_str(&send(&server, &bearer, GENERATE, &json!({ "d": "" }))?.body)?;
    assert_eq!(made["errors"][0]["message"], "external service accounts cannot own API keys");
    assert_eq!(server.calls()[0].account.as_deref(), Some(SUBJECT));

    server.revoke_access_tokens();
    assert_eq!(send(&server, &bearer, VIEWER, &json!({}))?.status, 401);
    Ok(())
}

#[test]
fn each_broken_rule_is_named() -> Result<()> {
    let server = WandbServer::builder().start()?;
    let (key, jwks) = key("one")?;
    let (stranger, other_jwks) = super::exchange::key("two")?;
    server.register_issuer(ISSUER, &jwks)?;
    server.federated_account(SUBJECT, "research");
    let now = get_current_timestamp();
    let slash = format!("{ISSUER}/");
    for (changes, description) in [
        (json!({ "iss": slash }), format!("the issuer {slash} is not registered")),
        (json!({ "exp": now - 1 }), "the token has expired".to_owned()),
        (json!({ "exp": null }), "the token has no exp".to_owned()),
        (json!({ "aud": ["a", "b"] }), "the audience a, b is not accepted".to_owned()),
        (json!({ "sub": "Somebody" }), "no service account has the subject Somebody".to_owned()),
    ] {
        let (status, answer) = exchange(&server, &token(&key, "one", &changes)?)?;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
        assert_eq!(answer["error_description"], description);
    }
    let (_, forged) = exchange(&server, &token(&stranger, "one", &json!({}))?)?;
    assert_eq!(forged["error_description"], "the signature does not verify against the issuer's keys");
    let rotated = token(&stranger, "two", &json!({ "aud": "research" }))?;
    let (_, unknown) = exchange(&server, &rotated)?;
    assert_eq!(unknown["error_description"], "no key of the issuer has the token's kid");

    server.register_issuer(ISSUER, &other_jwks)?;
    server.accept_audience("research");
    assert_eq!(exchange(&server, &rotated)?.0, 200);
    Ok(())
}
