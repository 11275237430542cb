//! Samples against every rule, with tokens that no real issuer would sign.

use serde_json::{Value, json};
use test_support::tokens::{SigningKey, hs256, unsigned};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    SUBJECT, examine, in_seconds, sample_check,
    scripted_issuer::{Issuer, claims},
    spec, with_samples,
};

#[tokio::test]
async fn each_rule_refuses_what_breaks_it() {
    let (key, stranger) = (SigningKey::rsa("rsa").unwrap(), SigningKey::rsa("rsa").unwrap());
    let unknown = SigningKey::rsa("unknown").unwrap();
    let server = Issuer::publishing(&[&key]).start();
    let url = server.url("");
    let good = claims(&url, &json!({}));
    let header = |algorithm: &str| json!({ "alg": algorithm, "kid": "rsa" });
    let signed = |changes: Value| key.sign(&claims(&url, &changes)).unwrap();
    let public_key = key.jwk().unwrap()["n"].as_str().unwrap().to_owned();
    let tokens = [
        ("good", "", signed(json!({}))),
        ("own-audience", "", signed(json!({ "aud": "wandb" }))),
        ("one-of-several", "", signed(json!({ "aud": ["other", "my-org"] }))),
        ("late-by-less", "", signed(json!({ "exp": in_seconds(-30) }))),
        ("early-by-less", "", signed(json!({ "nbf": in_seconds(30) }))),
        ("stranger", "Signature", stranger.sign(&good).unwrap()),
        ("unknown", "Signature", unknown.sign(&good).unwrap()),
        ("none", "Signature", unsigned(&header("none"), &good)),
        ("hs256", "Signature", hs256(public_key.as_bytes(), &header("HS256"), &good).unwrap()),
        ("wrong-type", "Signature", key.sign_with(&header("ES256"), &good).unwrap()),
        ("critical", "Signature", key.sign_with(&json!({ "alg": "RS256", "crit": ["x"] }), &good).unwrap()),
        ("no-token", "Signature", "api-key-of-somebody".to_owned()),
        ("issuer", "Issuer", signed(json!({ "iss": format!("{url}/") }))),
        ("subject", "Subject", signed(json!({ "sub": "CI@example.org" }))),
        ("nobody", "Subject", signed(json!({ "sub": null }))),
        ("audience", "Audience", signed(json!({ "aud": "my-org " }))),
        ("no-audience", "Audience", signed(json!({ "aud": null }))),
        ("late", "Expiry", signed(json!({ "exp": in_seconds(-90) }))),
        ("early", "Expiry", signed(json!({ "nbf": in_seconds(90) }))),
        ("endless", "Expiry", signed(json!({ "exp": null }))),
    ];
    let expectations: Vec<_> = tokens
        .iter()
        .map(|(name, rule, _)| match *rule {
            "" => (*name, json!({ "valid": true, "subject": SUBJECT })),
            rule => (*name, json!({ "valid": false, "rule": rule, "subject": SUBJECT })),
        })
        .collect();
    let secrets: Vec<_> = tokens.iter().map(|(name, _, token)| (*name, token.as_str())).collect();
    let examined = examine(&with_samples(&url, &expectations), &secrets).await;
    examined.assert_nothing_failed();
    for (name, rule, token) in &tokens {
        let finding = examined.finding(&sample_check(name));
        let word = if rule.is_empty() { "It satisfies every rule, as expected" } else { rule };
        assert!(finding.message.contains(word), "{name}: {}", finding.message);
        assert!(!finding.message.contains(token.as_str()), "{name}: {}", finding.message);
    }
}

#[tokio::test]
async fn another_ruling_than_expected_fails() {
    let key = SigningKey::p256("one").unwrap();
    let server = Issuer::publishing(&[&key]).start();
    let url = server.url("");
    let good = key.sign(&claims(&url, &json!({}))).unwrap();
    let late = key.sign(&claims(&url, &json!({ "exp": 1, "aud": "my-org" }))).unwrap();
    for (token, expect, words) in [
        (&good, json!({ "valid": false }), "satisfies every rule, but is expected to be refused."),
        (&good, json!({ "valid": false, "rule": "Audience" }), "refused by the rule Audience"),
        (&good, json!({ "valid": true, "subject": "else@example.org" }), "The rule Subject refuses it"),
        (&late, json!({ "valid": true }), "The rule Expiry refuses it (TokenExpired)"),
        (&late, json!({ "valid": false, "rule": "Issuer" }), "but the rule Issuer is expected to"),
    ] {
        let examined = examine(&with_samples(&url, &[("ci", expect)]), &[("ci", token)]).await;
        examined.assert_failure(&sample_check("ci"), Reason::UnexpectedRuling, &[words]);
        examined.assert(&CheckName::TokenExchange, CheckResult::Skipped, Reason::NotReached, &[]);
    }
}

#[tokio::test]
async fn claims_are_judged_also_while_the_issuer_is_away() {
    let samples = |issuer: &str| {
        let sample = |name: &str, changes: Value, expect: Value| json!({ "name": name, "claims": claims(issuer, &changes), "expect": expect });
        spec(
            issuer,
            &json!({ "samples": [
                sample("good", json!({}), json!({ "valid": true })),
                sample("other", json!({ "aud": "other" }), json!({ "valid": false, "rule": "Audience" })),
                sample("wrong", json!({ "aud": "other" }), json!({ "valid": true })),
                { "name": "token", "tokenSecretRef": { "name": "tokens", "key": "token" }, "expect": { "valid": true } },
            ] }),
        )
    };
    let examined = examine(&samples("http://127.0.0.1:1"), &[("token", "x.y.z")]).await;
    examined.assert_failure(&CheckName::TcpConnects, Reason::ConnectionRefused, &[]);
    examined.assert(
        &sample_check("good"),
        CheckResult::Passed,
        Reason::Passed,
        &["every rule but Signature"],
    );
    examined.assert(&sample_check("other"), CheckResult::Passed, Reason::Passed, &["The rule Audience"]);
    let words = ["AudienceMismatch", "expected one of \"my-org\", \"wandb\""];
    examined.assert(&sample_check("wrong"), CheckResult::Failed, Reason::UnexpectedRuling, &words);
    examined.assert(&sample_check("token"), CheckResult::Skipped, Reason::NotReached, &[]);
}

#[tokio::test]
async fn any_audience_is_accepted_where_the_spec_says_so() {
    let key = SigningKey::p256("one").unwrap();
    let server = Issuer::publishing(&[&key]).start();
    let url = server.url("");
    let token = key.sign(&claims(&url, &json!({ "aud": "anybody" }))).unwrap();
    let mut spec = with_samples(&url, &[("ci", json!({ "valid": true }))]);
    spec["audiences"] = json!([]);
    spec["skipAudienceValidation"] = json!(true);
    examine(&spec, &[("ci", &token)]).await.assert_nothing_failed();
}
