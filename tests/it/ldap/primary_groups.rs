//! Groups of Active Directory whose members are recorded as a number with each person.

use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    assert_failure,
    domain::{Domain, failure, findings},
    finding, show,
};

const PRIMARY_GROUP: &str = "
attributes: {email: mail, group: memberOf}
groupAllowList: [Domain Users]
";

#[tokio::test]
async fn a_primary_group_has_members_that_it_does_not_list() {
    let domain = Domain::company().with_group("Domain Users", &[("primaryGroupToken", "513")]);
    let alice = "testUsers: [{filter: (cn=alice), expect: {groups: [Domain Users], allowed: true}}]";
    // Otherwise nobody has the attribute.
    let bob = [("objectClass", "user"), ("memberOf", "cn=wandb,cn=users,dc=example,dc=org")];
    let domain = domain.with("cn=bob,cn=users,dc=example,dc=org", &bob);
    let findings = findings(domain, &format!("{PRIMARY_GROUP}{alice}")).await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
    let listed = finding(&findings, &CheckName::GroupAllowList);
    assert_eq!((listed.result, listed.reason), (CheckResult::Warning, Reason::GroupEmpty));
    assert!(listed.message.contains("primary group"), "{}", listed.message);
}

#[tokio::test]
async fn nobody_is_allowed_only_where_that_can_be_known() {
    let bob = [("objectClass", "user"), ("mail", "b@example.org"), ("memberOf", "cn=wandb")];
    let domain = || Domain::company().with("cn=bob,cn=users,dc=example,dc=org", &bob);
    let known = domain().with_group("Domain Users", &[("primaryGroupToken", "514")]);
    let failure = failure(known, PRIMARY_GROUP).await;
    assert_failure(&failure, &CheckName::GroupAllowList, Reason::NobodyAllowed);

    let findings = findings(domain().with_group("Domain Users", &[]), PRIMARY_GROUP).await;
    let listed = finding(&findings, &CheckName::GroupAllowList);
    assert_eq!(
        (listed.result, listed.reason),
        (CheckResult::Warning, Reason::GroupEmpty),
        "{}",
        listed.message
    );
    assert!(listed.message.contains("The operator cannot see who is in"), "{}", listed.message);
}
