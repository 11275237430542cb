//! From the spec as written to types that cannot be wrong.

use rustls::pki_types::ServerName;

use super::{
    Attributes, BindName, Directory, Dn, ExpectedUser, GroupName, LdapProtection, LdapUrl, Scheme,
    SearchScope,
};
use crate::{
    api::{
        LdapConfigSpec, Reason,
        ldap_config::{SearchSpec, TestUser},
    },
    problem::{Problem, quote, quote_exactly, without_user},
};

impl Directory {
    /// Judges the spec by the rules of the schema and those that a schema cannot express; every field that is wrong is
    /// told.
    pub fn parse(spec: &LdapConfigSpec) -> Result<Self, Problem> {
        let url = address(spec);
        let protected = url.as_ref().map_or(Ok(()), |url| protection(spec, url).map(drop));
        let base_dn = parse_dn("spec.baseDN", &spec.base_dn);
        let bind_name = spec.bind.as_ref().map(|bind| bind_name(&bind.dn)).transpose();
        let attributes = attributes(spec);
        let allow_list = spec.group_allow_list.iter().map(|group| &group.0);
        let group_allow_list = groups("spec.groupAllowList", allow_list);
        let user_search = search_scope("spec.userSearch", spec.user_search.as_ref());
        let group_search = search_scope("spec.groupSearch", spec.group_search.as_ref());
        let test_users = test_users(spec);
        let problems = [
            url.as_ref().err(),
            protected.as_ref().err(),
            base_dn.as_ref().err(),
            bind_name.as_ref().err(),
            attributes.as_ref().err(),
            group_allow_list.as_ref().err(),
            user_search.as_ref().err(),
            group_search.as_ref().err(),
            test_users.as_ref().err(),
        ];
        Problem::all(problems.into_iter().flatten().cloned())?;
        let url = url?;
        Ok(Self {
            protection: protection(spec, &url)?,
            address: spec.address.clone(),
            url,
            base_dn: base_dn?,
            bind_name: bind_name?,
            attributes: attributes?,
            group_allow_list: group_allow_list?,
            user_search: user_search?,
            group_search: group_search?,
            group_sync: spec.group_sync,
            login: spec.login,
            test_users: test_users?,
        })
    }
}

fn address(spec: &LdapConfigSpec) -> Result<LdapUrl, Problem> {
    LdapUrl::parse(&spec.address).ok_or_else(|| {
        invalid(format!(
            "spec.address must be ldap://host[:port] or ldaps://host[:port], in lower case and without a path, a user or a trailing slash, but is \"{}\".",
            quote_exactly(&without_user(&spec.address))
        ))
    })
}

fn test_users(spec: &LdapConfigSpec) -> Result<Vec<ExpectedUser>, Problem> {
    if spec.group_allow_list.is_empty()
        && spec.test_users.iter().any(|user| user.expect.allowed == Some(false))
    {
        return Err(invalid(
            "A test user can be expected not to be allowed only where spec.groupAllowList is set, since without it everybody is allowed.",
        ));
    }
    spec.test_users.iter().enumerate().map(|(index, user)| expected_user(index, user)).collect()
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(Reason::InvalidSpec, message)
}

fn protection(spec: &LdapConfigSpec, url: &LdapUrl) -> Result<LdapProtection, Problem> {
    let protection = match (url.scheme, spec.start_tls, spec.insecure_plaintext) {
        (Scheme::Ldaps, true, _) => {
            return Err(invalid(
                "spec.startTLS is only for an ldap:// address; an ldaps:// address is encrypted from the start.",
            ));
        }
        (Scheme::Ldaps, false, _) => LdapProtection::Tls(server_name(url)?),
        (Scheme::Ldap, true, _) => LdapProtection::StartTls(server_name(url)?),
        (Scheme::Ldap, false, true) => LdapProtection::Plaintext,
        (Scheme::Ldap, false, false) => {
            return Err(invalid(
                "An ldap:// address sends passwords unencrypted: use ldaps://, set spec.startTLS: true, or set spec.insecurePlaintext: true to accept that.",
            ));
        }
    };
    if spec.common.tls.is_some() && matches!(protection, LdapProtection::Plaintext) {
        return Err(invalid(
            "spec.tls has no effect without encryption: use ldaps:// or set spec.startTLS: true.",
        ));
    }
    Ok(protection)
}

fn server_name(url: &LdapUrl) -> Result<ServerName<'static>, Problem> {
    let host = &url.endpoint.host;
    host.server_name().ok_or_else(|| {
        invalid(format!(
            "spec.address must have a host that a certificate can carry, not \"{}\".",
            quote_exactly(&host.to_string())
        ))
    })
}

