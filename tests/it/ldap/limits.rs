//! Directories that end searches at limits of their own.

use test_support::{Slapd, hostile::TcpServer};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason},
    engine::Findings,
};

use super::{
    PASSWORD, Scenario, assert_failure, finding,
    scripted::{BIND, BIND_RESPONSE, SEARCH_DONE, directory, entry, is_base_search, result},
    show,
};

/// Limits for the service account, and an index by which one person is found within them.
fn slapd(limit: &str) -> Slapd {
    let lines = format!("index objectClass,uid eq\nlimits dn.exact=\"{}\" {limit}", Slapd::SERVICE_DN);
    Slapd::builder(PASSWORD).database_lines(&lines).start().unwrap()
}

async fn findings(slapd: &Slapd, fields: &str) -> Findings {
    Scenario::plaintext(slapd).with(fields).findings().await
}

const ALICE: &str = "testUsers: [{filter: (uid=alice), expect: {email: alice@example.org, groups: ['cn=wandb,ou=groups,dc=example,dc=org']}}]";

fn assert_limited(findings: &Findings, name: &CheckName) {
    let limited = finding(findings, name);
    assert_eq!(
        (limited.result, limited.reason),
        (CheckResult::Warning, Reason::SearchLimited),
        "{}",
        limited.message
    );
    assert!(
        limited.message.contains("The directory limits searches")
            || limited.message.contains("the directory limits searches"),
        "{}",
        limited.message
    );
}

#[tokio::test]
async fn a_limit_is_a_warning_where_the_test_users_can_be_found() {
    let slapd = slapd("size.unchecked=1");
    let findings = findings(&slapd, ALICE).await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
    assert_limited(&findings, &CheckName::BaseDnExists);
    assert_limited(&findings, &CheckName::AttributesPresent);
    let sampled = finding(&findings, &CheckName::AttributesPresent);
    assert!(sampled.message.starts_with("1 of 1 test user carries mail"), "{}", sampled.message);
    assert_eq!(finding(&findings, &CheckName::TestUser(0)).result, CheckResult::Passed);
}

#[tokio::test]
async fn a_limit_fails_what_cannot_be_decided() {
    let slapd = slapd("size.unchecked=1");
    let nobody = findings(&slapd, "{}").await;
    assert_failure(nobody.failure().unwrap(), &CheckName::AttributesPresent, Reason::SearchLimited);
    let unindexed = findings(&slapd, "testUsers: [{filter: (uid=alice)}, {filter: (sn=Example)}]").await;
    assert_failure(unindexed.failure().unwrap(), &CheckName::TestUser(1), Reason::SearchLimited);
    let missing = findings(
        &slapd,
        "{attributes: {email: departmentNumber, group: gidNumber}, testUsers: [{filter: (uid=alice)}]}",
    )
    .await;
    assert_failure(missing.failure().unwrap(), &CheckName::AttributesPresent, Reason::SearchLimited);
}

#[tokio::test]
async fn groups_are_judged_by_the_test_users_where_searches_end_early() {
    let slapd = slapd("size.unchecked=1");
    let by_dn = format!("groupAllowList: ['cn=wandb,ou=groups,dc=example,dc=org']\n{ALICE}");
    let findings_by_dn = findings(&slapd, &by_dn).await;
    assert!(findings_by_dn.failure().is_none(), "{}", show(&findings_by_dn));
    // A name must be searched for.
    let by_name = findings(&slapd, &format!("groupAllowList: [developers]\n{ALICE}")).await;
    assert!(by_name.failure().is_none(), "{}", show(&by_name));
    assert_limited(&by_name, &CheckName::GroupAllowList);
}

#[tokio::test]
async fn a_part_of_the_sample_is_a_sample() {
    let findings = findings(&slapd("size.soft=2 size.hard=2"), ALICE).await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
    assert_limited(&findings, &CheckName::AttributesPresent);
    let sampled = finding(&findings, &CheckName::AttributesPresent);
    assert!(sampled.message.starts_with("2 of 2 sampled entries carry mail"), "{}", sampled.message);
}

/// Ends every search for everybody with this code, after as many people as given.
fn gives_up(code: u8, people: usize) -> TcpServer {
    directory(move |operation, arguments| {
        if operation == BIND {
            return vec![(BIND_RESPONSE, result(0, ""))];
        }
        let alice = entry("uid=alice,dc=example,dc=org", &[("mail", "a@example.org"), ("gidNumber", "1")]);
        let one = is_base_search(arguments)
            || format!("{:?}", arguments.get(6)).contains(&format!("{:?}", b"alice"));
        if one {
            return vec![alice, (SEARCH_DONE, result(0, ""))];
        }
        let mut answers = vec![alice; people];
        answers.push((SEARCH_DONE, result(code, "no more")));
        answers
    })
}

#[tokio::test]
async fn every_code_for_a_limit_means_the_same() {
    for code in [3, 4, 11] {
        for people in [0, 1] {
            let server = gives_up(code, people);
            let scenario = Scenario::hostile(server.address());
            let with_alice = scenario.with("testUsers: [{filter: (uid=alice)}]").findings().await;
            assert!(with_alice.failure().is_none(), "{code}: {}", show(&with_alice));
            assert_limited(&with_alice, &CheckName::AttributesPresent);
        }
        let alone = Scenario::hostile(gives_up(code, 0).address()).failure().await;
        assert_failure(&alone, &CheckName::AttributesPresent, Reason::SearchLimited);
    }
}
