//! Passwords that expire, have expired or must be changed, against OpenLDAP's password policies.

use test_support::{CertificateAuthority, Leaf, Slapd};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason, names::CredentialsAnswer};

use super::{PASSWORD, Scenario, assert_failure, finding, show};

const AGING_DN: &str = "cn=aging,ou=services,dc=example,dc=org";

/// An account whose password is as old as the policy says, with its own attributes for that.
fn aging(policy: &str, account: &str) -> String {
    format!(
        "
dn: cn=aging,ou=policies,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
cn: aging
pwdAttribute: userPassword
{policy}

dn: {AGING_DN}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: aging
userPassword: {PASSWORD}
pwdPolicySubentry: cn=aging,ou=policies,dc=example,dc=org
{account}
"
    )
}

const LONG_AGO: &str = "pwdChangedTime: 20200101000000Z";
/// Decades, which end long after every test and are announced from the first day on.
const ANNOUNCED: &str = "pwdMaxAge: 2147483647\npwdExpireWarning: 2147483647";

fn slapd(policy: &str, account: &str) -> Slapd {
    Slapd::builder(PASSWORD).extra_ldif(&aging(policy, account)).start().unwrap()
}

#[tokio::test]
async fn a_password_that_must_be_changed_has_expired() {
    for (policy, account, words) in [
        ("pwdMaxAge: 60", LONG_AGO, "has expired"),
        // Every check would use one of the last binds up.
        ("pwdMaxAge: 60\npwdGraceAuthNLimit: 3", LONG_AGO, "only a few more times"),
        ("pwdMustChange: TRUE", "pwdReset: TRUE", "must be changed"),
    ] {
        let slapd = slapd(policy, account);
        let findings = Scenario::plaintext(&slapd).bind(AGING_DN).findings().await;
        let failure =
            findings.failure().unwrap_or_else(|| panic!("{policy}: nothing failed: {}", show(&findings)));
        assert_failure(failure, &CheckName::Bind, Reason::PasswordExpired);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert_eq!(findings.credentials_answer(), Some(CredentialsAnswer::Refused));
        assert_eq!(slapd.bind_attempts(AGING_DN).unwrap(), 1);
    }
}

#[tokio::test]
async fn a_password_that_expires_soon_is_a_warning() {
    let certificate = CertificateAuthority::new("directory").unwrap().issue(&Leaf::loopback()).unwrap();
    let slapd = Slapd::builder(PASSWORD)
        .extra_ldif(&aging(ANNOUNCED, LONG_AGO))
        .certificate(&certificate)
        .start()
        .unwrap();
    let encrypted = Scenario::new(&slapd.ldaps_url().unwrap()).trusting(&certificate.authority_pem);
    for (scenario, remarks) in [
        (encrypted, &["expires soon"][..]),
        (Scenario::plaintext(&slapd), &["expires soon", "the connection is not encrypted"]),
    ] {
        let findings = scenario.bind(AGING_DN).findings().await;
        assert!(findings.failure().is_none(), "{}", show(&findings));
        let bind = finding(&findings, &CheckName::Bind);
        assert_eq!((bind.result, bind.reason), (CheckResult::Warning, Reason::PasswordExpiresSoon));
        for remark in remarks {
            assert!(bind.message.contains(remark), "{}", bind.message);
        }
    }
}
