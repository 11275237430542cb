//! Every check of `LdapConfig` against a real directory, and against servers that are none.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be set up fails its test")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use test_support::{
    Certificate, CertificateAuthority, Leaf, Slapd, free_port,
    hostile::{TcpServer, ldap as hostile},
};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, LdapConfig, Reason},
    engine::{self, Fetched, Finding, Findings, ObjectKey, Planned, Prepared, ReferenceSource},
    net::{EgressPolicy, Network},
};

const PASSWORD: &str = "a service's secret";
const LIMIT: Duration = Duration::from_secs(20);
/// For servers that never answer: long enough for the checks before that.
const SHORT_LIMIT: Duration = Duration::from_millis(1500);

/// A resource whose spec is the given YAML under the one of a directory that is right in everything else.
struct Scenario {
    spec: serde_yaml::Mapping,
    password: String,
    authority: Option<String>,
}

impl Scenario {
    /// Binds as the service account.
    fn new(address: &str) -> Self {
        Self { spec: serde_yaml::Mapping::new(), password: PASSWORD.to_owned(), authority: None }
            .with(&format!("{{address: '{address}', baseDN: '{}'}}", Slapd::SUFFIX))
            .bind(Slapd::SERVICE_DN)
    }

    fn plaintext(slapd: &Slapd) -> Self {
        Self::new(&slapd.ldap_url()).with("insecurePlaintext: true")
    }

    fn hostile(address: SocketAddr) -> Self {
        Self::new(&format!("ldap://{address}")).with("insecurePlaintext: true")
    }

    /// Sets fields of the spec.
    fn with(mut self, yaml: &str) -> Self {
        let fields: serde_yaml::Mapping = serde_yaml::from_str(yaml).unwrap();
        self.spec.extend(fields);
        self
    }

    fn without(mut self, field: &str) -> Self {
        self.spec.remove(field);
        self
    }

    fn bind(self, dn: &str) -> Self {
        self.with(&format!("bind: {{dn: '{dn}', passwordSecretRef: {{name: ldap, key: password}}}}"))
    }

    fn password(self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self }
    }

    fn trusting(self, authority_pem: &str) -> Self {
        let tls = "tls: {caBundle: {configMapKeyRef: {name: ca, key: ca.crt}}}";
        Self { authority: Some(authority_pem.to_owned()), ..self.with(tls) }
    }

    fn planned(&self, network: &Network) -> Planned<LdapConfig> {
        let spec = serde_json::to_value(&self.spec).unwrap();
        let object = serde_json::from_value(serde_json::json!({
            "apiVersion": "auth.wandb.com/v1alpha1",
            "kind": "LdapConfig",
            "metadata": {"name": "corp"},
            "spec": spec,
        }));
        let object: LdapConfig = object.unwrap();
        let found = |key: &str, value: &str| Fetched::Found {
            version: "1".into(),
            data: BTreeMap::from([(key.to_owned(), value.as_bytes().to_vec())]),
        };
        let key = |source, name: &str| ObjectKey { source, name: name.to_owned() };
        let mut objects =
            BTreeMap::from([(key(ReferenceSource::Secret, "ldap"), found("password", &self.password))]);
        if let Some(pem) = &self.authority {
            objects.insert(key(ReferenceSource::ConfigMap, "ca"), found("ca.crt", pem));
        }
        match engine::prepare(&object, &objects, &network.system_trust) {
            Prepared::Planned(planned) => planned,
            Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => panic!("{problem:?}"),
        }
    }

    async fn findings_within(&self, limit: Duration) -> Findings {
        let network = Network::new(EgressPolicy::Enforced {
            allowed: vec!["127.0.0.0/8".parse().unwrap()],
            api_server: Vec::new(),
        });
        let planned = self.planned(&network);
        engine::probe(&planned, &network, limit).await
    }

    async fn findings(&self) -> Findings {
        self.findings_within(LIMIT).await
    }

    /// The first failed check.
    async fn failure(&self) -> Finding {
        self.failure_within(LIMIT).await
    }

    async fn failure_within(&self, limit: Duration) -> Finding {
        let findings = self.findings_within(limit).await;
        findings.failure().cloned().unwrap_or_else(|| panic!("nothing failed: {}", show(&findings)))
    }
}

