//! How many connections a run makes, and that none of them is relied on.

use serde_json::json;
use test_support::{CertificateAuthority, Leaf, hostile::AfterAnswer, tokens::SigningKey};
use wandb_auth_operator::api::{CheckName, Reason};

use super::{
    examine,
    scripted_issuer::{Issuer, OLDER_WELL_KNOWN, WELL_KNOWN},
    spec,
};

#[tokio::test]
async fn one_connection_is_enough_where_the_issuer_keeps_it() {
    let authority = CertificateAuthority::new("issuer").unwrap();
    let certificate = authority.issue(&Leaf::loopback()).unwrap();
    let tls = json!({ "tls": { "caBundle": { "secretKeyRef": { "name": "tokens", "key": "ca" } } } });
    let key = SigningKey::p256("one").unwrap();
    for (after, connections) in
        [(AfterAnswer::Keep, 1..=1), (AfterAnswer::Close, 3..=3), (AfterAnswer::Drop, 3..=3)]
    {
        let server = Issuer::publishing(&[&key]).at(&[WELL_KNOWN]).start_tls_with(&certificate, after);
        let examined = examine(&spec(&server.url(""), &tls), &[("ca", authority.certificate_pem())]).await;
        examined.assert_nothing_failed();
        let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(paths, [WELL_KNOWN, OLDER_WELL_KNOWN, "/jwks"], "{after:?}");
        assert!(connections.contains(&server.connections()), "{after:?}: {}", server.connections());
    }
}

#[tokio::test]
async fn a_kept_connection_vouches_for_no_other_server() {
    let authority = CertificateAuthority::new("issuer").unwrap();
    let certificate = authority.issue(&Leaf::loopback()).unwrap();
    let tls = json!({ "tls": { "caBundle": { "secretKeyRef": { "name": "tokens", "key": "ca" } } } });
    let key = SigningKey::p256("one").unwrap();
    let other_name = authority.issue(&Leaf::loopback().only_for("idp.example.org")).unwrap();
    let elsewhere = Issuer::publishing(&[&key]).start_tls_with(&other_name, AfterAnswer::Keep);
    let server = Issuer::publishing(&[&key])
        .changed(json!({ "jwks_uri": elsewhere.url("/jwks") }))
        .start_tls_with(&certificate, AfterAnswer::Keep);
    let examined = examine(&spec(&server.url(""), &tls), &[("ca", authority.certificate_pem())]).await;
    examined.assert_failure(&CheckName::JwksFetches, Reason::NameMismatch, &["The document's jwks_uri: "]);
    assert!(elsewhere.requests().is_empty());
}
