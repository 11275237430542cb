//! Tokens that a certified provider signs.

use serde_json::{Value, json};
use test_support::OpenIdProvider;
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{SUBJECT, examine, in_seconds, sample_check, with_samples};

#[tokio::test]
async fn tokens_of_a_real_issuer_are_judged_as_they_should_be() {
    let provider = OpenIdProvider::builder().issuer_path("/realms/main").start().unwrap();
    let token = |changes: Value| {
        let mut claims = json!({ "sub": SUBJECT, "aud": "my-org" });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        provider.issue(&claims).unwrap()
    };
    let refused = |rule: &str| json!({ "valid": false, "rule": rule, "subject": SUBJECT });
    let samples = [
        ("good", json!({ "valid": true, "subject": SUBJECT }), token(json!({}))),
        ("expired", refused("Expiry"), token(json!({ "exp": in_seconds(-90) }))),
        ("early", refused("Expiry"), token(json!({ "nbf": in_seconds(90) }))),
        ("audience", refused("Audience"), token(json!({ "aud": "somebody-else" }))),
        ("issuer", refused("Issuer"), token(json!({ "iss": "https://token.example.com" }))),
        ("subject", refused("Subject"), token(json!({ "sub": "somebody@example.org" }))),
    ];
    let expectations: Vec<_> = samples.iter().map(|(name, expect, _)| (*name, expect.clone())).collect();
    let tokens: Vec<_> = samples.iter().map(|(name, _, token)| (*name, token.as_str())).collect();
    let spec = with_samples(provider.issuer(), &expectations);
    let examined = examine(&spec, &tokens).await;
    examined.assert_nothing_failed();
    let words = ["oidc-configuration, which W&B's older documentation names, has none"];
    examined.assert(&CheckName::Discovery, CheckResult::Warning, Reason::Unencrypted, &words);
    examined.assert(&CheckName::KeysStrong, CheckResult::Passed, Reason::Passed, &["2048 bits"]);

    // Both keys verify while both are published.
    provider.rotate_keys().unwrap();
    let examined = examine(&spec, &tokens).await;
    examined.assert_nothing_failed();
    assert_eq!(examined.keys.unwrap().len(), 2);
    provider.withdraw_old_keys().unwrap();
    let examined = examine(&spec, &tokens).await;
    let words = ["SignatureInvalid", "Make a new token if the issuer has replaced its keys"];
    examined.assert_failure(&sample_check("good"), Reason::UnexpectedRuling, &words);
}

#[tokio::test]
async fn an_issuer_that_comes_back_is_recognized() {
    let mut provider = OpenIdProvider::builder().start().unwrap();
    let spec = with_samples(provider.issuer(), &[]);
    provider.stop().unwrap();
    let examined = examine(&spec, &[]).await;
    examined.assert_failure(&CheckName::TcpConnects, Reason::ConnectionRefused, &[]);
    assert!(examined.keys.is_none());
    provider.start().unwrap();
    examine(&spec, &[]).await.assert_nothing_failed();
}
