//! Against OpenLDAP's slapd.

use std::{io::Read, net::SocketAddr, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use test_support::{Certificate, CertificateAuthority, Leaf, Slapd, free_port, hostile::TcpServer};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason, names::Resolution},
    engine::Findings,
};

use super::{PASSWORD, Scenario, assert_failure, show};

/// Findings with what is random in them replaced.
fn stable(findings: &Findings, slapd: &Slapd) -> String {
    let mut text = show(findings).replace(&slapd.port().to_string(), "PORT");
    if let Some(port) = slapd.ldaps_port() {
        text = text.replace(&port.to_string(), "PORT");
    }
    match findings.certificate {
        Some(certificate) => text.replace(&certificate.not_after.strftime("%Y-%m-%d").to_string(), "DAY"),
        None => text,
    }
}

fn certificate(leaf: &Leaf) -> Certificate {
    CertificateAuthority::new("directory").unwrap().issue(leaf).unwrap()
}

fn slapd() -> Slapd {
    Slapd::builder(PASSWORD).start().unwrap()
}

fn slapd_with(certificate: &Certificate) -> Slapd {
    Slapd::builder(PASSWORD).certificate(certificate).start().unwrap()
}

const EVERYTHING: &str = "
groupAllowList: ['cn=wandb,ou=groups,dc=example,dc=org', developers]
testUsers:
- filter: (mail=alice@example.org)
  expect: {email: alice@example.org, groups: [wandb, developers, '5001'], allowed: true}
- {filter: (uid=bob)}
";

#[tokio::test]
async fn passes_over_ldaps() {
    let certificate = certificate(&Leaf::loopback());
    let slapd = slapd_with(&certificate);
    let scenario = Scenario::new(&slapd.ldaps_url().unwrap()).trusting(&certificate.authority_pem);
    let findings = scenario.with(EVERYTHING).findings().await;
    insta::assert_snapshot!("ldaps", stable(&findings, &slapd));
    assert!(findings.certificate.is_some());
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 1);
}

#[tokio::test]
async fn passes_with_start_tls() {
    let certificate = certificate(&Leaf::loopback());
    let slapd = slapd_with(&certificate);
    let scenario = Scenario::new(&slapd.ldap_url()).with("startTLS: true");
    let findings = scenario.trusting(&certificate.authority_pem).findings().await;
    insta::assert_snapshot!("start_tls", stable(&findings, &slapd));
}

#[tokio::test]
async fn warns_of_plaintext() {
    let slapd = slapd();
    let findings = Scenario::plaintext(&slapd).findings().await;
    insta::assert_snapshot!("plaintext", stable(&findings, &slapd));
}

#[tokio::test]
async fn passes_anonymously() {
    let certificate = certificate(&Leaf::loopback());
    let slapd = slapd_with(&certificate);
    let scenario = Scenario::new(&slapd.ldaps_url().unwrap()).trusting(&certificate.authority_pem);
    let findings = scenario.without("bind").findings().await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
    assert_eq!(slapd.bind_attempts("").unwrap(), 1);
}

#[tokio::test]
async fn equal_findings_are_equal() {
    let slapd = slapd();
    let scenario = Scenario::plaintext(&slapd).with(EVERYTHING);
    let first = show(&scenario.findings().await);
    assert_eq!(first, show(&scenario.findings().await));
}

#[tokio::test]
async fn says_that_anonymous_binds_are_refused() {
    let slapd = Slapd::builder(PASSWORD).forbid_anonymous_bind().start().unwrap();
    let failure = Scenario::plaintext(&slapd).without("bind").failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::AnonymousRefused);
}

#[tokio::test]
async fn finds_a_wrong_port() {
    let port = free_port().unwrap();
    let failure = Scenario::new(&format!("ldaps://127.0.0.1:{port}")).failure().await;
    assert_failure(&failure, &CheckName::TcpConnects, Reason::ConnectionRefused);
}

#[tokio::test]
async fn finds_the_plain_port_behind_ldaps() {
    let slapd = slapd_with(&certificate(&Leaf::loopback()));
    let address = format!("ldaps://127.0.0.1:{}", slapd.port());
    let failure = Scenario::new(&address).failure().await;
    assert_failure(&failure, &CheckName::TlsVerifies, Reason::TlsHandshakeFailed);
    let next = format!("set spec.address to ldap://127.0.0.1:{} and spec.startTLS: true.", slapd.port());
    assert!(failure.message.contains("speaks plain LDAP"), "{}", failure.message);
    assert!(failure.message.ends_with(&next), "{}", failure.message);
    assert_eq!(failure.reason.remedy(), Resolution::Person);
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 0);
}

