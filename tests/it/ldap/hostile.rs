//! Against servers that are silent, endless, broken or lying.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use lber::{
    common::TagClass,
    structure::{PL, StructureTag},
};
use test_support::hostile::{TcpServer, ldap as hostile};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    PASSWORD, Scenario, assert_failure, finding,
    scripted::{BIND, BIND_RESPONSE, CLOSE, SEARCH_DONE, directory, directory_of, entry, result, text},
    show,
};

/// For servers that never answer: long enough for the checks before that.
const SHORT_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_silent_server_uses_the_time_up_at_its_check() {
    let server = TcpServer::black_hole().unwrap();
    let address = server.address();
    let encrypted = Scenario::new(&format!("ldaps://{address}"));
    let start_tls = Scenario::new(&format!("ldap://{address}")).with("startTLS: true");
    let plaintext = Scenario::hostile(address);
    let (of_encrypted, of_start_tls, of_plaintext) = tokio::join!(
        encrypted.failure_within(SHORT_LIMIT),
        start_tls.failure_within(SHORT_LIMIT),
        plaintext.failure_within(SHORT_LIMIT),
    );
    assert_failure(&of_encrypted, &CheckName::TlsVerifies, Reason::TimedOut);
    assert_failure(&of_start_tls, &CheckName::StartTls, Reason::TimedOut);
    assert_failure(&of_plaintext, &CheckName::Bind, Reason::TimedOut);
}

#[tokio::test]
async fn a_server_that_closes_is_named_so() {
    let server = TcpServer::closes().unwrap();
    let failure = Scenario::hostile(server.address()).failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::ConnectionClosed);
}

#[tokio::test]
async fn garbage_is_no_ldap() {
    let server = hostile::answers_garbage().unwrap();
    let address = server.address();
    let failure = Scenario::hostile(address).failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::ProtocolError);
    let start_tls = Scenario::new(&format!("ldap://{address}")).with("startTLS: true").failure().await;
    assert_failure(&start_tls, &CheckName::StartTls, Reason::ProtocolError);

    let web = TcpServer::sends(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    let failure = Scenario::hostile(web.address()).failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::ProtocolError);
}

#[tokio::test]
async fn huge_answers_are_not_read() {
    let gibibyte = hostile::announces_a_gibibyte().unwrap();
    let failure = Scenario::hostile(gibibyte.address()).failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::ResponseTooLarge);
}

#[tokio::test]
async fn endless_entries_come_to_an_end() {
    // One entry is enough to know that a search from the base works. This server never answers again.
    let endless = hostile::sends_endless_entries().unwrap();
    let failure = Scenario::hostile(endless.address()).failure_within(SHORT_LIMIT).await;
    assert_failure(&failure, &CheckName::AttributesPresent, Reason::TimedOut);
}

#[tokio::test]
async fn start_tls_without_a_handshake_uses_the_time_up() {
    let server = hostile::agrees_to_start_tls_only().unwrap();
    let scenario = Scenario::new(&format!("ldap://{}", server.address())).with("startTLS: true");
    assert_failure(&scenario.failure_within(SHORT_LIMIT).await, &CheckName::TlsVerifies, Reason::TimedOut);
}

/// A server that answers the first request with these bytes.
fn answers(bytes: &'static [u8]) -> TcpServer {
    TcpServer::script(move |mut stream: &TcpStream| {
        let mut request = [0; 4096];
        if stream.read(&mut request).is_ok_and(|count| count > 0) && stream.write_all(bytes).is_ok() {
            let _ = stream.read(&mut request);
        }
    })
    .unwrap()
}

