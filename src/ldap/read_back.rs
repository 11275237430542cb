//! From published values back to what they say, to check whether they still work.

use super::{Credentials, Directory, Plan, render};
use crate::{
    api::{
        KeyReference, LdapConfigSpec,
        ldap_config::{AttributeName, Bind, GroupName, Search},
    },
    engine::{Env, Values},
    net::Trust,
};

/// The plan that the values stand for; nothing where they are not what a spec gives. What a spec has beside its
/// values, such as test users, belongs to the present one, and is left out.
pub(super) fn plan(present: &LdapConfigSpec, values: &Values, system_trust: &Trust) -> Option<Plan> {
    let text = |env: Env| values.setting(env).map(|value| value.expose().to_owned());
    let address = text(render::ADDRESS)?;
    let is_plain = address.starts_with("ldap://");
    let is_encrypted = text(render::TLS_ENABLE)? == "true";
    let password = values.setting(render::BIND_PASSWORD).cloned();
    let bind = text(render::BIND_DN).zip(password.as_ref()).map(|(dn, _)| Bind {
        dn,
        password_secret_ref: KeyReference { name: String::new(), key: String::new() },
    });
    let search = |base_dn: Option<String>, object_class: Option<String>| {
        (base_dn.is_some() || object_class.is_some()).then_some(Search { base_dn, object_class })
    };
    let mut spec = LdapConfigSpec {
        address,
        start_tls: is_plain && is_encrypted,
        insecure_plaintext: is_plain && !is_encrypted,
        base_dn: text(render::BASE_DN)?,
        bind,
        attributes: text(render::ATTRIBUTES)?
            .split(',')
            .map(|pair| pair.split_once('='))
            .map(|pair| pair.map(|(name, attribute)| (name.to_owned(), AttributeName(attribute.to_owned()))))
            .collect::<Option<_>>()?,
        group_allow_list: text(render::GROUP_ALLOW_LIST)
            .map(|list| allow_list(present, &list))
            .unwrap_or_default(),
        user_search: search(text(render::USER_BASE_DN), text(render::USER_OBJECT_CLASS)),
        group_search: search(text(render::GROUP_BASE_DN), text(render::GROUP_OBJECT_CLASS)),
        test_users: Vec::new(),
        ..present.clone()
    };
    spec.common.tls = None;
    let directory = Directory::parse(&spec).ok()?;
    let credentials = directory.bind_name.clone().zip(password);
    let (ca_bundle, trust) = values.trust(system_trust)?;
    Some(Plan {
        credentials: credentials.map(|(name, password)| Credentials { name, password }),
        directory,
        trust,
        ca_bundle,
    })
}

/// The groups of a published list. A DN has commas like the list itself, so DNs can be told apart only where the
/// spec still names the same; otherwise the groups are not checked.
fn allow_list(present: &LdapConfigSpec, list: &str) -> Vec<GroupName> {
    let names: Vec<_> = present.group_allow_list.iter().map(|group| group.0.as_str()).collect();
    if names.join(",") == list {
        return present.group_allow_list.clone();
    }
    if list.contains('=') {
        return Vec::new();
    }
    list.split(',').map(|name| GroupName(name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RenderContext;

    fn spec(fields: &str) -> LdapConfigSpec {
        serde_yaml::from_str(&format!("{{baseDN: 'dc=example,dc=org', {fields}}}")).unwrap()
    }

    /// What a spec publishes.
    fn published(spec: &LdapConfigSpec, password: Option<&str>) -> Values {
        let directory = Directory::parse(spec).ok().unwrap();
        let credentials = directory.bind_name.clone().zip(password.map(Into::into));
        let plan = Plan {
            credentials: credentials.map(|(name, password)| Credentials { name, password }),
            directory,
            trust: Trust::nobody(),
            ca_bundle: None,
        };
        render::render(&plan, &RenderContext { verified: true, current: None })
    }

    #[test]
    fn values_lead_back_to_what_they_were_made_of() {
        let bind = "bind: {dn: 'cn=w,dc=example,dc=org', passwordSecretRef: {name: a, key: b}}";
        let present =
            spec("address: ldaps://other.example.org, groupAllowList: ['cn=a,dc=example,dc=org', b]");
        for (fields, password) in [
            ("address: ldaps://ldap.example.org".to_owned(), None),
            (format!("address: 'ldap://ldap.example.org:1389', startTLS: true, {bind}"), Some("hunter2")),
            (format!("address: ldap://ldap.example.org, insecurePlaintext: true, {bind}"), Some("hunter2")),
            (
                "address: ldaps://ldap.example.org, groupAllowList: [one, two], login: false, attributes: {email: mail, group: cn, name: sn}".to_owned(),
                None,
            ),
            (
                "address: ldaps://ldap.example.org, groupAllowList: ['cn=a,dc=example,dc=org', b]".to_owned(),
                None,
            ),
            (
                "address: ldaps://ldap.example.org, userSearch: {baseDN: 'ou=p,dc=example,dc=org'}, groupSearch: {objectClass: group}".to_owned(),
                None,
            ),
        ] {
            let values = published(&spec(&fields), password);
            let plan = plan(&LdapConfigSpec { login: spec(&fields).login, ..present.clone() }, &values, &Trust::nobody());
            let again = render::render(&plan.unwrap(), &RenderContext { verified: true, current: None });
            assert!(again == values, "{fields}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_made_up() {
        let present = spec("address: ldaps://ldap.example.org");
        assert!(plan(&present, &Values::default(), &Trust::nobody()).is_none());
        let other = spec("address: ldaps://ldap.example.org, groupAllowList: ['cn=a,dc=example,dc=org']");
        let plan = plan(&present, &published(&other, None), &Trust::nobody()).unwrap();
        assert!(plan.directory.group_allow_list.is_empty());
    }
}
