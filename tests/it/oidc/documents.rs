//! Providers whose documents are wrong, or lead elsewhere.

use std::sync::Arc;

use serde_json::{Value, json};
use test_support::{
    CertificateAuthority, Leaf,
    hostile::{HttpServer, Response, TcpServer},
};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    PATIENT, assert_failure, assert_not_reached, examine, examine_within, finding,
    made_up::{Provider, WELL_KNOWN, refusal, strong_key},
    network, spec, told,
};

fn weak_key() -> Value {
    json!({ "kty": "RSA", "use": "sig", "n": format!("{}8", "_".repeat(170)), "e": "AQAB" })
}

fn encryption_key() -> Value {
    let mut key = strong_key();
    key["use"] = json!("enc");
    key
}

#[tokio::test]
async fn the_unchanged_document_passes() {
    let server = Provider::with(json!({})).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert!(findings.failure().is_none(), "{}", told(&findings));
}

#[tokio::test]
async fn every_endpoint_has_to_carry_its_own_name() {
    let authority = CertificateAuthority::new("provider").unwrap();
    let certificate = authority.issue(&Leaf::loopback()).unwrap();
    let server = Provider::with(json!({})).start_tls(&certificate);
    let bundle = json!({ "secretKeyRef": { "name": "oidc", "key": "ca" } });
    let tls = json!({ "tls": { "caBundle": bundle } });
    let findings = examine(&spec(&server.url(""), &tls), &[("ca", authority.certificate_pem())]).await;
    assert!(findings.failure().is_none(), "{}", told(&findings));

    let other_name = authority.issue(&Leaf::loopback().only_for("idp.example.org")).unwrap();
    let elsewhere = HttpServer::tls(&other_name, |_| Response::status(200, "")).unwrap();
    let server = Provider::with(json!({ "jwks_uri": elsewhere.url("/jwks") })).start_tls(&certificate);
    let findings = examine(&spec(&server.url(""), &tls), &[("ca", authority.certificate_pem())]).await;
    assert_failure(&findings, &CheckName::SigningKeys, Reason::NameMismatch, &["The document's jwks_uri: "]);
}

#[tokio::test]
async fn answers_that_are_no_document_are_told_apart() {
    for (answer, reason, word) in [
        (Response::html("<!doctype html><title>Log in</title>"), Reason::NotJson, "web page"),
        (Response::status(200, "hello"), Reason::NotJson, "not JSON"),
        (Response::huge(5 << 20), Reason::ResponseTooLarge, "1 MiB"),
        (Response::status(403, ""), Reason::UnexpectedStatus, "403"),
        (Response::json(&json!([])), Reason::InvalidDocument, "not an object"),
        (Response::json(&json!({ "issuer": "x" })), Reason::InvalidDocument, "issuer"),
    ] {
        let server = HttpServer::plain(move |_| answer.clone()).unwrap();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::Discovery, reason, &[word]);
        assert_not_reached(&findings, &[CheckName::IssuerMatches, CheckName::SigningKeys]);
    }
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let forbidden = TcpServer::script_on([127, 0, 0, 2].into(), |_| ()).unwrap();
    for (location, word) in [
        (format!("http://{}/metadata", forbidden.address()), "a loopback address"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), "a cloud metadata address"),
        ("https://login.example.com/".to_owned(), "https://login.example.com/"),
    ] {
        let server = HttpServer::plain(move |_| Response::redirect(&location)).unwrap();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::Discovery, Reason::Redirected, &[word, "not followed"]);
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(forbidden.connections(), 0);
}

#[tokio::test]
async fn fields_that_are_missing_or_wrong_are_named() {
    for (changes, word) in [
        (json!({ "jwks_uri": null }), "has no jwks_uri"),
        (json!({ "authorization_endpoint": "/authorize" }), "authorization_endpoint"),
        (json!({ "response_types_supported": "code" }), "response_types_supported"),
    ] {
        let server = Provider::with(changes).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::Discovery, Reason::InvalidDocument, &[word]);
    }
}