#[tokio::test]
async fn finds_the_plain_port_behind_ldaps_where_there_is_no_encryption_at_all() {
    let slapd = slapd();
    let failure = Scenario::new(&format!("ldaps://127.0.0.1:{}", slapd.port())).failure().await;
    assert_failure(&failure, &CheckName::TlsVerifies, Reason::TlsHandshakeFailed);
    assert!(failure.message.contains("It does not offer StartTLS"), "{}", failure.message);
    assert!(!failure.message.contains("spec.startTLS: true"), "{}", failure.message);
}

/// A server that is being restarted closes connections, too, and that passes.
#[tokio::test]
async fn a_server_that_says_nothing_in_either_language_is_an_outage() {
    let server = TcpServer::script(|_| ()).unwrap();
    let failure = Scenario::new(&format!("ldaps://{}", server.address())).failure().await;
    assert_failure(&failure, &CheckName::TlsVerifies, Reason::ConnectionClosed);
    assert_eq!(failure.reason.remedy(), Resolution::Retry);
}

#[tokio::test]
async fn finds_the_encrypted_port_behind_ldap() {
    let slapd = slapd_with(&certificate(&Leaf::loopback()));
    let address = SocketAddr::from((slapd.ip(), slapd.ldaps_port().unwrap()));
    let failure = Scenario::hostile(address).failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::ConfidentialityRequired);
    let next = format!(
        "speaks TLS from the start, but spec.address says ldap://. Set spec.address to ldaps://{address}"
    );
    assert!(failure.message.contains(&next), "{}", failure.message);
    assert_eq!(failure.reason.remedy(), Resolution::Person);
    let start_tls = Scenario::new(&format!("ldap://{address}")).with("startTLS: true").failure().await;
    assert_failure(&start_tls, &CheckName::StartTls, Reason::ConfidentialityRequired);
    assert!(start_tls.message.contains(&next), "{}", start_tls.message);
}

#[tokio::test]
async fn verifies_authority_name_and_validity() {
    let authority = CertificateAuthority::new("directory").unwrap();
    let stranger = CertificateAuthority::new("stranger").unwrap();
    for (leaf, trusted, reason) in [
        (Leaf::loopback(), &stranger, Reason::UnknownAuthority),
        (Leaf::loopback().only_for("ldap.example.org"), &authority, Reason::NameMismatch),
        (Leaf::loopback().expired(), &authority, Reason::CertificateExpired),
    ] {
        let slapd = slapd_with(&authority.issue(&leaf).unwrap());
        for scenario in [
            Scenario::new(&slapd.ldaps_url().unwrap()),
            Scenario::new(&slapd.ldap_url()).with("startTLS: true"),
        ] {
            let failure = scenario.trusting(trusted.certificate_pem()).failure().await;
            assert_failure(&failure, &CheckName::TlsVerifies, reason);
        }
        // A password never goes to a server that is not verified.
        assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 0);
    }
}

#[tokio::test]
async fn says_that_a_client_certificate_is_demanded() {
    let certificate = certificate(&Leaf::loopback());
    let slapd =
        Slapd::builder(PASSWORD).certificate(&certificate).demand_client_certificates().start().unwrap();
    for scenario in
        [Scenario::new(&slapd.ldaps_url().unwrap()), Scenario::new(&slapd.ldap_url()).with("startTLS: true")]
    {
        let failure = scenario.trusting(&certificate.authority_pem).failure().await;
        // With GnuTLS, slapd closes the connection without an alert, which may mean anything.
        let reasons = [Reason::TlsHandshakeFailed, Reason::ConnectionClosed];
        assert!(reasons.contains(&failure.reason), "{}", failure.message);
        assert!(failure.message.contains("asked for a client certificate"), "{}", failure.message);
    }
}

