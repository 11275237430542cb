//! Providers whose documents are wrong, or lead elsewhere.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use test_support::{
    CertificateAuthority, Leaf,
    hostile::{HttpServer, Response, TcpServer},
};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    PATIENT, assert_failure, assert_not_reached, examine, examine_within, finding, network,
    scripted_provider::{Provider, WELL_KNOWN, refusal, strong_key},
    spec, told,
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
        (json!({ "id_token_signing_alg_values_supported": "RS256" }), "W&B Server cannot read"),
    ] {
        let server = Provider::with(changes).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::Discovery, Reason::InvalidDocument, &[word]);
    }
}

#[tokio::test]
async fn fields_that_nobody_uses_decide_nothing() {
    let certificate = CertificateAuthority::new("provider").unwrap().issue(&Leaf::loopback()).unwrap();
    let bundle = json!({ "tls": { "caBundle": { "secretKeyRef": { "name": "oidc", "key": "ca" } } } });
    for (changes, reason, words) in [
        (
            json!({
                "subject_types_supported": null, "id_token_signing_alg_values_supported": null,
                "op_tos_uri": "", "claims_parameter_supported": "true",
            }),
            Reason::Passed,
            "has the discovery document.",
        ),
        (
            json!({ "scopes_supported": "openid" }),
            Reason::InvalidDocument,
            "its scopes_supported cannot be read",
        ),
        (
            json!({ "response_types_supported": [["code"]], "userinfo_endpoint": "userinfo" }),
            Reason::InvalidDocument,
            "its userinfo_endpoint and response_types_supported cannot be read",
        ),
    ] {
        let server = Provider::with(changes).start_tls(&certificate);
        let authority = ("ca", certificate.authority_pem.as_str());
        let findings = examine(&spec(&server.url(""), &bundle), &[authority]).await;
        assert!(findings.failure().is_none(), "{}", told(&findings));
        let discovery = finding(&findings, &CheckName::Discovery);
        assert_eq!(discovery.reason, reason, "{}", discovery.message);
        assert!(discovery.message.contains(words), "{}", discovery.message);
    }
}

#[tokio::test]
async fn an_endpoint_that_nobody_uses_is_a_warning() {
    let certificate = CertificateAuthority::new("provider").unwrap().issue(&Leaf::loopback()).unwrap();
    let server =
        Provider::with(json!({ "userinfo_endpoint": "http://127.0.0.1/me" })).start_tls(&certificate);
    let bundle = json!({ "tls": { "caBundle": { "secretKeyRef": { "name": "oidc", "key": "ca" } } } });
    let authority = ("ca", certificate.authority_pem.as_str());
    let findings = examine(&spec(&server.url(""), &bundle), &[authority]).await;
    assert!(findings.failure().is_none(), "{}", told(&findings));
    let endpoints = finding(&findings, &CheckName::Endpoints);
    assert_eq!(endpoints.reason, Reason::InvalidEndpoint);
    assert!(endpoints.message.contains("userinfo_endpoint"), "{}", endpoints.message);
}

