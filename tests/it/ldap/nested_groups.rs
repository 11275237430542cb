//! Groups within groups, which W&B may not follow.

use test_support::Slapd;
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason},
    engine::{Finding, Findings},
};

use super::{
    PASSWORD, Scenario,
    domain::{Domain, findings},
    finding, show,
};

const INNER: &str = "cn=inner,cn=users,dc=example,dc=org";
const OUTER: &str = "cn=outer,cn=users,dc=example,dc=org";
const ALICE: &str = "cn=alice,cn=users,dc=example,dc=org";

/// As Active Directory shows it: alice is in `inner`, and `outer` holds nothing but `inner`.
fn domain() -> Domain {
    let person = [
        ("objectClass", "person"),
        ("objectClass", "user"),
        ("cn", "alice"),
        ("mail", "alice@example.org"),
        ("memberOf", INNER),
    ];
    Domain::empty()
        .with(ALICE, &person)
        .with_person("bob", "513")
        .with_group("inner", &[("member", ALICE), ("memberOf", OUTER)])
        .with_group("outer", &[("member", INNER), ("primaryGroupToken", "1200")])
        .with_group("lonely", &[("primaryGroupToken", "1201")])
}

fn fields(allow_list: &str, expectation: &str) -> String {
    format!(
        "attributes: {{email: mail, group: memberOf}}
groupAllowList: {allow_list}
testUsers: [{{filter: (cn=alice), expect: {expectation}}}]"
    )
}

fn assert_nested(finding: &Finding) {
    assert_eq!(
        (finding.result, finding.reason),
        (CheckResult::Warning, Reason::NestedGroups),
        "{}",
        finding.message
    );
    assert!(finding.message.contains("W&B does not document whether it follows"), "{}", finding.message);
}

#[tokio::test]
async fn who_is_in_only_through_another_group_gets_a_remark() {
    for expectation in ["{groups: [outer]}", "{allowed: true}", "{allowed: false}"] {
        let findings = findings(domain(), &fields("[outer]", expectation)).await;
        assert!(findings.failure().is_none(), "{}", show(&findings));
        assert_nested(finding(&findings, &CheckName::TestUser(0)));
    }
    let direct = findings(domain(), &fields("[inner, outer]", "{groups: [inner], allowed: true}")).await;
    assert_eq!(finding(&direct, &CheckName::TestUser(0)).result, CheckResult::Passed, "{}", show(&direct));
    let stranger = fields("[outer]", "{allowed: true}").replace("cn=alice", "cn=bob");
    let stranger = findings(domain(), &stranger).await;
    assert_eq!(stranger.failure().unwrap().reason, Reason::UnexpectedUser);
}

#[tokio::test]
async fn a_primary_group_within_a_group_is_nested_too() {
    let users = "cn=Domain Users,cn=users,dc=example,dc=org";
    let domain = domain()
        .with_group("Domain Users", &[("primaryGroupToken", "513"), ("memberOf", OUTER)])
        .with_group("all", &[("member", users)]);
    let bob = fields("[outer]", "{allowed: true}").replace("cn=alice", "cn=bob");
    let findings = findings(domain, &bob).await;
    assert_nested(finding(&findings, &CheckName::TestUser(0)));
}

#[tokio::test]
async fn a_group_that_holds_only_groups_gets_a_remark() {
    let nested = findings(domain(), &fields("[outer]", "{}")).await;
    let listed = finding(&nested, &CheckName::GroupAllowList);
    assert_nested(listed);
    assert!(listed.message.contains("among the members of outer"), "{}", listed.message);
    let direct = findings(domain(), &fields("[inner]", "{}")).await;
    assert_eq!(finding(&direct, &CheckName::GroupAllowList).result, CheckResult::Passed, "{}", show(&direct));
}

#[tokio::test]
async fn what_cannot_be_searched_for_gets_no_remark_and_fails_nothing() {
    for code in [1, 50, 51, 53] {
        for attribute in ["memberOf", "member"] {
            let domain = || domain().without_index(code, attribute);
            let outer = findings(domain(), &fields("[outer]", "{}")).await;
            assert!(outer.failure().is_none(), "{code} {attribute}: {}", show(&outer));
            // Alice's entry tells of the inner group, and that one's entry of the outer one is not known.
            let alice = fields("[inner, outer]", "{groups: [inner], allowed: true}");
            let direct = findings(domain(), &alice).await;
            assert!(direct.failure().is_none(), "{code} {attribute}: {}", show(&direct));
            let stranger = fields("[outer]", "{allowed: false}").replace("cn=alice", "cn=bob");
            let stranger = findings(domain(), &stranger).await;
            assert!(stranger.failure().is_none(), "{code} {attribute}: {}", show(&stranger));
        }
    }
    let outer = findings(domain().without_index(53, "memberOf"), &fields("[outer]", "{}")).await;
    let listed = finding(&outer, &CheckName::GroupAllowList);
    assert_eq!(listed.result, CheckResult::Passed, "{}", show(&outer));
}

#[tokio::test]
async fn the_group_without_members_is_named() {
    let nobody = findings(domain(), &fields("[lonely]", "{}")).await;
    let listed = finding(&nobody, &CheckName::GroupAllowList);
    assert_eq!((listed.result, listed.reason), (CheckResult::Failed, Reason::NobodyAllowed));
    assert!(listed.message.contains("(lonely)"), "{}", listed.message);
    let somebody = findings(domain(), &fields("[inner, lonely]", "{}")).await;
    let listed = finding(&somebody, &CheckName::GroupAllowList);
    assert_eq!((listed.result, listed.reason), (CheckResult::Warning, Reason::GroupEmpty));
    assert!(listed.message.contains("Nobody is a member of lonely"), "{}", listed.message);
}

const NESTED: &str = "
dn: cn=team,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: team
member: uid=carol,ou=people,dc=example,dc=org

dn: cn=company,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: company
member: cn=team,ou=groups,dc=example,dc=org

dn: cn=mixed,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: mixed
member: cn=team,ou=groups,dc=example,dc=org
member: uid=alice,ou=people,dc=example,dc=org
";

#[tokio::test]
async fn openldap_has_groups_within_groups_too() {
    let slapd = Slapd::builder(PASSWORD).extra_ldif(NESTED).start().unwrap();
    let look = async |list: &str, user: &str| -> Findings {
        let fields = format!(
            "groupAllowList: {list}\ntestUsers: [{{filter: (uid={user}), expect: {{allowed: true}}}}]"
        );
        Scenario::plaintext(&slapd).with(&fields).findings().await
    };
    let company = look("[company]", "carol").await;
    assert_nested(finding(&company, &CheckName::GroupAllowList));
    assert_nested(finding(&company, &CheckName::TestUser(0)));
    let mixed = look("[mixed]", "alice").await;
    for name in [CheckName::GroupAllowList, CheckName::TestUser(0)] {
        assert_eq!(finding(&mixed, &name).result, CheckResult::Passed, "{}", show(&mixed));
    }
}