/// Active Directory asks everybody for a certificate, and goes on without one.
#[tokio::test]
async fn a_server_that_asked_for_a_certificate_may_go_for_any_other_reason() {
    let certificate = certificate(&Leaf::loopback());
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(certificate.authority_pem.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let server = TcpServer::script(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let _ = stream.read(&mut [0; 1024]);
    })
    .unwrap();
    let scenario =
        Scenario::new(&format!("ldaps://{}", server.address())).trusting(&certificate.authority_pem);
    let failure = scenario.failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::ConnectionClosed);
    assert!(failure.message.contains("if it requires one"), "{}", failure.message);
    assert!(
        failure.message.contains("only a password that worked before is tried again"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn warns_of_a_certificate_that_expires_soon() {
    let certificate = certificate(&Leaf::loopback().expiring_in_days(10));
    let slapd = slapd_with(&certificate);
    let scenario = Scenario::new(&slapd.ldaps_url().unwrap()).trusting(&certificate.authority_pem);
    let findings = scenario.findings().await;
    let tls = findings.list.iter().find(|finding| finding.name == CheckName::TlsVerifies).unwrap();
    assert_eq!((tls.result, tls.reason), (CheckResult::Warning, Reason::CertificateExpiresSoon));
    assert!(findings.failure().is_none());
}

#[tokio::test]
async fn says_that_start_tls_is_refused() {
    let slapd = slapd();
    let failure = Scenario::new(&slapd.ldap_url()).with("startTLS: true").failure().await;
    assert_failure(&failure, &CheckName::StartTls, Reason::StartTlsRefused);
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 0);
}

#[tokio::test]
async fn tries_a_wrong_password_once() {
    let slapd = slapd();
    let findings = Scenario::plaintext(&slapd).password("not the password").findings().await;
    let failure = findings.failure().unwrap();
    assert_failure(failure, &CheckName::Bind, Reason::InvalidCredentials);
    assert!(failure.message.contains("does not try it again"), "{}", failure.message);
    let place = "The credentials come from the key \"password\" of the Secret \"ldap\" (spec.bind.passwordSecretRef).";
    assert!(failure.message.contains(place), "{}", failure.message);
    assert!(!show(&findings).contains("not the password"));
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 1);
}

#[tokio::test]
async fn says_that_an_account_is_locked() {
    let slapd = slapd();
    let failure = Scenario::plaintext(&slapd).bind(Slapd::LOCKED_DN).failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::AccountLocked);
}

#[tokio::test]
async fn says_that_active_directory_names_are_not_for_every_directory() {
    let slapd = slapd();
    let failure = Scenario::plaintext(&slapd).bind("wandb@example.org").failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::InvalidCredentials);
}

#[tokio::test]
async fn shows_the_closest_entry_to_a_missing_base() {
    let slapd = slapd();
    let scenario = Scenario::plaintext(&slapd).with("baseDN: 'ou=staff,ou=people,dc=example,dc=org'");
    let failure = scenario.failure().await;
    assert_failure(&failure, &CheckName::BaseDnExists, Reason::BaseDnNotFound);
    assert!(failure.message.contains("ou=people,dc=example,dc=org. Check the DN"), "{}", failure.message);
    let elsewhere = Scenario::plaintext(&slapd).with("userSearch: {baseDN: 'ou=staff,dc=example,dc=org'}");
    let failure = elsewhere.failure().await;
    assert_failure(&failure, &CheckName::BaseDnExists, Reason::BaseDnNotFound);
    assert!(failure.message.starts_with("spec.userSearch.baseDN"), "{}", failure.message);
    // The base is within what the directory holds, so that this tells nothing.
    assert!(!failure.message.contains("namingContexts"), "{}", failure.message);
}

#[tokio::test]
async fn shows_what_the_directory_holds_where_the_base_is_elsewhere() {
    let slapd = slapd();
    for (fields, field) in [
        ("baseDN: 'dc=example,dc=com'", "spec.baseDN"),
        ("groupSearch: {baseDN: 'dc=example,dc=com'}", "spec.groupSearch.baseDN"),
    ] {
        let failure = Scenario::plaintext(&slapd).with(fields).failure().await;
        assert_failure(&failure, &CheckName::BaseDnExists, Reason::BaseDnNotFound);
        let next = format!(
            "The directory holds dc=example,dc=org (namingContexts): set {field} to that or to an entry"
        );
        assert!(failure.message.contains(&next), "{}", failure.message);
    }
}

#[tokio::test]
async fn recognises_an_attribute_map_in_the_base_dn() {
    let slapd = slapd();
    let failure = Scenario::plaintext(&slapd).with("baseDN: 'email=mail,group=gidNumber'").failure().await;
    assert_failure(&failure, &CheckName::BaseDnExists, Reason::BaseDnNotFound);
    insta::assert_snapshot!("attribute_map", failure.message);
}

