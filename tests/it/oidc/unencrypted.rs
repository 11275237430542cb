//! What travels unencrypted is told, also where the spec accepts it.

use serde_json::json;
use test_support::{CertificateAuthority, Leaf, hostile::HttpServer};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason},
    engine::Findings,
};

use super::{
    examine, finding,
    scripted_provider::{Provider, strong_key},
    spec, told,
};

#[track_caller]
fn assert_warns(findings: &Findings, name: &CheckName, words: &[&str]) {
    assert!(findings.failure().is_none(), "{}", told(findings));
    let found = finding(findings, name);
    assert_eq!((found.result, found.reason), (CheckResult::Warning, Reason::Unencrypted));
    for word in words {
        assert!(found.message.contains(word), "{word:?} is not in: {}", found.message);
    }
}

#[tokio::test]
async fn an_issuer_without_tls_is_a_warning() {
    let server = Provider::with(json!({})).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert_warns(&findings, &CheckName::Discovery, &["tokens and secrets travel unencrypted", "https://"]);
    let endpoints = finding(&findings, &CheckName::Endpoints);
    assert_eq!(endpoints.result, CheckResult::Passed, "told once");
}

#[tokio::test]
async fn an_endpoint_without_tls_of_an_issuer_with_it_is_a_warning() {
    let certificate = CertificateAuthority::new("provider").unwrap().issue(&Leaf::loopback()).unwrap();
    let keys = json!({ "keys": [strong_key()] });
    let elsewhere = HttpServer::plain(move |_| test_support::hostile::Response::json(&keys)).unwrap();
    let changes = json!({
        "jwks_uri": elsewhere.url("/jwks"), "authorization_endpoint": "https://login.invalid/authorize",
    });
    let server = Provider::with(changes).start_tls(&certificate);
    let bundle = json!({ "secretKeyRef": { "name": "oidc", "key": "ca" } });
    let changes = json!({ "insecurePlaintext": true, "tls": { "caBundle": bundle } });
    let findings =
        examine(&spec(&server.url(""), &changes), &[("ca", certificate.authority_pem.as_str())]).await;
    assert_warns(&findings, &CheckName::Endpoints, &["jwks_uri", "travels unencrypted", "login.invalid"]);
    assert_eq!(finding(&findings, &CheckName::Discovery).result, CheckResult::Passed);
}
