//! From the values that W&B Server reads back to the spec that publishes them.

use serde_json::{Map, Value, json};

use super::{
    ADDRESS, ATTRIBUTES, BASE_DN, BIND_DN, BIND_PASSWORD, GROUP_ALLOW_LIST, GROUP_BASE_DN,
    GROUP_OBJECT_CLASS, GROUP_SYNC, LOGIN, TLS_ENABLE, USER_BASE_DN, USER_OBJECT_CLASS,
};
use crate::{
    api::{CheckName, CheckResult, LdapConfig, LdapConfigSpec, Reason},
    engine::Env,
    import::{BIND, Flag, FoundEnvironment, Recoverable, Recovery, SettingNeed, StandIn},
};

/// What is asked of a directory after the bind.
const SEARCHES: &[CheckName] =
    &[CheckName::BaseDnExists, CheckName::AttributesPresent, CheckName::GroupAllowList];
const FROM_THE_BIND_ON: &[CheckName] =
    &[CheckName::Bind, CheckName::BaseDnExists, CheckName::AttributesPresent, CheckName::GroupAllowList];

/// The settings without which the rest can be checked.
const STAND_INS: &[StandIn] = &[
    required("baseDN", || json!({"baseDN": "dc=unknown"}), SEARCHES),
    required("bind", || json!({"bind": null}), FROM_THE_BIND_ON),
    required("bind.dn", || json!({"bind": null}), FROM_THE_BIND_ON),
    // Whatever is meant, no password travels in the clear.
    required("startTLS", || json!({"startTLS": true}), &[]),
    required("login", || json!({"login": false}), &[]),
    required("attributes", || json!({"attributes": null}), &[CheckName::AttributesPresent]),
    required("groupAllowList", || json!({"groupAllowList": null}), &[CheckName::GroupAllowList]),
    required("userSearch", || json!({"userSearch": null}), SEARCHES),
    required("userSearch.baseDN", || json!({"userSearch": null}), SEARCHES),
    required("userSearch.objectClass", || json!({"userSearch": null}), SEARCHES),
    required("groupSearch", || json!({"groupSearch": null}), &[CheckName::GroupAllowList]),
    required("groupSearch.baseDN", || json!({"groupSearch": null}), &[CheckName::GroupAllowList]),
    required("groupSearch.objectClass", || json!({"groupSearch": null}), &[CheckName::GroupAllowList]),
];

const fn required(field: &'static str, spec: fn() -> Value, void: &'static [CheckName]) -> StandIn {
    StandIn { field, spec, void, need: SettingNeed::Required }
}

impl Recoverable for LdapConfig {
    const FIELDS: &'static [(&'static str, Env)] = &[
        ("address", ADDRESS),
        ("baseDN", BASE_DN),
        ("bind", BIND_DN),
        ("bind.dn", BIND_DN),
        ("bind.passwordSecretRef", BIND_PASSWORD),
        ("attributes", ATTRIBUTES),
        ("startTLS", TLS_ENABLE),
        ("groupAllowList", GROUP_ALLOW_LIST),
        ("groupSync", GROUP_SYNC),
        ("login", LOGIN),
        ("userSearch", USER_BASE_DN),
        ("userSearch.baseDN", USER_BASE_DN),
        ("userSearch.objectClass", USER_OBJECT_CLASS),
        ("groupSearch", GROUP_BASE_DN),
        ("groupSearch.baseDN", GROUP_BASE_DN),
        ("groupSearch.objectClass", GROUP_OBJECT_CLASS),
    ];

    const STAND_INS: &'static [StandIn] = STAND_INS;

    fn is_configured(found: &FoundEnvironment) -> bool {
        found.is_set(ADDRESS)
    }

    fn is_meant(found: &FoundEnvironment) -> bool {
        [ADDRESS, BASE_DN, BIND_DN, BIND_PASSWORD].into_iter().any(|env| found.is_set(env))
    }

    fn recover(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
        let address = recovery.url(found, ADDRESS);
        recovery.require(
            "address",
            address.map(Value::from),
            "the address of the directory, such as ldaps://ldap.example.com",
        );
        encryption(address.unwrap_or_default(), found, recovery);
        let base_dn = recovery.text(found, BASE_DN).map(|(_, dn)| Value::from(dn));
        recovery.require(
            "baseDN",
            base_dn,
            "the entry that people and groups are below, such as dc=example,dc=org",
        );
        bind(found, recovery);
        login(found, recovery);
        if let Some((name, text)) = recovery.text(found, ATTRIBUTES) {
            if let Some(attributes) = attributes(text) {
                recovery.offer("attributes", attributes.into(), &[name]);
            } else {
                let wanted = "pairs such as email=mail,group=gidNumber";
                recovery.misread(name, text, "not a list such as email=mail,group=gidNumber", wanted);
            }
        }
        if let Some((name, text)) = recovery.text(found, GROUP_ALLOW_LIST) {
            let groups = groups(text);
            if groups.iter().any(|group| group.contains(',')) {
                recovery.note(format!(
                    "{name} holds DNs, whose commas also separate groups. It was read as {} of them; look at spec.groupAllowList.",
                    groups.len()
                ));
            }
            recovery.offer("groupAllowList", groups.into(), &[name]);
        }
        if recovery.flag(found, GROUP_SYNC) == Flag::Known(true) {
            recovery.require("groupSync", Some(json!(true)), "");
        }
        search("userSearch", USER_BASE_DN, USER_OBJECT_CLASS, found, recovery);
        search("groupSearch", GROUP_BASE_DN, GROUP_OBJECT_CLASS, found, recovery);
    }

    /// A DN has commas like the list of groups itself, so that DNs can be told apart for certain only where the
    /// present spec names the same; otherwise the groups are left out.
    fn complete(&mut self, present: &Self) {
        let listed = |spec: &LdapConfigSpec| {
            let names = spec.group_allow_list.iter().map(|group| group.0.as_str());
            names.collect::<Vec<_>>().join(",")
        };
        let list = listed(&self.spec);
        if list == listed(&present.spec) {
            self.spec.group_allow_list.clone_from(&present.spec.group_allow_list);
        } else if list.contains('=') {
            self.spec.group_allow_list.clear();
        }
        self.spec.common = self.spec.common.beside(&present.spec.common);
    }
}

