//! Binds and reads that a directory refuses, each for a reason of its own.

use test_support::{Slapd, hostile::TcpServer};
use wandb_auth_operator::api::{CheckName, Reason};

use super::{
    PASSWORD, Scenario, assert_failure,
    scripted::{BIND_RESPONSE, directory, result},
    show,
};

/// A slapd with these lines before the first one of its configuration that begins as given.
fn slapd_with_lines(lines: &str, before: &str) -> Slapd {
    let mut slapd = Slapd::builder(PASSWORD).start().unwrap();
    slapd.stop().unwrap();
    let path = slapd.log().path().with_file_name("slapd.conf");
    let configuration = std::fs::read_to_string(&path).unwrap();
    assert!(configuration.contains(before), "{configuration}");
    std::fs::write(&path, configuration.replacen(before, &format!("{lines}\n{before}"), 1)).unwrap();
    slapd.start().unwrap();
    slapd
}

#[tokio::test]
async fn says_that_the_account_may_not_read() {
    for (rule, reason, words) in [
        ("auth", Reason::NotReadable, "The account is not allowed to read dc=example,dc=org (code 50"),
        ("search", Reason::NotReadable, "the directory shows nothing at dc=example,dc=org"),
        // The directory denies that the entry exists.
        ("none", Reason::BaseDnNotFound, "that the account may read it"),
    ] {
        let rule = format!("access to dn.subtree=\"dc=example,dc=org\" by anonymous auth by * {rule}");
        let slapd = slapd_with_lines(&rule, "access to *");
        let failure = Scenario::plaintext(&slapd).failure().await;
        assert_failure(&failure, &CheckName::BaseDnExists, reason);
        assert!(failure.message.contains(words), "{}", failure.message);
    }
}

#[tokio::test]
async fn says_that_encryption_is_required() {
    let slapd = slapd_with_lines("security simple_bind=128", "database mdb");
    let failure = Scenario::plaintext(&slapd).failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::ConfidentialityRequired);
    assert!(failure.message.contains("Use ldaps:// or spec.startTLS"), "{}", failure.message);
}

/// Refuses every bind.
fn refuses(code: u8, words: &'static str) -> TcpServer {
    directory(move |_, _| vec![(BIND_RESPONSE, result(code, words))])
}

#[tokio::test]
async fn every_refused_bind_has_its_reason() {
    for (code, words, reason) in [
        (53, "Account inactivated. Contact system administrator.", Reason::AccountDisabled),
        (49, "AcceptSecurityContext error, data 533, v4563", Reason::AccountDisabled),
        (49, "AcceptSecurityContext error, data 532, v4563", Reason::PasswordExpired),
        (53, "Too many failed logins.", Reason::AccountLocked),
        (53, "NDS error: log account expired (-220)", Reason::AccountDisabled),
        (49, "Password Policy Error :9000: GSL_PWDEXPIRED_EXCP", Reason::PasswordExpired),
        (50, "SASL(-13): Client's credentials have been revoked", Reason::AccountLocked),
        (51, "", Reason::ServerUnavailable),
        (52, "Shutting down", Reason::ServerUnavailable),
        (53, "simple bind disallowed", Reason::OperationRefused),
        (80, "", Reason::OperationRefused),
    ] {
        let server = refuses(code, words);
        let findings = Scenario::hostile(server.address()).findings().await;
        assert_failure(findings.failure().unwrap(), &CheckName::Bind, reason);
        assert!(show(&findings).contains(words), "{}", show(&findings));
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn messages_are_true_whoever_asks() {
    // A person who runs the checks by hand tries again by doing so.
    for code in [49, 51] {
        let failure = Scenario::hostile(refuses(code, "").address()).failure().await;
        assert!(!failure.message.contains("It is "), "{}", failure.message);
        assert!(failure.message.contains("The operator "), "{}", failure.message);
    }
}
