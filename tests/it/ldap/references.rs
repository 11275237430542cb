//! Domains that refer to the other parts of their forest in every search.

use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    assert_failure,
    domain::{Domain, failure, findings},
    finding,
};

const ATTRIBUTES: &str = "attributes: {email: mail, group: primaryGroupID}";

#[tokio::test]
async fn what_is_not_there_is_not_elsewhere() {
    let absent =
        failure(Domain::company(), &format!("groupAllowList: [wandb, nonsense]\n{ATTRIBUTES}")).await;
    assert_failure(&absent, &CheckName::GroupAllowList, Reason::GroupNotFound);

    let findings =
        findings(Domain::company(), &format!("groupAllowList: [wandb, nobody]\n{ATTRIBUTES}")).await;
    let empty = finding(&findings, &CheckName::GroupAllowList);
    assert_eq!((empty.result, empty.reason), (CheckResult::Warning, Reason::GroupEmpty), "{}", empty.message);

    let absent = failure(Domain::company(), "testUsers: [{filter: (cn=mallory)}]").await;
    assert_failure(&absent, &CheckName::TestUser(0), Reason::UserNotFound);
    assert!(!absent.message.contains("other servers"), "{}", absent.message);
}

#[tokio::test]
async fn a_domain_without_people_may_have_them_elsewhere() {
    let nobody = failure(Domain::empty(), "{}").await;
    assert_failure(&nobody, &CheckName::AttributesPresent, Reason::NoUsersFound);
    assert!(nobody.message.contains("refers to other servers"), "{}", nobody.message);
}
