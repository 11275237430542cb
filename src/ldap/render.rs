//! The values that W&B Server reads.

use super::{Directory, GroupName, Plan, Protection};
use crate::engine::{Env, RenderContext, Values};

const ADDRESS: Env = Env { local: Some("LOCAL_LDAP_ADDRESS"), split: &["LDAP_ADDRESS"] };
const BASE_DN: Env = Env { local: Some("LOCAL_LDAP_BASE_DN"), split: &["LDAP_BASE_DN"] };
const BIND_DN: Env = Env { local: Some("LOCAL_LDAP_BIND_DN"), split: &["LDAP_BIND_DN"] };
const BIND_PASSWORD: Env = Env { local: Some("LOCAL_LDAP_BIND_PW"), split: &["LDAP_BIND_PW"] };
const ATTRIBUTES: Env = Env { local: Some("LOCAL_LDAP_ATTRIBUTES"), split: &["LDAP_ATTRIBUTES"] };
const TLS_ENABLE: Env = Env { local: Some("LOCAL_LDAP_TLS_ENABLE"), split: &["LDAP_TLS_ENABLE"] };
const GROUP_ALLOW_LIST: Env = Env { local: Some("LOCAL_LDAP_GROUP_ALLOW_LIST"), split: &[] };
const LOGIN: Env = Env { local: Some("LOCAL_LDAP_LOGIN"), split: &["LDAP_LOGIN"] };
const USER_BASE_DN: Env = Env { local: None, split: &["LDAP_USER_BASE_DN"] };
const GROUP_BASE_DN: Env = Env { local: None, split: &["LDAP_GROUP_BASE_DN"] };
const USER_OBJECT_CLASS: Env = Env { local: None, split: &["LDAP_USER_OBJECT_CLASS"] };
const GROUP_OBJECT_CLASS: Env = Env { local: None, split: &["LDAP_GROUP_OBJECT_CLASS"] };

/// Every setting, in the order in which people read them.
pub(super) const ENVIRONMENT: &[Env] = &[
    ADDRESS,
    BASE_DN,
    BIND_DN,
    BIND_PASSWORD,
    ATTRIBUTES,
    TLS_ENABLE,
    GROUP_ALLOW_LIST,
    LOGIN,
    USER_BASE_DN,
    GROUP_BASE_DN,
    USER_OBJECT_CLASS,
    GROUP_OBJECT_CLASS,
];

/// The CA bundle, for the container's own trust.
const CA_FILE: &str = "ca.crt";

/// Every value of the plan. A setting that is not there has no entry: the server reads an empty
/// value as one that was made, an empty password even as a wish to bind anonymously.
pub fn render(plan: &Plan, context: &RenderContext<'_>) -> Values {
    let directory = &plan.directory;
    let mut values = Values::default();
    values.set(ADDRESS, directory.url.to_string());
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
        values.set_file(CA_FILE, bundle.clone());
    }
    values
}

fn attributes(directory: &Directory) -> String {
    let named = &directory.attributes;
    let mut pairs = vec![format!("email={}", named.email), format!("group={}", named.group)];
    pairs.extend(named.extra.iter().map(|(name, attribute)| format!("{name}={attribute}")));
    pairs.join(",")
}

fn tls_enable(protection: &Protection) -> &'static str {
    match protection {
        Protection::Tls(_) | Protection::StartTls(_) => "true",
        Protection::Plaintext => "false",
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