fn parse_dn(field: &str, text: &str) -> Result<Dn, Problem> {
    Dn::parse(text).map_err(|complaint| {
        invalid(format!(
            "{field} must be a DN such as dc=example,dc=org, but \"{}\" {}.",
            quote_exactly(text),
            quote(&complaint)
        ))
    })
}

fn bind_name(text: &str) -> Result<BindName, Problem> {
    BindName::parse(text).map_err(|complaint| {
        invalid(format!(
            "spec.bind.dn must be a DN such as cn=admin,dc=example,dc=org (or user@domain or DOMAIN\\user for Active Directory), but \"{}\" {}.",
            quote_exactly(text),
            quote(&complaint)
        ))
    })
}

fn groups<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> Result<Vec<GroupName>, Problem> {
    names
        .map(|text| {
            GroupName::parse(text).map_err(|complaint| {
                invalid(format!(
                    "{field} must hold group DNs or names, but \"{}\" {}.",
                    quote_exactly(text),
                    quote(&complaint)
                ))
            })
        })
        .collect()
}

fn attributes(spec: &LdapConfigSpec) -> Result<Attributes, Problem> {
    // Both halves are published as `name=attribute,…`, so neither may contain a separator.
    for (name, attribute) in &spec.attributes {
        if !is_setting_name(name) || !is_attribute_name(&attribute.0) {
            return Err(invalid(format!(
                "spec.attributes must map names to LDAP attribute names, such as email: mail, but it maps \"{}\" to \"{}\".",
                quote_exactly(name),
                quote_exactly(&attribute.0)
            )));
        }
    }
    let required = |name: &str| {
        spec.attributes.get(name).map(|attribute| attribute.0.clone()).ok_or_else(|| {
            invalid(format!("spec.attributes must name both email and group; {name} is missing."))
        })
    };
    Ok(Attributes {
        email: required("email")?,
        group: required("group")?,
        extra: spec
            .attributes
            .iter()
            .filter(|(name, _)| !["email", "group"].contains(&name.as_str()))
            .map(|(name, attribute)| (name.clone(), attribute.0.clone()))
            .collect(),
    })
}

fn is_setting_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether it can be the name of an attribute, which stands in filters as it is.
pub fn is_attribute_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".;-".contains(&byte))
}

fn search_scope(field: &str, search: Option<&SearchSpec>) -> Result<SearchScope, Problem> {
    let Some(search) = search else {
        return Ok(SearchScope { base_dn: None, object_class: None });
    };
    if search.base_dn.is_none() && search.object_class.is_none() {
        return Err(invalid(format!("{field} must have baseDN, objectClass or both.")));
    }
    if let Some(class) = search.object_class.as_deref().filter(|class| !is_object_class(class)) {
        return Err(invalid(format!(
            "{field}.objectClass must be the name of an object class such as inetOrgPerson, but is \"{}\".",
            quote_exactly(class)
        )));
    }
    Ok(SearchScope {
        base_dn: search.base_dn.as_deref().map(|dn| parse_dn(&format!("{field}.baseDN"), dn)).transpose()?,
        object_class: search.object_class.clone(),
    })
}

fn is_object_class(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
}

/// Longer filters are refused by the schema; the limit also bounds the depth of their nesting.
const FILTER_LIMIT: usize = 1024;

