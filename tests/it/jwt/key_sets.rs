//! Key sets, weak, hostile and moved.

use serde_json::{Value, json};
use test_support::{
    hostile::Response,
    tokens::{SigningKey, weak_jwk, weak_token},
};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    examine, sample_check,
    scripted_issuer::{Issuer, claims},
    spec, with_samples,
};

fn key() -> SigningKey {
    SigningKey::p256("strong").unwrap()
}

#[tokio::test]
async fn what_is_no_key_set_is_told() {
    let many: Vec<Value> = (0..101).map(|_| weak_jwk()).collect();
    for (answer, reason, word) in [
        (Response::huge(5 << 20), Reason::ResponseTooLarge, "1 MiB"),
        (Response::status(200, "hello"), Reason::NotJson, "not JSON"),
        (Response::html("<html>"), Reason::NotJson, "web page"),
        (Response::redirect("http://169.254.169.254/"), Reason::Redirected, "cloud metadata"),
        (Response::status(500, ""), Reason::ServerUnavailable, "500"),
        (Response::status(403, ""), Reason::UnexpectedStatus, "403"),
        (Response::json(&json!({ "keys": "none" })), Reason::InvalidDocument, "no list of keys"),
        (Response::json(&json!({ "keys": many })), Reason::InvalidDocument, "101 keys"),
        (Response::json(&json!({ "keys": [7, key().jwk().unwrap()] })), Reason::InvalidDocument, "number 1"),
        (Response::broken_off(), Reason::ConnectionClosed, "closed the connection"),
    ] {
        let server = Issuer::publishing(&[&key()]).answering("/jwks", answer).start();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert_failure(&CheckName::JwksFetches, reason, &[word]);
        assert!(examined.keys.is_none());
    }
}

#[tokio::test]
async fn keys_that_nobody_should_trust_are_told() {
    let symmetric = json!({ "kty": "oct", "kid": "secret", "alg": "HS256", "k": "AAAA" });
    let strong = key().jwk().unwrap();
    for (keys, result, reason, words) in [
        (json!([]), CheckResult::Failed, Reason::NoUsableKey, "no key at all"),
        (json!([symmetric]), CheckResult::Failed, Reason::WeakKey, "a symmetric key"),
        (json!([weak_jwk()]), CheckResult::Failed, Reason::WeakKey, "1024 bits"),
        (json!([weak_jwk(), strong]), CheckResult::Warning, Reason::WeakKey, "1024 bits"),
        (json!([symmetric, strong]), CheckResult::Warning, Reason::WeakKey, "a symmetric key"),
        (json!([{ "kty": "new" }, strong]), CheckResult::Passed, Reason::Passed, "strong"),
    ] {
        let server = Issuer::publishing(&[]).publishing_jwks(keys).start();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert(&CheckName::KeysStrong, result, reason, &[words]);
    }
}

#[tokio::test]
async fn a_weak_key_signs_nothing_that_is_accepted() {
    let strong = key().jwk().unwrap();
    let server = Issuer::publishing(&[]).publishing_jwks(json!([weak_jwk(), strong])).start();
    let spec = with_samples(&server.url(""), &[("weak", json!({ "valid": true }))]);
    let examined = examine(&spec, &[("weak", &weak_token())]).await;
    let words = ["The rule Signature refuses it (SignatureInvalid)", "1024 bits", "shorter than 2048"];
    examined.assert_failure(&sample_check("weak"), Reason::UnexpectedRuling, &words);
}

#[tokio::test]
async fn keys_at_private_addresses_are_a_warning() {
    let server = Issuer::publishing(&[&key()]).start();
    let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
    examined.assert(
        &CheckName::JwksReachableFromOutside,
        CheckResult::Warning,
        Reason::PrivateAddress,
        &["127.0.0.1", "a loopback address", "EKS"],
    );
    let keys: Vec<_> = examined.keys.unwrap().into_iter().map(|key| (key.kid, key.algorithm)).collect();
    assert_eq!(keys, [("strong".to_owned(), "ES256".to_owned())]);
}

#[tokio::test]
async fn a_replaced_key_refuses_the_tokens_of_the_old_one() {
    let old = key();
    let issuer = Issuer::publishing(&[&old]);
    let keys = issuer.keys();
    let server = issuer.start();
    let url = server.url("");
    let spec = with_samples(&url, &[("ci", json!({ "valid": true }))]);
    let token = old.sign(&claims(&url, &json!({}))).unwrap();
    examine(&spec, &[("ci", &token)]).await.assert_nothing_failed();

    *keys.lock().unwrap() = json!([SigningKey::p256("new").unwrap().jwk().unwrap()]);
    let examined = examine(&spec, &[("ci", &token)]).await;
    let words = ["names the key \"strong\", but the issuer publishes new"];
    examined.assert_failure(&sample_check("ci"), Reason::UnexpectedRuling, &words);
    assert_eq!(examined.keys.unwrap()[0].kid, "new");
}

#[tokio::test]
async fn a_key_on_the_longest_curve_can_be_chosen() {
    let key = SigningKey::p521("long").unwrap();
    let server = Issuer::publishing(&[&key])
        .changed(json!({ "id_token_signing_alg_values_supported": ["ES512"] }))
        .start();
    let url = server.url("");
    let token = key.sign(&claims(&url, &json!({}))).unwrap();
    let mut spec = with_samples(&url, &[("ci", json!({ "valid": true }))]);
    let examined = examine(&spec, &[("ci", &token)]).await;
    let words = ["long (an EC key on P-521 that is for none of the accepted algorithms)"];
    examined.assert_failure(&CheckName::KeysStrong, Reason::NoUsableKey, &words);
    spec["keys"] = json!({ "algorithms": ["ES512"] });
    let examined = examine(&spec, &[("ci", &token)]).await;
    examined.assert_nothing_failed();
    assert_eq!(examined.keys.unwrap()[0].bits, 521);
}