fn show(findings: &Findings) -> String {
    let lines = findings.list.iter().map(|finding| {
        let Finding { name, result, reason, message, .. } = finding;
        format!("{result:?} {name} {reason}: {message}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn assert_failure(finding: &Finding, name: CheckName, reason: Reason) {
    assert_eq!((finding.name, finding.reason), (name, reason), "{}", finding.message);
}

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
    assert_failure(&failure, CheckName::Bind, Reason::AnonymousRefused);
}

#[tokio::test]
async fn finds_a_wrong_port() {
    let port = free_port().unwrap();
    let failure = Scenario::new(&format!("ldaps://127.0.0.1:{port}")).failure().await;
    assert_failure(&failure, CheckName::TcpConnects, Reason::ConnectionRefused);
}

#[tokio::test]
async fn finds_the_plain_port_behind_ldaps() {
    let slapd = slapd_with(&certificate(&Leaf::loopback()));
    let address = format!("ldaps://127.0.0.1:{}", slapd.port());
    let failure = Scenario::new(&address).failure().await;
    assert_eq!(failure.name, CheckName::TlsVerifies);
    assert!(failure.message.contains("Check that the port is the encrypted one"), "{}", failure.message);
}

#[tokio::test]
async fn finds_the_encrypted_port_behind_ldap() {
    let slapd = slapd_with(&certificate(&Leaf::loopback()));
    let address = SocketAddr::from((slapd.ip(), slapd.ldaps_port().unwrap()));
    let failure = Scenario::hostile(address).failure().await;
    assert_eq!(failure.name, CheckName::Bind);
    assert!(
        matches!(failure.reason, Reason::ConnectionClosed | Reason::ProtocolError),
        "{}",
        failure.message
    );
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
            assert_failure(&failure, CheckName::TlsVerifies, reason);
        }
        // A password never goes to a server that is not verified.
        assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 0);
    }
}

#[tokio::test]
async fn takes_the_name_from_the_spec() {
    let certificate = certificate(&Leaf::loopback().only_for("ldap.example.org"));
    let slapd = slapd_with(&certificate);
    let mut scenario = Scenario::new(&slapd.ldaps_url().unwrap()).trusting(&certificate.authority_pem);
    scenario = scenario
        .with("tls: {serverName: ldap.example.org, caBundle: {configMapKeyRef: {name: ca, key: ca.crt}}}");
    let findings = scenario.findings().await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
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
    assert_failure(&failure, CheckName::StartTls, Reason::StartTlsRefused);
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 0);
}

#[tokio::test]
async fn tries_a_wrong_password_once() {
    let slapd = slapd();
    let findings = Scenario::plaintext(&slapd).password("not the password").findings().await;
    let failure = findings.failure().unwrap();
    assert_failure(failure, CheckName::Bind, Reason::InvalidCredentials);
    assert!(failure.message.contains("not tried again"), "{}", failure.message);
    assert!(!show(&findings).contains("not the password"));
    assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN).unwrap(), 1);
}

#[tokio::test]
async fn says_that_an_account_is_locked() {
    let slapd = slapd();
    let failure = Scenario::plaintext(&slapd).bind(Slapd::LOCKED_DN).failure().await;
    assert_failure(&failure, CheckName::Bind, Reason::AccountLocked);
}

#[tokio::test]
async fn says_that_active_directory_names_are_not_for_every_directory() {
    let slapd = slapd();
    let failure = Scenario::plaintext(&slapd).bind("wandb@example.org").failure().await;
    assert_failure(&failure, CheckName::Bind, Reason::InvalidCredentials);
}

#[tokio::test]
async fn shows_the_closest_entry_to_a_missing_base() {
    let slapd = slapd();
    let scenario = Scenario::plaintext(&slapd).with("baseDN: 'ou=staff,ou=people,dc=example,dc=org'");
    let failure = scenario.failure().await;
    assert_failure(&failure, CheckName::BaseDnExists, Reason::BaseDnNotFound);
    assert!(failure.message.contains("ou=people,dc=example,dc=org. Check the DN"), "{}", failure.message);
    let elsewhere = Scenario::plaintext(&slapd).with("userSearch: {baseDN: 'ou=staff,dc=example,dc=org'}");
    let failure = elsewhere.failure().await;
    assert_failure(&failure, CheckName::BaseDnExists, Reason::BaseDnNotFound);
    assert!(failure.message.starts_with("spec.userSearch.baseDN"), "{}", failure.message);
}