#[tokio::test]
async fn another_issuer_is_told() {
    let server = Provider::with(json!({ "issuer": "https://login.example.com" })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    let words = ["https://login.example.com", "the scheme and the host and the port"];
    assert_failure(&findings, &CheckName::IssuerMatches, Reason::IssuerMismatch, &words);
}

#[tokio::test]
async fn nothing_is_sent_to_an_endpoint_at_a_forbidden_address() {
    let forbidden = TcpServer::script_on([127, 0, 0, 2].into(), |_| ()).unwrap();
    let elsewhere = format!("http://{}/", forbidden.address());
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" } });
    for field in ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"] {
        for url in [elsewhere.as_str(), "http://169.254.169.254/latest"] {
            let server = Provider::with(json!({ field: url })).start();
            let findings = examine(&spec(&server.url(""), &secret), &[("secret", "never-to-be-sent")]).await;
            assert_failure(&findings, &CheckName::Endpoints, Reason::EgressDenied, &[field]);
            assert_not_reached(&findings, &[CheckName::SigningKeys, CheckName::ClientCredentials]);
            let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
            assert_eq!(paths, [WELL_KNOWN]);
        }
    }
    assert_eq!(forbidden.connections(), 0);
}

#[tokio::test]
async fn endpoints_must_be_usable() {
    for (changes, word) in [
        (json!({ "jwks_uri": "ftp://login.example.com/jwks" }), "ftp://login.example.com/jwks"),
        (json!({ "token_endpoint": null }), "token_endpoint"),
    ] {
        let server = Provider::with(changes).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::Endpoints, Reason::InvalidEndpoint, &[word]);
    }
}

#[tokio::test]
async fn a_name_that_only_browsers_know_is_a_warning() {
    let changes = json!({ "authorization_endpoint": "https://login.invalid/authorize" });
    let server = Provider::with(changes).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert!(findings.failure().is_none(), "{}", told(&findings));
    assert_eq!(finding(&findings, &CheckName::Endpoints).reason, Reason::NameNotResolved);

    let server = Provider::with(json!({ "jwks_uri": "https://login.invalid/jwks" })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::Endpoints, Reason::NameNotResolved, &["jwks_uri"]);
}

#[tokio::test]
async fn pkce_must_be_offered() {
    for changes in [
        json!({ "code_challenge_methods_supported": ["plain"] }),
        json!({ "response_types_supported": ["id_token"] }),
    ] {
        let server = Provider::with(changes).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::FlowSupported, Reason::FlowNotSupported, &["pkce"]);
        // The rest does not depend on it, and one run shows all that is to be mended.
        assert_eq!(finding(&findings, &CheckName::ClientCredentials).result, CheckResult::Passed);
    }
}

#[tokio::test]
async fn a_document_without_pkce_is_usual_with_entra() {
    let server = Provider::with(json!({ "code_challenge_methods_supported": null })).start();
    let findings = examine(&spec(&server.url(""), &json!({ "provider": "Entra" })), &[]).await;
    assert!(findings.failure().is_none(), "{}", told(&findings));
    assert_eq!(finding(&findings, &CheckName::FlowSupported).result, CheckResult::Warning);
}

#[tokio::test]
async fn openid_must_be_offered() {
    let server = Provider::with(json!({ "scopes_supported": ["profile", "email"] })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::Scopes, Reason::ScopeNotSupported, &["not openid", "Enable"]);
    assert_eq!(finding(&findings, &CheckName::SigningKeys).result, CheckResult::Passed);
}

#[tokio::test]
async fn a_broken_rule_of_the_product_hides_nothing_else() {
    let server = Provider::with(json!({ "scopes_supported": ["profile"] })).start();
    let findings = examine(&spec(&server.url(""), &json!({ "provider": "Auth0" })), &[]).await;
    let words = ["Auth0's issuers end with a slash"];
    assert_failure(&findings, &CheckName::ProviderRules, Reason::ProviderRuleBroken, &words);
    assert_eq!(finding(&findings, &CheckName::Discovery).result, CheckResult::Warning);
    assert_eq!(finding(&findings, &CheckName::Scopes).result, CheckResult::Failed);
}

