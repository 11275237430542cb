//! Entries that look like people's but are not.

use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    assert_failure,
    domain::{Domain, failure, findings},
    finding, show,
};

#[tokio::test]
async fn computers_are_not_people() {
    let domain = Domain::empty().with_computers(150).with_person("alice", "513").with_person("bob", "513");
    let findings = findings(domain, "attributes: {email: mail, group: primaryGroupID}").await;
    let sampled = finding(&findings, &CheckName::AttributesPresent);
    assert_eq!(sampled.message, "2 of 2 sampled entries carry mail, 2 carry primaryGroupID.");
}

#[tokio::test]
async fn an_attribute_is_missing_only_where_nobody_has_it() {
    let domain = || Domain::empty().with_computers(150).with_person("alice", "513");
    let class = "userSearch: {objectClass: user}";
    for (email, group, result) in [
        ("mail", "primaryGroupID", CheckResult::Warning),
        ("mail", "department", CheckResult::Warning),
        ("mail;lang-en", "primaryGroupID", CheckResult::Failed),
        ("proxyAddresses", "primaryGroupID", CheckResult::Failed),
    ] {
        let fields = format!("{{{class}, attributes: {{email: {email}, group: {group}}}}}");
        let findings = findings(domain(), &fields).await;
        let sampled = finding(&findings, &CheckName::AttributesPresent);
        assert_eq!((sampled.result, sampled.reason), (result, Reason::AttributeMissing), "{fields}");
        if group == "primaryGroupID" && result == CheckResult::Warning {
            assert!(
                sampled.message.starts_with(
                    "0 of 100 sampled entries carry mail, 0 carry primaryGroupID, although other entries carry mail and primaryGroupID."
                ),
                "{}",
                sampled.message
            );
        }
    }
    let listed = "{userSearch: {objectClass: user}, attributes: {email: mail, group: department}, groupAllowList: [x]}";
    assert_failure(&failure(domain(), listed).await, &CheckName::AttributesPresent, Reason::AttributeMissing);
    let listed = "{userSearch: {objectClass: user}, attributes: {email: mail, group: primaryGroupID}, groupAllowList: ['513']}";
    let findings = findings(domain(), listed).await;
    assert!(findings.failure().is_none(), "{}", show(&findings));
}