#[tokio::test]
async fn answers_that_are_compressed_all_the_same_are_read() {
    let answered = Arc::new(Mutex::new(Vec::new()));
    let bytes = Arc::clone(&answered);
    let server = Provider::with(json!({}))
        .answering(WELL_KNOWN, move |_| {
            Response::bytes("application/json", &bytes.lock().unwrap()).header("Content-Encoding", "gzip")
        })
        .start();
    let url = server.url("");
    let text = json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/jwks"),
        "code_challenge_methods_supported": ["S256"], "response_types_supported": ["code"],
    });
    let whole = gzip(text.to_string().as_bytes());
    // 64 MiB of spaces are 64 KiB.
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    for (answer, failure) in [
        (whole.clone(), None),
        (whole[..whole.len() / 2].to_vec(), Some((Reason::ProtocolError, "compressed with gzip"))),
        (text.to_string().into_bytes(), Some((Reason::ProtocolError, "compressed with gzip"))),
        (bomb, Some((Reason::ResponseTooLarge, "larger than 1 MiB"))),
    ] {
        *answered.lock().unwrap() = answer;
        let findings = examine(&spec(&url, &json!({})), &[]).await;
        match failure {
            None => assert!(findings.failure().is_none(), "{}", told(&findings)),
            Some((reason, word)) => assert_failure(&findings, &CheckName::Discovery, reason, &[word]),
        }
    }
    for request in server.requests() {
        assert_eq!(request.header("accept-encoding"), Some("identity"), "{}", request.path);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn another_issuer_is_told() {
    let server = Provider::with(json!({ "issuer": "https://login.example.com" })).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    let words = ["https://login.example.com", "the scheme and the host and the port"];
    assert_failure(&findings, &CheckName::IssuerMatches, Reason::IssuerMismatch, &words);
}

#[tokio::test]
async fn another_issuer_is_recommended_only_where_it_has_a_document_of_its_own() {
    const ADVICE: &str = "Set spec.issuer to ";
    let with_document = Provider::with(json!({})).start();
    let without = HttpServer::plain(|_| Response::status(404, "")).unwrap();
    let of_another = Provider::with(json!({ "issuer": "https://login.example.com" })).start();
    let silent = HttpServer::plain(|_| Response::silent()).unwrap();
    let forbidden = TcpServer::script_on([127, 0, 0, 2].into(), |_| ()).unwrap();
    for (other, recommended) in [
        (with_document.url(""), true),
        (without.url("/tenant/v2.0/"), false),
        (of_another.url(""), false),
        (silent.url(""), false),
        (format!("http://{}", forbidden.address()), false),
        ("https://login.invalid/{tenantid}/v2.0".to_owned(), false),
        ("no URL".to_owned(), false),
    ] {
        let server = Provider::with(json!({ "issuer": other })).start();
        // The longer the time limit, the longer the other issuer may take.
        let limit = json!({ "checkTimeout": "1m" });
        let findings = examine(&spec(&server.url(""), &limit), &[]).await;
        let next = if recommended { ADVICE } else { "document that names it" };
        assert_failure(&findings, &CheckName::IssuerMatches, Reason::IssuerMismatch, &[&other, next]);
        assert_eq!(findings.failure().unwrap().message.contains(ADVICE), recommended, "{}", told(&findings));
    }
    assert_eq!(forbidden.connections(), 0);
    assert!(without.requests().iter().all(|request| request.path.ends_with(WELL_KNOWN)));
}

#[tokio::test]
async fn nothing_is_sent_to_an_endpoint_at_a_forbidden_address() {
    let forbidden = TcpServer::script_on([127, 0, 0, 2].into(), |_| ()).unwrap();
    let elsewhere = format!("http://{}/", forbidden.address());
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" } });
    for field in ["token_endpoint", "jwks_uri"] {
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
async fn pkce_must_be_offered() {
    for changes in [
        json!({ "code_challenge_methods_supported": ["plain"] }),
        json!({ "response_types_supported": ["id_token"] }),
    ] {
        let server = Provider::with(changes).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::FlowSupported, Reason::FlowNotSupported, &["pkce"]);
        // The rest does not depend on it, and one run shows all that is to be mended.
        assert_eq!(finding(&findings, &CheckName::ClientCredentials).reason, Reason::Inconclusive);
    }
}

#[tokio::test]
async fn a_document_that_does_not_mention_pkce_is_a_warning() {
    for provider in ["Generic", "Cognito", "Okta", "Entra", "Keycloak", "Google"] {
        let server = Provider::with(json!({ "code_challenge_methods_supported": null })).start();
        let findings = examine(&spec(&server.url(""), &json!({ "provider": provider })), &[]).await;
        let flow = finding(&findings, &CheckName::FlowSupported);
        assert_eq!(
            (flow.result, flow.reason),
            (CheckResult::Warning, Reason::FlowNotSupported),
            "{provider}"
        );
        assert!(!told(&findings).contains("implicit"), "{}", told(&findings));
    }
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
        (json!([{ "kty": "oct", "k": "AAAA" }]), "a symmetric key"),
        (json!([{ "kty": "from-the-future" }]), "a key of an unknown type"),
    ] {
        let server = Provider::with(json!({})).publishing(keys).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert_failure(&findings, &CheckName::SigningKeys, Reason::NoUsableKey, &[word, "RS256"]);
    }
    // W&B Server reads no key of a set with a broken one.
    for (broken, word) in [(json!(7), "not an object"), (json!({ "kty": "RSA", "e": "AQAB" }), "has no n")] {
        let server = Provider::with(json!({})).publishing(json!([strong_key(), broken])).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        let words = ["broken key, number 2", word, "none of the keys"];
        assert_failure(&findings, &CheckName::SigningKeys, Reason::InvalidDocument, &words);
    }
}

#[tokio::test]
async fn keys_that_the_server_would_accept_nevertheless_are_a_warning() {
    for (keys, reason, word) in [
        (json!([encryption_key()]), Reason::NoUsableKey, "for encryption"),
        (json!([weak_key(), weak_key()]), Reason::WeakKey, "1024 bits (too weak)"),
    ] {
        let server = Provider::with(json!({})).publishing(keys).start();
        let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
        assert!(findings.failure().is_none(), "{}", told(&findings));
        let found = finding(&findings, &CheckName::SigningKeys);
        assert_eq!((found.result, found.reason), (CheckResult::Warning, reason));
        assert!(found.message.contains(word), "{}", found.message);
    }
}

#[tokio::test]
async fn the_refusal_of_a_made_up_code_proves_the_client_where_that_comes_first() {
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" } });
    for (provider, secret, reason) in [
        ("Keycloak", json!({}), Reason::Passed),
        ("Keycloak", secret.clone(), Reason::Passed),
        ("Generic", json!({}), Reason::Inconclusive),
        ("Generic", secret.clone(), Reason::Inconclusive),
        ("Google", secret.clone(), Reason::Inconclusive),
        ("Okta", json!({}), Reason::Inconclusive),
    ] {
        let server = Provider::with(json!({})).start();
        let mut spec = spec(&server.url(""), &secret);
        spec["provider"] = json!(provider);
        let findings = examine(&spec, &[("secret", "s3cret")]).await;
        let client = finding(&findings, &CheckName::ClientCredentials);
        assert_eq!(client.reason, reason, "{provider}: {}", client.message);
    }
}

/// Entra, as its error codes have it: what is no code of its own is refused before anything else.
#[tokio::test]
async fn entra_is_asked_with_a_code_of_its_form_and_proves_little() {
    let entra = || {
        Provider::with(json!({})).answering("/token", |request| {
            let describe = |status, error: &str, description: &str| {
                Response::json_status(status, &json!({ "error": error, "error_description": description }))
            };
            let fields: Vec<_> = url::form_urlencoded::parse(request.body.as_bytes()).collect();
            let field =
                |name: &str| fields.iter().find(|(seen, _)| seen == name).map(|(_, value)| value.as_ref());
            let code = field("code").unwrap_or_default();
            let is_formed = (code.starts_with("0.A") || code.starts_with("1.A")) && code.len() > 100;
            if !is_formed {
                return describe(400, "invalid_grant", "AADSTS9002313: Invalid request. Trace ID: 1");
            }
            match request.header("authorization") {
                Some(basic) if basic.ends_with("ZWVk") => {
                    describe(400, "invalid_grant", "AADSTS70000: Provided grant is invalid. Trace ID: 1")
                }
                Some(_) => describe(401, "invalid_client", "AADSTS7000215: Invalid client secret provided."),
                None if field("client_secret").is_some() => {
                    describe(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
                }
                None => {
                    describe(400, "invalid_request", "AADSTS7000218: The request body must contain a secret.")
                }
            }
        })
    };
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" }, "provider": "Entra" });
    for (spec_changes, value, expected, word) in [
        // "wandb:agreed" in base64 ends with "ZWVk".
        (secret.clone(), "agreed", Reason::Inconclusive, "AADSTS70000"),
        (secret, "wrong", Reason::ClientRejected, "AADSTS7000215"),
        (json!({ "provider": "Entra" }), "", Reason::ClientRejected, "AADSTS7000218"),
    ] {
        let server = entra().start();
        let findings = examine(&spec(&server.url(""), &spec_changes), &[("secret", value)]).await;
        let client = finding(&findings, &CheckName::ClientCredentials);
        assert_eq!(client.reason, expected, "{}", client.message);
        assert!(client.message.contains(word), "{}", client.message);
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
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" }, "provider": "Keycloak" });
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