fn expected_user(index: usize, user: &TestUser) -> Result<ExpectedUser, Problem> {
    let field = format!("spec.testUsers[{index}]");
    // Block scalars of YAML end with a line break.
    let filter = user.filter.trim();
    let in_parentheses =
        filter.starts_with('(') && filter.ends_with(')') && filter.chars().count() <= FILTER_LIMIT;
    if !in_parentheses || ldap3::parse_filter(filter).is_err() {
        return Err(invalid(format!(
            "{field}.filter must be an LDAP filter in parentheses, such as (mail=alice@example.org), but is \"{}\".",
            quote_exactly(filter)
        )));
    }
    Ok(ExpectedUser {
        filter: filter.to_owned(),
        email: user.expect.email.clone(),
        groups: groups(&format!("{field}.expect.groups"), user.expect.groups.iter().map(|group| &group.0))?,
        allowed: user.expect.allowed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &str) -> Result<Directory, Problem> {
        let mut spec: serde_yaml::Mapping =
            serde_yaml::from_str("{address: ldaps://ldap.example.com, baseDN: 'dc=example,dc=org'}").unwrap();
        spec.extend(serde_yaml::from_str::<serde_yaml::Mapping>(&format!("{{{fields}}}")).unwrap());
        Directory::parse(&serde_yaml::from_value(serde_yaml::Value::Mapping(spec)).unwrap())
    }

    const PASSWORD: &str = "passwordSecretRef: {name: ldap, key: password}";

    #[test]
    fn accepts_what_makes_sense() {
        for fields in [
            String::new(),
            "address: ldap://ldap.example.com, startTLS: true".to_owned(),
            "address: ldap://10.0.0.1, insecurePlaintext: true".to_owned(),
            "tls: {caBundle: {secretKeyRef: {name: ca, key: ca.crt}}}".to_owned(),
            format!("bind: {{dn: wandb@corp.example.com, {PASSWORD}}}"),
            format!("bind: {{dn: 'CORP\\wandb', {PASSWORD}}}"),
            "baseDN: 'email=mail,group=gidNumber'".to_owned(),
            "attributes: {email: 'mail;lang-en', group: memberOf, full-name: cn}".to_owned(),
            "testUsers: [{filter: \"(uid=a)\\n\"}]".to_owned(),
            "groupAllowList: [wandb], testUsers: [{filter: (uid=a), expect: {allowed: false}}]".to_owned(),
        ] {
            assert!(parse(&fields).is_ok(), "{fields}: {:?}", parse(&fields).err());
        }
    }

    /// One mistake at a time in a spec that is right in everything else.
    #[test]
    fn says_what_does_not() {
        for (fields, complaint) in [
            ("address: ldap.example.com", "or a trailing slash, but is \"ldap.example.com\"."),
            ("address: 'ldaps://admin:hunter2@ldap.example.com'", "but is \"ldaps://…@ldap.example.com\"."),
            ("address: 'ldaps://ldap.example.com/dc=example'", "spec.address must be"),
            ("address: ldap://ldap.example.com", "sends passwords unencrypted"),
            ("startTLS: true", "spec.startTLS is only for an ldap:// address"),
            (
                "address: ldap://a.example, insecurePlaintext: true, tls: {caBundle: {}}",
                "spec.tls has no effect",
            ),
            ("baseDN: example.org", "spec.baseDN must be a DN such as"),
            ("baseDN: ''", "but \"\" is empty"),
            ("bind: {dn: admin, passwordSecretRef: {name: a, key: b}}", "spec.bind.dn must be a DN such as"),
            ("bind: {dn: '', passwordSecretRef: {name: a, key: b}}", "spec.bind.dn must be a DN such as"),
            ("attributes: {email: mail}", "group is missing"),
            ("attributes: {group: cn}", "email is missing"),
            ("attributes: {email: 'mail,cn', group: cn}", "spec.attributes must map"),
            ("attributes: {email: mail, group: cn, 'a=b': c}", "spec.attributes must map"),
            ("attributes: {email: mail, group: 'cn)(uid=*'}", "spec.attributes must map"),
            ("attributes: {email: mail, group: ''}", "spec.attributes must map"),
            ("groupAllowList: ['cn=wandb,groups']", "spec.groupAllowList must hold"),
            ("groupAllowList: [' ']", "spec.groupAllowList must hold"),
            ("userSearch: {}", "spec.userSearch must have baseDN, objectClass or both"),
            ("userSearch: {baseDN: people}", "spec.userSearch.baseDN must be a DN"),
            ("groupSearch: {objectClass: 'a)(b=*'}", "spec.groupSearch.objectClass must be"),
            ("testUsers: [{filter: uid=alice}]", "spec.testUsers[0].filter must be"),
            ("testUsers: [{filter: \"(&(a=b)\\n(c=d))\"}]", "but is \"(&(a=b)<line break>(c=d))\"."),
            ("address: \"ldaps://ldap.example.com\\n\"", "but is \"ldaps://ldap.example.com<line break>\"."),
            ("testUsers: [{filter: (uid=a)}, {filter: (uid=alice}]", "spec.testUsers[1].filter must be"),
            ("testUsers: [{filter: '(uid=alice)(uid=bob)'}]", "spec.testUsers[0].filter must be"),
            (
                "testUsers: [{filter: (uid=a), expect: {groups: ['a=b,c']}}]",
                "spec.testUsers[0].expect.groups must",
            ),
            (
                "testUsers: [{filter: (uid=a), expect: {allowed: false}}]",
                "only where spec.groupAllowList is set",
            ),
        ] {
            let problem = parse(fields).err().unwrap_or_else(|| panic!("{fields} is accepted"));
            assert_eq!(problem.reason, Reason::InvalidSpec);
            assert!(problem.message.contains(complaint), "{fields}: {}", problem.message);
        }
    }
}