/// Encryption follows from the scheme of the address and the switch together.
fn encryption(address: &str, found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    let is_encrypted = address.starts_with("ldaps://");
    match recovery.flag(found, TLS_ENABLE) {
        Flag::Known(false) | Flag::Unset if is_encrypted => {
            let (address, switch) = (found.name_of(ADDRESS), found.name_of(TLS_ENABLE));
            recovery.remark(switch, CheckResult::Warning, Reason::Inconclusive, format!(
                "{address} begins with ldaps://, but {switch} is not true. These checks encrypt the connection; whether W&B Server does is not documented. Set {switch} to true."
            ));
            recovery.note("The address begins with ldaps://, but TLS is not turned on beside it. The resource turns it on, since it encrypts connections to such an address.");
        }
        _ if is_encrypted => {}
        Flag::Known(true) => recovery.require("startTLS", Some(json!(true)), ""),
        Flag::Known(false) | Flag::Unset => {
            recovery.note("Passwords travel to the directory unencrypted, as they do today: the resource accepts that with insecurePlaintext. Use ldaps:// or startTLS as soon as you can.");
            recovery.require("insecurePlaintext", Some(json!(true)), "");
        }
        Flag::Unknown => recovery.require(
            "startTLS",
            None,
            "true to encrypt the connection with StartTLS, or insecurePlaintext: true instead",
        ),
    }
}

/// Without a name or without a password the server binds anonymously.
fn bind(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    match (found.setting(BIND_DN), found.setting(BIND_PASSWORD)) {
        (None, None) => {}
        (Some(_), Some(password)) => {
            let dn = recovery.text(found, BIND_DN).map(|(_, dn)| dn);
            let reference = recovery.reference(password, BIND, "password");
            let bind =
                dn.zip(reference).map(|(dn, reference)| json!({"dn": dn, "passwordSecretRef": reference}));
            recovery.require(
                "bind",
                bind,
                "dn and passwordSecretRef of the account that searches the directory",
            );
        }
        (Some(set), None) | (None, Some(set)) => {
            let missing = found.name_of(if found.is_set(BIND_DN) { BIND_PASSWORD } else { BIND_DN });
            recovery.remark(missing, CheckResult::Warning, Reason::VariableMissing, format!(
                "{} is set, but {missing} is not, so W&B Server binds anonymously, and so do these checks. Set {missing}, or remove {} if that is meant.",
                set.name, set.name
            ));
            recovery.lose(
            set.name,
            "the account's name or its password is empty, so the server binds anonymously, and the resource says that. Give it spec.bind if the server should use an account",
            );
        }
    }
}

fn login(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    let login = match recovery.flag(found, LOGIN) {
        Flag::Known(login) => Some(login),
        Flag::Unset => Some(false),
        Flag::Unknown => None,
    };
    if login == Some(false) {
        let name = found.name_of(LOGIN);
        recovery.remark(name, CheckResult::Warning, Reason::NotRequested, format!(
            "{name} is not true, so people do not log in through this directory. If they log in by OIDC, leave it as it is. Otherwise set it to true once everything else is right."
        ));
        recovery.note("The directory is configured, but people do not log in through it (login: false).");
    }
    recovery.require(
        "login",
        login.map(Value::from),
        "true if people log in through this directory, or false",
    );
}