#[tokio::test]
async fn recognises_an_attribute_map_in_the_base_dn() {
    let slapd = slapd();
    let failure = Scenario::plaintext(&slapd).with("baseDN: 'email=mail,group=gidNumber'").failure().await;
    assert_failure(&failure, CheckName::BaseDnExists, Reason::BaseDnNotFound);
    assert!(failure.message.contains("looks like an attribute map"), "{}", failure.message);
}

#[tokio::test]
async fn finds_attributes_that_nobody_has() {
    let slapd = slapd();
    let with = |attributes: &str| Scenario::plaintext(&slapd).with(&format!("attributes: {attributes}"));
    let failure = with("{email: mailAddress, group: gidNumber}").failure().await;
    assert_failure(&failure, CheckName::AttributesPresent, Reason::AttributeMissing);
    assert!(failure.message.starts_with("0 of 3 sampled entries carry mailAddress"), "{}", failure.message);

    let findings = with("{email: mail, group: departmentNumber}").findings().await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
    let warned = findings.list.iter().find(|finding| finding.name == CheckName::AttributesPresent).unwrap();
    assert_eq!((warned.result, warned.reason), (CheckResult::Warning, Reason::AttributeMissing));

    let listed = with("{email: mail, group: departmentNumber}").with("groupAllowList: [wandb]");
    assert_failure(&listed.failure().await, CheckName::AttributesPresent, Reason::AttributeMissing);
}

#[tokio::test]
async fn finds_nobody_where_nobody_is() {
    let slapd = slapd();
    let scenario =
        Scenario::plaintext(&slapd).with(&format!("userSearch: {{baseDN: '{}'}}", Slapd::GROUPS_DN));
    assert_failure(&scenario.failure().await, CheckName::AttributesPresent, Reason::NoUsersFound);
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

#[tokio::test]
async fn a_silent_server_uses_the_time_up_at_its_check() {
    let server = TcpServer::black_hole().unwrap();
    let address = server.address();
    for (scenario, name) in [
        (Scenario::new(&format!("ldaps://{address}")), CheckName::TlsVerifies),
        (Scenario::new(&format!("ldap://{address}")).with("startTLS: true"), CheckName::StartTls),
        (Scenario::hostile(address), CheckName::Bind),
    ] {
        assert_failure(&scenario.failure_within(SHORT_LIMIT).await, name, Reason::TimedOut);
    }
}

#[tokio::test]
async fn a_server_that_closes_is_named_so() {
    let server = TcpServer::closes().unwrap();
    let failure = Scenario::hostile(server.address()).failure().await;
    assert_failure(&failure, CheckName::Bind, Reason::ConnectionClosed);
}

#[tokio::test]
async fn garbage_is_no_ldap() {
    let server = hostile::answers_garbage().unwrap();
    let address = server.address();
    let failure = Scenario::hostile(address).failure().await;
    assert_failure(&failure, CheckName::Bind, Reason::ProtocolError);
    let start_tls = Scenario::new(&format!("ldap://{address}")).with("startTLS: true").failure().await;
    assert_failure(&start_tls, CheckName::StartTls, Reason::ProtocolError);

    let web = TcpServer::sends(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    let failure = Scenario::hostile(web.address()).failure().await;
    assert_failure(&failure, CheckName::Bind, Reason::ProtocolError);
}

#[tokio::test]
async fn huge_answers_are_not_read() {
    let gibibyte = hostile::announces_a_gibibyte().unwrap();
    let failure = Scenario::hostile(gibibyte.address()).failure().await;
    assert_failure(&failure, CheckName::Bind, Reason::ResponseTooLarge);
}

#[tokio::test]
async fn endless_entries_come_to_an_end() {
    let endless = hostile::sends_endless_entries().unwrap();
    let failure = Scenario::hostile(endless.address()).failure().await;
    assert_failure(&failure, CheckName::BaseDnExists, Reason::ProtocolError);
}

#[tokio::test]
async fn start_tls_without_a_handshake_uses_the_time_up() {
    let server = hostile::agrees_to_start_tls_only().unwrap();
    let scenario = Scenario::new(&format!("ldap://{}", server.address())).with("startTLS: true");
    assert_failure(&scenario.failure_within(SHORT_LIMIT).await, CheckName::TlsVerifies, Reason::TimedOut);
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
    assert_failure(&failure, CheckName::StartTls, Reason::ProtocolError);
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
        assert_failure(&failure, CheckName::Bind, Reason::ProtocolError);
    }
}
