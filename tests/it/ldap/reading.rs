//! What an account may search for and what it may read, and under which name, against OpenLDAP's access rules.

use test_support::Slapd;
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason},
    engine::Findings,
};

use super::{PASSWORD, Scenario, assert_failure, finding, show};

/// A directory with these access rules before its own.
fn slapd(rules: &str) -> Slapd {
    Slapd::builder(PASSWORD).database_lines(rules).start().unwrap()
}

async fn findings(slapd: &Slapd, fields: &str) -> Findings {
    Scenario::plaintext(slapd).with(fields).findings().await
}

#[tokio::test]
async fn an_attribute_that_may_only_be_searched_is_not_readable() {
    let slapd = slapd("access to attrs=mail by users search");
    let failed = findings(&slapd, "{}").await;
    let failure = failed.failure().unwrap_or_else(|| panic!("nothing failed: {}", show(&failed)));
    assert_failure(failure, &CheckName::AttributesPresent, Reason::NotReadable);
    assert!(
        failure.message.contains("can only search for it, and cannot read its values"),
        "{}",
        failure.message
    );
    // It is not for want of people.
    let other = findings(&slapd, "attributes: {email: uid, group: gidNumber}").await;
    assert!(other.failure().is_none(), "{}", show(&other));
}

#[tokio::test]
async fn a_test_user_whose_address_cannot_be_read_is_not_as_expected() {
    let rule = "access to dn.exact=\"uid=alice,ou=people,dc=example,dc=org\" attrs=mail by users search";
    let users = "testUsers: [{filter: (mail=alice@example.org)}, {filter: (uid=bob)}]";
    let findings = findings(&slapd(rule), users).await;
    let sampled = finding(&findings, &CheckName::AttributesPresent);
    assert_eq!(sampled.result, CheckResult::Passed, "{}", sampled.message);
    let alice = finding(&findings, &CheckName::TestUser(0));
    assert_failure(alice, &CheckName::TestUser(0), Reason::UnexpectedUser);
    assert!(alice.message.contains("has no mail that the account may read"), "{}", alice.message);
    assert_eq!(finding(&findings, &CheckName::TestUser(1)).result, CheckResult::Passed);
}

#[tokio::test]
async fn a_group_attribute_that_may_only_be_searched_matters_to_an_allow_list() {
    let slapd = slapd("access to attrs=gidNumber by users search");
    let warned = findings(&slapd, "{}").await;
    assert!(warned.failure().is_none(), "{}", show(&warned));
    let sampled = finding(&warned, &CheckName::AttributesPresent);
    assert_eq!((sampled.result, sampled.reason), (CheckResult::Warning, Reason::NotReadable));
    let listed = findings(&slapd, "groupAllowList: [wandb]").await;
    assert_failure(listed.failure().unwrap(), &CheckName::AttributesPresent, Reason::NotReadable);
}

#[tokio::test]
async fn members_that_may_only_be_searched_are_a_warning() {
    let hidden = slapd("access to attrs=member by users search");
    let findings = findings(&hidden, "groupAllowList: [wandb]").await;
    let listed = finding(&findings, &CheckName::GroupAllowList);
    assert_eq!((listed.result, listed.reason), (CheckResult::Warning, Reason::NotReadable));
    assert!(listed.message.contains("can search for the members of wandb"), "{}", listed.message);
}

#[tokio::test]
async fn a_name_that_the_directory_spells_otherwise_is_told() {
    let slapd = slapd("");
    for (attributes, field) in [
        ("{email: rfc822Mailbox, group: gidNumber}", "Set spec.attributes.email: mail."),
        ("{email: Mail, group: gidNumber}", "Set spec.attributes.email: mail."),
        ("{email: mail, group: GIDNUMBER}", "Set spec.attributes.group: gidNumber."),
    ] {
        let fields = format!("{{attributes: {attributes}, groupAllowList: [wandb]}}");
        let findings = findings(&slapd, &fields).await;
        let failure = findings.failure().unwrap_or_else(|| panic!("nothing failed: {}", show(&findings)));
        assert_failure(failure, &CheckName::AttributesPresent, Reason::AttributeNameDiffers);
        assert!(failure.message.contains(field), "{}", failure.message);
    }
    // An extra attribute is nothing that people could not log in without.
    let extra = findings(&slapd, "attributes: {email: mail, group: gidNumber, name: CN, family: sn}").await;
    assert!(extra.failure().is_none(), "{}", show(&extra));
    let sampled = finding(&extra, &CheckName::AttributesPresent);
    assert_eq!((sampled.result, sampled.reason), (CheckResult::Warning, Reason::AttributeNameDiffers));
    assert!(sampled.message.contains("Set spec.attributes.name: cn."), "{}", sampled.message);
}

#[tokio::test]
async fn a_name_with_an_option_is_read_as_it_is_written() {
    let person = "
dn: uid=dora,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: dora
cn: dora
sn: Example
mail;lang-en: dora@example.org
departmentNumber: 7";
    let slapd = Slapd::builder(PASSWORD).extra_ldif(person).start().unwrap();
    let search = "userSearch: {objectClass: inetOrgPerson}";
    let user = "testUsers: [{filter: (uid=dora)}]";
    let written =
        format!("{{{search}, {user}, attributes: {{email: mail;lang-en, group: departmentNumber}}}}");
    let written = findings(&slapd, &written).await;
    assert!(written.failure().is_none(), "{}", show(&written));
    let without = findings(&slapd, &format!("{{{search}, {user}}}")).await;
    let dora = finding(&without, &CheckName::TestUser(0));
    assert_failure(dora, &CheckName::TestUser(0), Reason::UnexpectedUser);
    assert!(dora.message.contains("only under another spelling"), "{}", dora.message);
}

#[tokio::test]
async fn the_base_entry_itself_need_not_be_readable() {
    let rule = "access to dn.base=\"dc=example,dc=org\" by anonymous auth by users search";
    let passed = findings(&slapd(rule), "{}").await;
    assert!(passed.failure().is_none(), "{}", show(&passed));
    let none = "access to dn.base=\"dc=example,dc=org\" by anonymous auth by users none";
    let failed = findings(&slapd(none), "{}").await;
    assert_failure(failed.failure().unwrap(), &CheckName::BaseDnExists, Reason::BaseDnNotFound);
}
