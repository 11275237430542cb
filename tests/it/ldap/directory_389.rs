//! Against 389 Directory Server, whose limits and refusals are not those of OpenLDAP.

use test_support::{Directory389, Directory389Builder};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason},
    engine::Findings,
};

use super::{PASSWORD, Scenario, assert_failure, finding, show};

fn builder() -> Directory389Builder {
    Directory389::builder(PASSWORD)
}

async fn findings(server: &Directory389, fields: &str) -> Findings {
    let scenario = Scenario::new(&server.ldap_url()).with("insecurePlaintext: true");
    scenario.with("attributes: {email: mail, group: departmentNumber}").with(fields).findings().await
}

#[tokio::test]
async fn a_lookthrough_limit_is_a_warning_where_the_test_users_can_be_found() {
    let server = builder().lookthrough_limit(50).people(200).start().unwrap();
    let alice = "testUsers: [{filter: (uid=alice), expect: {email: alice@example.org}}]";
    let limited = findings(&server, alice).await;
    assert!(limited.failure().is_none(), "{}", show(&limited));
    let sampled = finding(&limited, &CheckName::AttributesPresent);
    assert_eq!(
        (sampled.result, sampled.reason),
        (CheckResult::Warning, Reason::SearchLimited),
        "{}",
        show(&limited)
    );
    assert_eq!(finding(&limited, &CheckName::TestUser(0)).result, CheckResult::Passed);
    let undecided = findings(&server, "testUsers: [{filter: (departmentNumber=9)}]").await;
    assert!(
        undecided.failure().is_some_and(|failure| failure.reason == Reason::SearchLimited),
        "{}",
        show(&undecided)
    );
}

#[tokio::test]
async fn everything_passes_without_a_limit() {
    let server = builder().people(200).start().unwrap();
    let alice = "testUsers: [{filter: (uid=alice), expect: {allowed: true}}]\ngroupAllowList: [wandb]";
    let passed = findings(&server, alice).await;
    assert!(passed.failure().is_none(), "{}", show(&passed));
    let sampled = finding(&passed, &CheckName::AttributesPresent);
    assert_eq!(sampled.message, "100 of 100 sampled entries carry mail, 100 carry departmentNumber.");
    assert_eq!(finding(&passed, &CheckName::GroupAllowList).result, CheckResult::Passed, "{}", show(&passed));
}

#[tokio::test]
async fn a_refused_account_is_told_in_its_own_words() {
    for (server, reason, words) in [
        (builder().locked(), Reason::AccountLocked, "Exceed password retry limit"),
        (
            builder().service_attribute("nsAccountLock", "true"),
            Reason::AccountDisabled,
            "Account inactivated",
        ),
        (
            builder()
                .setting("passwordExp", "on")
                .service_attribute("passwordExpirationTime", "20200101000000Z"),
            Reason::PasswordExpired,
            "password expired!",
        ),
    ] {
        let server = server.start().unwrap();
        let refused = findings(&server, "{}").await;
        let failure = refused.failure().unwrap_or_else(|| panic!("nothing failed: {}", show(&refused)));
        assert_failure(failure, &CheckName::Bind, reason);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(failure.message.contains("does not try it again"), "{}", failure.message);
    }
}