#[tokio::test]
async fn data_that_is_injected_before_encryption_is_refused() {
    let server = answers(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00");
    let scenario = Scenario::new(&format!("ldap://{}", server.address())).with("startTLS: true");
    let failure = scenario.failure().await;
    assert_failure(&failure, &CheckName::StartTls, Reason::ProtocolError);
    assert!(failure.message.contains("tampers"), "{}", failure.message);
}

#[tokio::test]
async fn well_formed_nonsense_harms_nobody() {
    // Messages that are BER but not LDAP: no operation, no result code, text that is not UTF-8,
    // controls of the wrong shape.
    let nonsense: [&[u8]; 5] = [
        b"\x30\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x05\x02\x01\x01\x61\x00",
        b"\x30\x0d\x02\x01\x01\x61\x08\x0a\x01\x00\x04\x01\xff\x04\x00",
        b"\x30\x10\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x02\x30\x00",
    ];
    for bytes in nonsense {
        let server = answers(bytes);
        let failure = Scenario::hostile(server.address()).failure().await;
        assert_failure(&failure, &CheckName::Bind, Reason::ProtocolError);
    }
}

#[tokio::test]
async fn reads_what_active_directory_says() {
    let server = directory(|_, _| {
        let text =
            "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563\0";
        vec![(BIND_RESPONSE, result(49, text))]
    });
    let failure = Scenario::hostile(server.address()).bind("CORP\\wandb").failure().await;
    assert_failure(&failure, &CheckName::Bind, Reason::AccountLocked);
}

#[tokio::test]
async fn a_password_that_is_echoed_is_not_shown() {
    let server =
        directory(|_, _| vec![(BIND_RESPONSE, result(49, &format!("wrong: {PASSWORD}\r\n\u{1b}[31m")))]);
    let findings = Scenario::hostile(server.address()).findings().await;
    let shown = show(&findings);
    assert!(shown.contains("wrong: [redacted]"), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains('\u{1b}'), "{shown}");
}

#[tokio::test]
async fn a_directory_that_goes_away_ends_the_run() {
    let server = directory(|operation, _| match operation {
        BIND => vec![(BIND_RESPONSE, result(0, ""))],
        _ => Vec::new(),
    });
    let scenario = Scenario::hostile(server.address()).with("testUsers: [{filter: (uid=alice)}]");
    let findings = scenario.findings().await;
    assert_failure(findings.failure().unwrap(), &CheckName::BaseDnExists, Reason::ConnectionClosed);
    let last: Vec<_> = findings.list.iter().skip(6).map(|finding| finding.reason).collect();
    assert_eq!(last, [Reason::NotReached; 3], "{}", show(&findings));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_check_that_could_not_run_is_never_taken_for_one_that_passed() {
    // It goes away once it has shown people's addresses.
    let server = directory(|operation, arguments| {
        if operation == BIND {
            return vec![(BIND_RESPONSE, result(0, ""))];
        }
        let alice = entry("uid=alice,dc=example,dc=org", &[("mail", "a@example.org"), ("gidNumber", "1")]);
        let mut answers = vec![alice, (SEARCH_DONE, result(0, ""))];
        if format!("{:?}", arguments.get(7)).contains(&format!("{:?}", b"mail")) {
            answers.push((CLOSE, Vec::new()));
        }
        answers
    });
    let scenario = Scenario::hostile(server.address()).with("testUsers: [{filter: (uid=alice)}]");
    assert_failure(&scenario.failure().await, &CheckName::TestUser(0), Reason::ConnectionClosed);
}

#[tokio::test]
async fn a_referral_names_the_other_server() {
    let server = directory(|operation, _| {
        if operation == BIND {
            return vec![(BIND_RESPONSE, result(0, ""))];
        }
        let referral = PL::C(vec![text("ldap://other.example.org/dc=example,dc=org")]);
        let mut parts = result(10, "");
        parts.push(StructureTag { class: TagClass::Context, id: 3, payload: referral });
        vec![(SEARCH_DONE, parts)]
    });
    let failure = Scenario::hostile(server.address()).failure().await;
    assert_failure(&failure, &CheckName::BaseDnExists, Reason::Referral);
    assert!(failure.message.contains("ldap://other.example.org/"), "{}", failure.message);
}

fn person(number: u32) -> (u64, Vec<StructureTag>) {
    entry(&format!("uid=u{number},dc=example,dc=org"), &[("mail", "u@example.org"), ("gidNumber", "1")])
}

/// Ignores the size limit, but knows what a search for `uid` is about.
fn ignores_the_size_limit(people: u32) -> TcpServer {
    directory(move |operation, arguments| {
        if operation == BIND {
            return vec![(BIND_RESPONSE, result(0, ""))];
        }
        let one = format!("{:?}", arguments.get(6)).contains(&format!("{:?}", b"uid"));
        let count = if one { 1 } else { people };
        (0..count).map(person).chain([(SEARCH_DONE, result(0, ""))]).collect()
    })
}

#[tokio::test]
async fn a_server_that_ignores_the_size_limit_is_left_after_the_sample() {
    for people in [150, 10_000] {
        let server = ignores_the_size_limit(people);
        let users = "testUsers: [{filter: (uid=u0), expect: {email: u@example.org}}]";
        let findings = Scenario::hostile(server.address()).with(users).findings().await;
        assert!(findings.failure().is_none(), "{people}: {}", show(&findings));
        let sampled = finding(&findings, &CheckName::AttributesPresent);
        assert_eq!(sampled.result, CheckResult::Passed);
        assert_eq!(sampled.message, "100 of 100 sampled entries carry mail, 100 carry gidNumber.");
        assert_eq!(finding(&findings, &CheckName::TestUser(0)).result, CheckResult::Passed);
        assert_eq!(server.connections(), 1, "it binds once");
    }
}

#[tokio::test]
async fn people_who_are_in_hundreds_of_groups_are_no_flood() {
    let server = directory_of(|| {
        let attributes: Vec<_> = (0..2000)
            .map(|_| ("memberOf", "cn=a-group-with-a-long-name,ou=groups,dc=example,dc=org"))
            .collect();
        let person = |number: u32| {
            let all = [&[("mail", "u@example.org")], attributes.as_slice()].concat();
            entry(&format!("uid=u{number},dc=example,dc=org"), &all)
        };
        (0..100).map(person).collect()
    });
    let scenario = Scenario::hostile(server.address()).with("attributes: {email: mail, group: memberOf}");
    let findings = scenario.findings().await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
}

#[tokio::test]
async fn one_message_is_at_most_a_mebibyte() {
    for (size, reason) in [(1000 * 1000, None), (1024 * 1024, Some(Reason::ResponseTooLarge))] {
        let server = directory_of(move || {
            vec![entry(
                "uid=alice,dc=example,dc=org",
                &[("mail", "x".repeat(size).as_str()), ("gidNumber", "1")],
            )]
        });
        let findings = Scenario::hostile(server.address()).findings().await;
        assert_eq!(findings.failure().map(|failure| failure.reason), reason, "{}", show(&findings));
    }
}

#[tokio::test]
async fn large_entries_are_read_up_to_a_limit() {
    let server = directory_of(|| {
        let photo = "x".repeat(1024 * 1024);
        let attributes = [("mail", photo.as_str()), ("gidNumber", "1")];
        vec![entry("uid=alice,dc=example,dc=org", &attributes); 9]
    });
    let findings =
        Scenario::hostile(server.address()).with("testUsers: [{filter: (uid=alice)}]").findings().await;
    // The search from the base finds one of them already.
    assert_failure(findings.failure().unwrap(), &CheckName::BaseDnExists, Reason::ResponseTooLarge);
    // Nothing more is asked on a connection that is over.
    assert_eq!(findings.list.last().unwrap().reason, Reason::NotReached);
}
