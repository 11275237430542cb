//! The values that W&B Server reads.

mod inverse;

use super::{Directory, GroupName, LdapPlan, LdapProtection};
use crate::engine::{Env, RenderContext, Values};

pub(super) const ADDRESS: Env =
    Env { local: Some("LOCAL_LDAP_ADDRESS"), split: &["LDAP_ADDRESS"], field: None };
pub(super) const BASE_DN: Env =
    Env { local: Some("LOCAL_LDAP_BASE_DN"), split: &["LDAP_BASE_DN"], field: None };
pub(super) const BIND_DN: Env =
    Env { local: Some("LOCAL_LDAP_BIND_DN"), split: &["LDAP_BIND_DN"], field: None };
pub(super) const BIND_PASSWORD: Env =
    Env { local: Some("LOCAL_LDAP_BIND_PW"), split: &["LDAP_BIND_PW"], field: None };
pub(super) const ATTRIBUTES: Env =
    Env { local: Some("LOCAL_LDAP_ATTRIBUTES"), split: &["LDAP_ATTRIBUTES"], field: None };
pub(super) const TLS_ENABLE: Env =
    Env { local: Some("LOCAL_LDAP_TLS_ENABLE"), split: &["LDAP_TLS_ENABLE"], field: None };
/// W&B documents only the first name; the chart of the split services is about to read the other one.
pub(super) const GROUP_ALLOW_LIST: Env = Env {
    local: Some("LOCAL_LDAP_GROUP_ALLOW_LIST"),
    split: &["LDAP_GROUP_ALLOW_LIST", "LOCAL_LDAP_GROUP_ALLOW_LIST"],
    field: None,
};
/// W&B documents this name for every self-managed instance.
pub(super) const GROUP_SYNC: Env =
    Env { local: Some("GORILLA_LDAP_GROUP_SYNC"), split: &["GORILLA_LDAP_GROUP_SYNC"], field: None };
pub(super) const LOGIN: Env = Env { local: Some("LOCAL_LDAP_LOGIN"), split: &["LDAP_LOGIN"], field: None };
pub(super) const USER_BASE_DN: Env = Env { local: None, split: &["LDAP_USER_BASE_DN"], field: None };
pub(super) const GROUP_BASE_DN: Env = Env { local: None, split: &["LDAP_GROUP_BASE_DN"], field: None };
pub(super) const USER_OBJECT_CLASS: Env =
    Env { local: None, split: &["LDAP_USER_OBJECT_CLASS"], field: None };
pub(super) const GROUP_OBJECT_CLASS: Env =
    Env { local: None, split: &["LDAP_GROUP_OBJECT_CLASS"], field: None };

/// Every setting, in the order in which people read them.
pub(super) const ENVIRONMENT: &[Env] = &[
    ADDRESS,
    BASE_DN,
    BIND_DN,
    BIND_PASSWORD,
    ATTRIBUTES,
    TLS_ENABLE,
    GROUP_ALLOW_LIST,
    GROUP_SYNC,
    LOGIN,
    USER_BASE_DN,
    GROUP_BASE_DN,
    USER_OBJECT_CLASS,
    GROUP_OBJECT_CLASS,
];

/// Every value of the plan. A setting that is not there has no entry: the server reads an empty
/// value as one that was made, an empty password even as a wish to bind anonymously.
pub fn render(plan: &LdapPlan, context: &RenderContext<'_>) -> Values {
    let directory = &plan.directory;
    let mut values = Values::default();
    values.set(ADDRESS, directory.address.as_str());
    values.set(BASE_DN, directory.base_dn.to_string());
    values.set(ATTRIBUTES, attributes(directory));
    values.set(TLS_ENABLE, tls_enable(&directory.protection));
    values.set(LOGIN, login(directory, context));
    if let Some(credentials) = &plan.credentials {
        values.set(BIND_DN, credentials.name.as_str());
        values.set(BIND_PASSWORD, credentials.password.clone());
    }
    if !directory.group_allow_list.is_empty() {
        let names: Vec<_> = directory.group_allow_list.iter().map(GroupName::as_str).collect();
        values.set(GROUP_ALLOW_LIST, names.join(","));
    }
    if directory.group_sync {
        values.set(GROUP_SYNC, "true");
    }
    for (base, class, scope) in [
        (USER_BASE_DN, USER_OBJECT_CLASS, &directory.user_search),
        (GROUP_BASE_DN, GROUP_OBJECT_CLASS, &directory.group_search),
    ] {
        if let Some(dn) = &scope.base_dn {
            values.set(base, dn.to_string());
        }
        if let Some(name) = &scope.object_class {
            values.set(class, name.clone());
        }
    }
    if let Some(bundle) = &plan.ca_bundle {
        values.set_authorities(bundle);
    }
    values
}

fn attributes(directory: &Directory) -> String {
    let named = &directory.attributes;
    let mut pairs = vec![format!("email={}", named.email), format!("group={}", named.group)];
    pairs.extend(named.extra.iter().map(|(name, attribute)| format!("{name}={attribute}")));
    pairs.join(",")
}

