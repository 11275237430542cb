//! Where the discovery document is, and what it must say.

use std::sync::Arc;

use serde_json::json;
use test_support::{
    CertificateAuthority, Leaf,
    hostile::{HttpServer, Response, TcpServer},
    tokens::SigningKey,
};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    PATIENT, examine, examine_within, network,
    scripted_issuer::{Issuer, OLDER_WELL_KNOWN, WELL_KNOWN},
    spec,
};

fn issuer() -> Issuer {
    Issuer::publishing(&[&SigningKey::p256("one").unwrap()])
}

#[tokio::test]
async fn either_place_of_the_document_is_enough() {
    for (places, words) in [
        (&[WELL_KNOWN, OLDER_WELL_KNOWN][..], "have the discovery document"),
        (&[WELL_KNOWN], "openid-configuration has the discovery document; "),
        (&[OLDER_WELL_KNOWN], "oidc-configuration has the discovery document, as W&B's older"),
    ] {
        let server = issuer().at(places).start();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert_nothing_failed();
        // It is a warning only since the tests' issuer has no TLS.
        let words = [words, "unencrypted"];
        examined.assert(&CheckName::Discovery, CheckResult::Warning, Reason::Unencrypted, &words);
    }
    let server = issuer().at(&[]).start();
    let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
    let words = ["openid-configuration", "404", "oidc-configuration does not have it either"];
    examined.assert_failure(&CheckName::Discovery, Reason::UnexpectedStatus, &words);
    examined.assert(&CheckName::JwksFetches, CheckResult::Skipped, Reason::NotReached, &[]);
}

#[tokio::test]
async fn everything_passes_over_https() {
    let authority = CertificateAuthority::new("issuer").unwrap();
    let certificate = authority.issue(&Leaf::loopback()).unwrap();
    let server = issuer().start_tls(&certificate);
    let bundle = json!({ "secretKeyRef": { "name": "tokens", "key": "ca" } });
    let tls = json!({ "tls": { "caBundle": bundle } });
    let examined = examine(&spec(&server.url(""), &tls), &[("ca", authority.certificate_pem())]).await;
    examined.assert_nothing_failed();
    examined.assert(&CheckName::Discovery, CheckResult::Passed, Reason::Passed, &[]);
    examined.assert(&CheckName::JwksFetches, CheckResult::Passed, Reason::Passed, &["/jwks"]);
}

#[tokio::test]
async fn what_is_no_document_is_told() {
    for (answer, reason, word) in [
        (Response::html("<!doctype html>"), Reason::NotJson, "web page"),
        (Response::status(200, "hello"), Reason::NotJson, "not JSON"),
        (Response::huge(5 << 20), Reason::ResponseTooLarge, "1 MiB"),
        (Response::status(503, ""), Reason::ServerUnavailable, "503"),
        (Response::json(&json!([])), Reason::InvalidDocument, "not an object"),
        (Response::json(&json!({ "issuer": "x" })), Reason::InvalidDocument, "jwks_uri"),
        (Response::redirect("http://169.254.169.254/"), Reason::Redirected, "cloud metadata"),
    ] {
        let server = HttpServer::plain(move |_| answer.clone()).unwrap();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert_failure(&CheckName::Discovery, reason, &[word]);
    }
}

