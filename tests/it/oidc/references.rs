//! References that lead to nothing usable, before any check.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use test_support::CertificateAuthority;
use wandb_auth_operator::{
    api::{OidcProvider, Reason},
    engine::{self, Fetched, ObjectKey, Prepared, ReferenceSource},
    problem::Problem,
};

use super::{network, spec};

/// The problem with a CA bundle that a spec refers to as the key `ca` of an object named `bundle`.
fn unresolved(source: ReferenceSource, data: Option<&[u8]>) -> Problem {
    let member = match source {
        ReferenceSource::Secret => "secretKeyRef",
        _ => "configMapKeyRef",
    };
    let tls = json!({ "tls": { "caBundle": { member: { "name": "bundle", "key": "ca" } } } });
    let objects = data.map(|bytes| {
        let data = BTreeMap::from([("ca".to_owned(), bytes.to_vec())]);
        let key = ObjectKey { source, name: "bundle".into() };
        (key, Fetched::Found { version: "1".to_owned(), data })
    });
    problem(&tls, &objects.into_iter().collect())
}

fn problem(changes: &Value, objects: &BTreeMap<ObjectKey, Fetched>) -> Problem {
    let object: OidcProvider = serde_json::from_value(json!({
        "apiVersion": "auth.wandb.com/v1alpha1",
        "kind": "OidcProvider",
        "metadata": { "name": "test" },
        "spec": spec("https://login.example.com", changes),
    }))
    .unwrap();
    match engine::prepare(&object, &[], objects, &network().system_trust, &[]) {
        Prepared::Unresolved(problem) => problem,
        Prepared::NotAccepted(problem) => panic!("not accepted: {}", problem.message),
        Prepared::Planned(_) => panic!("everything was resolved"),
    }
}

#[track_caller]
fn assert_problem(problem: &Problem, reason: Reason, words: &[&str]) {
    assert_eq!(problem.reason, reason, "{}", problem.message);
    for word in words {
        assert!(problem.message.contains(word), "{word:?} is not in: {}", problem.message);
    }
}

#[test]
fn a_broken_ca_bundle_names_its_object_its_field_and_the_next_step() {
    let authority = CertificateAuthority::new("authority").unwrap();
    let good = authority.certificate_pem();
    let cut = good.get(..good.len() / 2).unwrap().to_owned();
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (bundle, seen) in [
        (cut, "line 1 begins a block that is not complete"),
        (no_certificate.to_owned(), "the certificate in line 1 cannot be read"),
        (format!("{}{good}", good.trim_end()), "put a line break between them"),
        ("MIIB".to_owned(), "no certificate"),
        ("x".repeat(1 << 21), "larger than 1 MiB"),
    ] {
        for (source, object) in [
            (ReferenceSource::Secret, "the Secret \"bundle\""),
            (ReferenceSource::ConfigMap, "the ConfigMap \"bundle\""),
        ] {
            let problem = unresolved(source, Some(bundle.as_bytes()));
            let next = "-----BEGIN CERTIFICATE-----";
            let words = [seen, object, "\"ca\"", "spec.tls.caBundle", "Store", next];
            assert_problem(&problem, Reason::InvalidCABundle, &words);
        }
    }
}

#[test]
fn a_missing_bundle_is_told_by_the_kind_of_its_object() {
    for (source, reason) in [
        (ReferenceSource::Secret, Reason::SecretNotFound),
        (ReferenceSource::ConfigMap, Reason::ConfigMapNotFound),
    ] {
        let problem = unresolved(source, None);
        assert_problem(&problem, reason, &["\"bundle\"", "\"ca\"", "spec.tls.caBundle", "Create"]);
    }
}

#[test]
fn a_missing_key_is_told_with_the_present_ones_and_the_next_step() {
    let data = BTreeMap::from([("secert".to_owned(), b"x".to_vec())]);
    let key = ObjectKey { source: ReferenceSource::Secret, name: "oidc".into() };
    let objects = BTreeMap::from([(key, Fetched::Found { version: "1".to_owned(), data })]);
    let secret = json!({ "clientSecretRef": { "name": "oidc", "key": "secret" } });
    let words = ["\"secret\"", "\"secert\"", "spec.clientSecretRef", "Add that key", "correct"];
    assert_problem(&problem(&secret, &objects), Reason::KeyNotFound, &words);
}