fn tls_enable(protection: &LdapProtection) -> &'static str {
    match protection {
        LdapProtection::Tls(_) | LdapProtection::StartTls(_) => "true",
        LdapProtection::Plaintext => "false",
    }
}

/// People are sent to the directory only once it is proven, and then also while it is down:
/// turning login off during an outage would be a second one.
fn login(directory: &Directory, context: &RenderContext<'_>) -> &'static str {
    let already = context.current.is_some_and(|current| {
        LOGIN.names().any(|name| current.get(name).is_some_and(|value| value.expose() == "true"))
    });
    if directory.login && (context.verified || already) { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        api::LdapConfig,
        engine::{Fetched, ObjectKey, Prepared, ReferenceSource, prepare},
        net::{CaBundle, Trust},
        sensitive::Sensitive,
    };

    fn plan(spec: &str) -> LdapPlan {
        let object: LdapConfig = serde_yaml::from_str(&format!(
            "{{apiVersion: auth.wandb.com/v1alpha1, kind: LdapConfig, metadata: {{name: corp}}, spec: {{{spec}}}}}"
        ))
        .unwrap();
        let secret = Fetched::Found {
            version: "1".into(),
            data: BTreeMap::from([("password".into(), b"hunter2\n".to_vec())]),
        };
        let key = ObjectKey { source: ReferenceSource::Secret, name: "ldap-bind".into() };
        match prepare(&object, &[], &BTreeMap::from([(key, secret)]), &Trust::empty(), &[]) {
            Prepared::Planned(planned) => planned.plan,
            Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => panic!("{problem:?}"),
        }
    }

    const UNVERIFIED: RenderContext<'static> = RenderContext { verified: false, current: None };
    const VERIFIED: RenderContext<'static> = RenderContext { verified: true, current: None };

    fn lines(values: &Values) -> String {
        let lines = values.iter().map(|(name, value)| format!("{name}={}", value.expose()));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn publishes_every_setting_in_both_dialects() {
        let mut plan = plan(
            "address: ldaps://ldap.example.com,
             baseDN: 'dc=example,dc=org',
             bind: {dn: 'cn=admin,dc=example,dc=org', passwordSecretRef: {name: ldap-bind, key: password}},
             attributes: {name: cn, group: memberOf, email: mail, Zebra: o},
             groupAllowList: [wandb, 'cn=ml,ou=groups,dc=example,dc=org'],
             groupSync: true,
             userSearch: {baseDN: 'ou=people,dc=example,dc=org', objectClass: inetOrgPerson},
             groupSearch: {baseDN: 'ou=groups,dc=example,dc=org', objectClass: groupOfNames}",
        );
        let authority = test_support::CertificateAuthority::new("one").unwrap();
        plan.ca_bundle = Some(CaBundle::parse(authority.certificate_pem().as_bytes()).unwrap().bundle);
        let published = lines(&render(&plan, &VERIFIED));
        let published = published.replace(authority.certificate_pem(), "(the certificate)");
        insta::assert_snapshot!(published);
    }

    #[test]
    fn leaves_out_what_is_not_set() {
        let plan = plan("address: ldap://10.0.0.1, baseDN: 'dc=example,dc=org', insecurePlaintext: true");
        let values = render(&plan, &VERIFIED);
        assert!(values.iter().all(|(_, value)| !value.expose().is_empty()));
        insta::assert_snapshot!(lines(&values));
    }

    #[test]
    fn start_tls_counts_as_tls() {
        let plan = plan("address: 'ldap://[::1]:3389', baseDN: 'dc=example,dc=org', startTLS: true");
        let values = render(&plan, &UNVERIFIED);
        assert_eq!(values.get("LDAP_TLS_ENABLE").unwrap().expose(), "true");
        assert_eq!(values.get("LOCAL_LDAP_ADDRESS").unwrap().expose(), "ldap://[::1]:3389");
    }

    #[test]
    fn login_is_turned_on_by_proof_and_off_only_by_the_spec() {
        let login = |spec: &str, context: &RenderContext<'_>| {
            let spec = format!("address: ldaps://ldap.example.com, baseDN: 'dc=example,dc=org', {spec}");
            render(&plan(&spec), context).get("LOCAL_LDAP_LOGIN").unwrap().expose() == "true"
        };
        let on = Values::from_iter([("LDAP_LOGIN".to_owned(), Sensitive::from("true"))]);
        let off = Values::from_iter([("LDAP_LOGIN".to_owned(), Sensitive::from("false"))]);
        let during_an_outage = RenderContext { verified: false, current: Some(&on) };
        let while_testing = RenderContext { verified: false, current: Some(&off) };
        assert!(!login("login: true", &UNVERIFIED));
        assert!(!login("login: true", &while_testing));
        assert!(login("login: true", &VERIFIED));
        assert!(login("login: true", &during_an_outage));
        assert!(!login("login: false", &VERIFIED));
        assert!(!login("login: false", &during_an_outage));
    }
}