#[tokio::test]
async fn finds_attributes_that_nobody_has() {
    let slapd = slapd();
    let with = |attributes: &str| Scenario::plaintext(&slapd).with(&format!("attributes: {attributes}"));
    let failure = with("{email: mailAddress, group: gidNumber}").failure().await;
    assert_failure(&failure, &CheckName::AttributesPresent, Reason::AttributeMissing);
    assert!(failure.message.starts_with("0 of 3 sampled entries carry mailAddress"), "{}", failure.message);
    assert!(failure.message.contains("Among the attributes of an entry are mail, "), "{}", failure.message);
    assert!(!failure.message.contains("alice"), "values are nobody's business: {}", failure.message);

    let findings = with("{email: mail, group: departmentNumber}").findings().await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
    let warned = findings.list.iter().find(|finding| finding.name == CheckName::AttributesPresent).unwrap();
    assert_eq!((warned.result, warned.reason), (CheckResult::Warning, Reason::AttributeMissing));

    let listed = with("{email: mail, group: departmentNumber}").with("groupAllowList: [wandb]");
    assert_failure(&listed.failure().await, &CheckName::AttributesPresent, Reason::AttributeMissing);
}

#[tokio::test]
async fn finds_nobody_where_nobody_is() {
    let slapd = slapd();
    let scenario =
        Scenario::plaintext(&slapd).with(&format!("userSearch: {{baseDN: '{}'}}", Slapd::GROUPS_DN));
    assert_failure(&scenario.failure().await, &CheckName::AttributesPresent, Reason::NoUsersFound);
}

#[tokio::test]
async fn judges_the_allow_list() {
    let slapd = slapd();
    for (list, result, reason) in [
        ("[wandb]", CheckResult::Passed, Reason::Passed),
        ("[developers, '5001']", CheckResult::Passed, Reason::Passed),
        ("['cn=wandb,ou=groups,dc=example,dc=org']", CheckResult::Warning, Reason::AmbiguousSeparator),
        ("[wandb, empty]", CheckResult::Warning, Reason::GroupEmpty),
        ("[empty]", CheckResult::Failed, Reason::NobodyAllowed),
        ("[wandb, nonsense]", CheckResult::Failed, Reason::GroupNotFound),
        ("['cn=nonsense,ou=groups,dc=example,dc=org']", CheckResult::Failed, Reason::GroupNotFound),
        // The name of a person is not the name of a group.
        ("[alice]", CheckResult::Failed, Reason::GroupNotFound),
        ("['a*)(cn~wandb']", CheckResult::Failed, Reason::GroupNotFound),
    ] {
        let scenario = Scenario::plaintext(&slapd).with(&format!("groupAllowList: {list}"));
        let findings = scenario.findings().await;
        let found = findings.list.iter().find(|finding| finding.name == CheckName::GroupAllowList).unwrap();
        assert_eq!((found.result, found.reason), (result, reason), "{list}: {}", found.message);
    }
}

#[tokio::test]
async fn names_the_groups_that_are_like_a_missing_one() {
    let slapd = slapd();
    for (list, words) in [
        ("[wandbb]", "Did you mean wandb?"),
        ("[Developer]", "Did you mean developers?"),
        ("['cn=wandb,ou=teams,dc=example,dc=org']", "Did you mean cn=wandb,ou=groups,dc=example,dc=org?"),
        ("[nonsense]", "None has a similar name; it has for example developers; empty; wandb."),
    ] {
        let failure = Scenario::plaintext(&slapd).with(&format!("groupAllowList: {list}")).failure().await;
        assert_failure(&failure, &CheckName::GroupAllowList, Reason::GroupNotFound);
        assert!(failure.message.contains(words), "{list}: {}", failure.message);
    }
}

#[tokio::test]
async fn compares_test_users_with_expectations() {
    let slapd = slapd();
    let users = "
groupAllowList: [wandb]
testUsers:
- {filter: (uid=alice), expect: {email: someone@example.org}}
- {filter: (uid=nobody)}
- {filter: (mail=*)}
- {filter: (uid=carol), expect: {groups: [wandb]}}
- {filter: (uid=carol), expect: {groups: [nonsense]}}
- {filter: (uid=carol), expect: {allowed: true}}
- {filter: (uid=carol), expect: {allowed: false}}
- {filter: (uid=alice), expect: {allowed: false}}
- {filter: (uid=alice), expect: {email: Alice@Example.org, groups: [wandb, developers, 'CN=wandb, OU=groups,dc=example,dc=org'], allowed: true}}
- {filter: (cn=wandb)}
";
    let findings = Scenario::plaintext(&slapd).with(users).findings().await;
    insta::assert_snapshot!("test_users", stable(&findings, &slapd));
}
