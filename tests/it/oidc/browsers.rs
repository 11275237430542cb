//! What people's browsers need of a provider, and W&B Server does not: it is told apart, and fails nothing.

use std::time::Duration;

use serde_json::json;
use test_support::{
    free_port,
    hostile::{TcpServer, discovery_document},
};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason},
    engine::Findings,
};

use super::{
    assert_failure, examine, examine_within, finding, network, scripted_provider::Provider, spec, told,
};

/// Asserts that nothing failed, and that this check says what it could not see.
#[track_caller]
fn assert_inconclusive(findings: &Findings, name: &CheckName, words: &[&str]) {
    assert!(findings.failure().is_none(), "{}", told(findings));
    let found = finding(findings, name);
    assert_eq!(
        (found.result, found.reason),
        (CheckResult::Warning, Reason::Inconclusive),
        "{}",
        told(findings)
    );
    for word in words.iter().chain(&["browsers"]) {
        assert!(found.message.contains(word), "{word:?} is not in: {}", found.message);
    }
}

#[tokio::test]
async fn a_name_that_only_browsers_know_fails_nothing() {
    for field in ["authorization_endpoint", "userinfo_endpoint"] {
        let server = Provider::with(json!({ field: "https://login.invalid/authorize" })).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_inconclusive(&findings, &CheckName::Endpoints, &[field, "login.invalid"]);
    }
    let server = Provider::with(json!({ "jwks_uri": "https://login.invalid/jwks" })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::Endpoints, Reason::NameNotResolved, &["jwks_uri"]);
}

/// A provider on the person's own machine, for example, behind `kubectl port-forward`.
#[tokio::test]
async fn an_address_at_which_only_browsers_may_be_fails_nothing() {
    let forbidden = TcpServer::script_on([127, 0, 0, 2].into(), |_| ()).unwrap();
    let elsewhere = format!("http://{}/authorize", forbidden.address());
    let server = Provider::with(json!({ "authorization_endpoint": elsewhere })).start();
    for redirect_uri in [false, true] {
        let changes = json!({ "checks": { "redirectURI": redirect_uri } });
        let findings = examine(&spec(&server.url(""), &changes), &[]).await;
        assert_inconclusive(&findings, &CheckName::Endpoints, &["authorization_endpoint", "127.0.0.2"]);
    }
    assert_eq!(forbidden.connections(), 0);
}

#[tokio::test]
async fn an_authorization_endpoint_that_refuses_the_operator_fails_nothing() {
    let closed = format!("http://127.0.0.1:{}/authorize", free_port().unwrap());
    let server = Provider::with(json!({ "authorization_endpoint": closed })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert!(findings.failure().is_none(), "{}", told(&findings));
    let asked = json!({ "checks": { "redirectURI": true } });
    let findings = examine(&spec(&server.url(""), &asked), &[]).await;
    assert_inconclusive(&findings, &CheckName::RedirectUri, &["Nothing accepts connections", "try a login"]);
}

/// Packets to the network of people's browsers get no answer at all.
#[tokio::test]
async fn an_authorization_endpoint_that_stays_silent_fails_nothing() {
    let silent = TcpServer::black_hole().unwrap();
    let elsewhere = format!("http://{}/authorize", silent.address());
    let server = Provider::with(json!({ "authorization_endpoint": elsewhere })).start();
    let changes = json!({ "checks": { "redirectURI": true }, "checkTimeout": "10s" });
    let spec = spec(&server.url(""), &changes);
    let findings = examine_within(&network(), Duration::from_secs(10), &spec, &[]).await;
    assert_inconclusive(&findings, &CheckName::RedirectUri, &["in time"]);
}

/// What the server itself needs is a failure, from wherever it is seen.
#[tokio::test]
async fn what_the_server_needs_fails_from_its_place() {
    let document = discovery_document("http://127.0.0.1");
    for (field, check) in
        [("token_endpoint", CheckName::ClientCredentials), ("jwks_uri", CheckName::SigningKeys)]
    {
        assert!(document[field].is_string(), "{document}");
        let closed = format!("http://127.0.0.1:{}/", free_port().unwrap());
        let server = Provider::with(json!({ field: closed })).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &check, Reason::ConnectionRefused, &[]);
    }
}