fn attributes(text: &str) -> Option<Map<String, Value>> {
    let pairs = text.split(',').map(|pair| {
        let (name, attribute) = pair.split_once('=')?;
        Some((name.trim().to_owned(), json!(attribute.trim())))
    });
    pairs.collect()
}

/// Groups by name or by DN. A DN has commas itself: it goes on with every part that has a `=`, until the
/// parts of a domain are over.
fn groups(text: &str) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    let is_domain =
        |part: &str| part.trim_start().get(..3).is_some_and(|type_| type_.eq_ignore_ascii_case("dc="));
    let mut previous: Option<&str> = None;
    for part in text.split(',') {
        let goes_on = part.contains('=')
            && previous
                .is_some_and(|previous| previous.contains('=') && (!is_domain(previous) || is_domain(part)));
        match groups.last_mut().filter(|_| goes_on) {
            Some(group) => {
                group.push(',');
                group.push_str(part);
            }
            None => groups.push(part.trim().to_owned()),
        }
        previous = Some(part);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

fn search(field: &'static str, base: Env, class: Env, found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    let mut search = Map::new();
    let mut names = Vec::new();
    for (member, env) in [("baseDN", base), ("objectClass", class)] {
        if let Some((name, text)) = recovery.text(found, env) {
            search.insert(member.to_owned(), json!(text));
            names.push(name);
        }
    }
    if !search.is_empty() {
        recovery.offer(field, search.into(), &names);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::samples::comes_back;

    #[test]
    fn groups_are_told_apart_although_dns_have_commas() {
        for (text, expected) in [
            ("wandb", &["wandb"][..]),
            ("wandb, ml", &["wandb", "ml"]),
            ("cn=wandb,ou=groups,dc=example,dc=org", &["cn=wandb,ou=groups,dc=example,dc=org"]),
            ("cn=a,dc=x,cn=b,dc=x", &["cn=a,dc=x", "cn=b,dc=x"]),
            ("CN=a,CN=Users,DC=x,DC=y,b", &["CN=a,CN=Users,DC=x,DC=y", "b"]),
            ("a,cn=b,dc=x", &["a", "cn=b,dc=x"]),
            (",,", &[]),
        ] {
            assert_eq!(groups(text), expected, "{text}");
        }
    }

    fn dn() -> impl Strategy<Value = String> {
        "(cn=[a-z]{1,6},)?ou=[a-z]{1,6}(,dc=[a-z]{1,4}){1,2}"
    }

    fn search() -> impl Strategy<Value = Option<Value>> {
        proptest::option::of(prop_oneof![
            dn().prop_map(|dn| json!({"baseDN": dn})),
            "[a-z]{1,8}".prop_map(|class| json!({"objectClass": class})),
            (dn(), "[a-z]{1,8}").prop_map(|(dn, class)| json!({"baseDN": dn, "objectClass": class})),
        ])
    }

    prop_compose! {
        fn spec()(
            (address, start_tls, plaintext) in prop_oneof![
                "ldaps://[a-z]{1,8}(:[1-9][0-9]{1,3})?".prop_map(|address| (address, false, false)),
                "ldap://[a-z]{1,8}".prop_map(|address| (address, true, false)),
                "ldap://[a-z]{1,8}:[1-9][0-9]{1,3}".prop_map(|address| (address, false, true)),
            ],
            base in dn(),
            bind in proptest::option::of(prop_oneof![dn(), "[a-z]{1,5}@[a-z]{1,5}"]),
            attributes in proptest::collection::btree_map("[a-d]{1,3}", "[a-z]{1,6}", 0..3),
            groups in proptest::collection::btree_set(prop_oneof!["[a-z]{1,6}", dn()], 0..3),
            user_search in search(),
            group_search in search(),
            login in any::<bool>(),
            sync in any::<bool>(),
        ) -> Value {
            let mut spec = json!({
                "address": address, "startTLS": start_tls, "insecurePlaintext": plaintext, "baseDN": base,
                "attributes": attributes, "groupAllowList": groups, "login": login,
                "groupSync": sync,
            });
            for (name, attribute) in [("email", "mail"), ("group", "memberOf")] {
                spec["attributes"][name] = json!(attribute);
            }
            if let Some(dn) = bind {
                spec["bind"] = json!({"dn": dn, "passwordSecretRef": {"name": "secret", "key": "key"}});
            }
            for (field, search) in [("userSearch", user_search), ("groupSearch", group_search)] {
                if let Some(search) = search {
                    spec[field] = search;
                }
            }
            spec
        }
    }

    proptest! {
        #[test]
        fn every_spec_comes_back(spec in spec()) {
            comes_back::<LdapConfig>(&spec);
        }
    }
}