#[tokio::test]
async fn another_issuer_is_told() {
    let server = issuer().start();
    let url = server.url("/");
    let examined = examine(&spec(&url, &json!({})), &[]).await;
    let words = [
        "the document's does not end with a slash, and the expected one does",
        "Remove the trailing slash from spec.issuer.",
    ];
    examined.assert_failure(&CheckName::IssuerMatches, Reason::IssuerMismatch, &words);
    assert!(server.requests().iter().all(|request| request.path != "/jwks"));
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_of_keys_that_is_forbidden() {
    let forbidden = TcpServer::script_on([127, 0, 0, 2].into(), |_| ()).unwrap();
    for (jwks_uri, reason) in [
        (format!("http://{}/jwks", forbidden.address()), Reason::EgressDenied),
        ("http://169.254.169.254/latest".to_owned(), Reason::EgressDenied),
        ("ftp://token.example.com/jwks".to_owned(), Reason::InvalidEndpoint),
    ] {
        let server = issuer().changed(json!({ "jwks_uri": jwks_uri })).start();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert_failure(&CheckName::JwksFetches, reason, &["jwks_uri"]);
        assert!(examined.keys.is_none());
    }
    assert_eq!(forbidden.connections(), 0);
}

#[tokio::test]
async fn keys_without_tls_are_refused_where_the_issuer_has_it() {
    let authority = CertificateAuthority::new("issuer").unwrap();
    let certificate = authority.issue(&Leaf::loopback()).unwrap();
    let plain = issuer().start();
    let server = issuer().changed(json!({ "jwks_uri": plain.url("/jwks") })).start_tls(&certificate);
    let tls = json!({ "tls": { "caBundle": { "secretKeyRef": { "name": "tokens", "key": "ca" } } } });
    let tokens = [("ca", authority.certificate_pem())];
    let examined = examine(&spec(&server.url(""), &tls), &tokens).await;
    examined.assert_failure(&CheckName::JwksFetches, Reason::InvalidEndpoint, &["expected an https:// URL"]);
    assert_eq!(plain.connections(), 0);

    let mut accepting = spec(&server.url(""), &tls);
    accepting["insecurePlaintext"] = json!(true);
    let examined = examine(&accepting, &tokens).await;
    examined.assert(&CheckName::JwksFetches, CheckResult::Warning, Reason::Unencrypted, &["replace them"]);
}

#[tokio::test]
async fn an_older_place_that_never_answers_delays_the_rest_only_a_little() {
    let server = issuer().answering(OLDER_WELL_KNOWN, Response::silent()).start();
    let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
    examined.assert_nothing_failed();
}

#[tokio::test]
async fn equal_requests_are_made_once() {
    let server = issuer().start();
    let network = Arc::new(network());
    let spec = spec(&server.url(""), &json!({}));
    let (first, second) = tokio::join!(
        examine_within(&network, PATIENT, &spec, &[]),
        examine_within(&network, PATIENT, &spec, &[]),
    );
    for examined in [first, second] {
        examined.assert_nothing_failed();
    }
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    for path in [WELL_KNOWN, OLDER_WELL_KNOWN, "/jwks"] {
        assert_eq!(paths.iter().filter(|asked| *asked == path).count(), 1, "{path}");
    }
}

#[tokio::test]
async fn another_issuer_is_recommended_only_where_it_has_a_document_of_its_own() {
    let with_document = issuer().start();
    let without = HttpServer::plain(|_| Response::status(404, "")).unwrap();
    for (other, recommended) in [(with_document.url(""), true), (without.url(""), false)] {
        let server = issuer().changed(json!({ "issuer": other })).start();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert_failure(&CheckName::IssuerMatches, Reason::IssuerMismatch, &[&other]);
        assert_eq!(examined.told().contains("Set spec.issuer to"), recommended, "{}", examined.told());
    }
}

#[tokio::test]
async fn algorithms_that_the_document_does_not_name_are_a_warning() {
    for (algorithms, result) in [
        (json!(null), CheckResult::Warning),
        (json!(["RS256"]), CheckResult::Warning),
        (json!(["RS256", "ES256"]), CheckResult::Passed),
    ] {
        let server = issuer().changed(json!({ "id_token_signing_alg_values_supported": algorithms })).start();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert_nothing_failed();
        assert_eq!(examined.finding(&CheckName::KeysStrong).result, result, "{algorithms}");
    }
    let server = issuer().changed(json!({ "id_token_signing_alg_values_supported": "ES256" })).start();
    let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
    let words = ["id_token_signing_alg_values_supported", "W&B Server cannot read"];
    examined.assert_failure(&CheckName::Discovery, Reason::InvalidDocument, &words);
}
