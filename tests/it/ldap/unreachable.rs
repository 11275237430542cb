//! What goes wrong before a bind: names, handshakes and certificates; and the password as it was stored.

use std::time::{Duration, SystemTime};

use test_support::{CertificateAuthority, Leaf, Slapd, hostile::TcpServer};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{PASSWORD, Scenario, assert_failure, finding, show};

#[tokio::test]
async fn a_name_without_an_address_is_not_resolved() {
    let failure = Scenario::new("ldaps://nowhere.invalid").failure().await;
    assert_failure(&failure, &CheckName::DnsResolves, Reason::NameNotResolved);
    assert!(failure.message.starts_with("The name nowhere.invalid was not resolved"), "{}", failure.message);
}

#[tokio::test]
async fn a_certificate_may_be_too_young() {
    let authority = CertificateAuthority::new("directory").unwrap();
    let tomorrow = SystemTime::now() + Duration::from_hours(24);
    let certificate = authority.issue(&Leaf { not_before: tomorrow, ..Leaf::loopback() }).unwrap();
    let slapd = Slapd::builder(PASSWORD).certificate(&certificate).start().unwrap();
    for scenario in
        [Scenario::new(&slapd.ldaps_url().unwrap()), Scenario::new(&slapd.ldap_url()).with("startTLS: true")]
    {
        let failure = scenario.trusting(authority.certificate_pem()).failure().await;
        assert_failure(&failure, &CheckName::TlsVerifies, Reason::CertificateNotYetValid);
    }
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 0);
}

#[tokio::test]
async fn a_handshake_may_fail() {
    // Not TLS at all, and the alert handshake_failure.
    for bytes in [&b"220 mail.example.org ESMTP\r\n"[..], b"\x15\x03\x03\x00\x02\x02\x28"] {
        let server = TcpServer::sends(bytes).unwrap();
        let failure = Scenario::new(&format!("ldaps://{}", server.address())).failure().await;
        assert_failure(&failure, &CheckName::TlsVerifies, Reason::TlsHandshakeFailed);
    }
}

#[tokio::test]
async fn a_line_break_after_the_password_is_dropped() {
    let slapd = Slapd::builder(PASSWORD).start().unwrap();
    let findings = Scenario::plaintext(&slapd).password(&format!("{PASSWORD}\n")).findings().await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
    let values = finding(&findings, &CheckName::SecretValues);
    assert_eq!((values.result, values.reason), (CheckResult::Warning, Reason::TrailingNewline));
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 1);
}