#[tokio::test]
async fn a_usable_key_must_be_published() {
    for (keys, word) in [
        (json!([]), "no key at all"),
        (json!([encryption_key()]), "for encryption"),
        (json!([weak_key(), weak_key()]), "1024 bits (too weak)"),
        (json!([{ "kty": "oct", "k": "AAAA" }, 7]), "a symmetric key"),
    ] {
        let server = Provider::with(json!({})).publishing(keys).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::SigningKeys, Reason::NoUsableKey, &[word, "RS256"]);
    }
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_told() {
    let elsewhere = HttpServer::plain(|_| Response::status(403, "")).unwrap();
    let server = Provider::with(json!({ "jwks_uri": elsewhere.url("/jwks") })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::SigningKeys, Reason::UnexpectedStatus, &["403"]);
}

#[tokio::test]
async fn a_long_address_is_cut() {
    let elsewhere = HttpServer::plain(|_| Response::status(403, "")).unwrap();
    let long = elsewhere.url(&format!("/{}", "x".repeat(5000)));
    let server = Provider::with(json!({ "jwks_uri": long })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::SigningKeys, Reason::UnexpectedStatus, &["403", "…"]);
    assert!(findings.failure().unwrap().message.chars().count() < 500);
}

#[tokio::test]
async fn unclear_answers_about_the_client_are_warnings() {
    for (answer, word) in [
        (Response::html("<html>"), "the status 200"),
        (refusal(400, "invalid_request"), "invalid_request"),
        (Response::status(400, r#"{"message":"no"}"#), "no OAuth answer"),
        (Response::redirect("https://login.example.com/"), "the status 302"),
    ] {
        let server = Provider::with(json!({})).answering("/token", move |_| answer.clone()).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert!(findings.failure().is_none(), "{}", told(&findings));
        let client = finding(&findings, &CheckName::ClientCredentials);
        assert_eq!(client.reason, Reason::Inconclusive);
        assert!(client.message.contains(word), "{}", client.message);
    }
}

#[tokio::test]
async fn a_secret_that_is_accepted_in_the_body_only_passes() {
    let server = Provider::with(json!({}))
        .answering("/token", |request| match request.header("authorization") {
            Some(_) => refusal(401, "invalid_client"),
            None => refusal(400, "invalid_grant"),
        })
        .start();
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" } });
    let findings = examine(&spec(&server.url(""), &secret), &[("secret", "s3cret")]).await;
    let client = finding(&findings, &CheckName::ClientCredentials);
    assert_eq!(client.result, CheckResult::Passed);
    assert!(client.message.contains("client_secret_post"), "{}", client.message);
}

#[tokio::test]
async fn a_secret_that_the_provider_repeats_is_taken_out() {
    let answer = r#"{"error":"invalid_client","error_description":"hunter2-hunter2 is not it"}"#;
    let server = Provider::with(json!({})).answering("/token", |_| Response::status(401, answer)).start();
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" } });
    let findings = examine(&spec(&server.url(""), &secret), &[("secret", "hunter2-hunter2")]).await;
    let words = ["[redacted] is not it"];
    assert_failure(&findings, &CheckName::ClientCredentials, Reason::ClientRejected, &words);
    let tokens = server.requests().into_iter().filter(|request| request.path == "/token");
    let in_body: Vec<_> = tokens.map(|request| request.body.contains("hunter2")).collect();
    assert_eq!(in_body, [false, true], "first by HTTP Basic, then once in the body");
}

#[tokio::test]
async fn equal_discovery_requests_are_made_once() {
    let server = Provider::with(json!({})).start();
    let network = Arc::new(network());
    let spec = spec(&server.url(""), &json!({}));
    let (first, second) = tokio::join!(
        examine_within(&network, PATIENT, &spec, &[]),
        examine_within(&network, PATIENT, &spec, &[]),
    );
    for findings in [first, second] {
        assert!(findings.failure().is_none(), "{}", told(&findings));
    }
    let discoveries = server.requests().into_iter().filter(|request| request.path == WELL_KNOWN);
    assert_eq!(discoveries.count(), 1);
}
