//! The variables of LDAP, as `wandb/local` names them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// What the variables say.
#[derive(Debug)]
pub struct Settings {
    pub address: String,
    pub base_dn: String,
    /// The name and the password; nothing where either is empty, which makes the bind anonymous.
    pub credentials: Option<(String, String)>,
    pub email_attribute: String,
    pub group_attribute: String,
    pub tls: bool,
    pub allowed_groups: Vec<String>,
    /// Whether people log in through the directory.
    pub login: bool,
}

impl Settings {
    /// Reads them; nothing where none is set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (address, base_dn) = (get("LOCAL_LDAP_ADDRESS"), get("LOCAL_LDAP_BASE_DN"));
        if address.is_none() && base_dn.is_none() && get("LOCAL_LDAP_LOGIN").is_none() {
            return Ok(None);
        }
        let attributes = get("LOCAL_LDAP_ATTRIBUTES");
        ensure!(address.is_some(), "LOCAL_LDAP_ADDRESS is not set");
        ensure!(base_dn.is_some(), "LOCAL_LDAP_BASE_DN is not set");
        ensure!(attributes.is_some(), "LOCAL_LDAP_ATTRIBUTES is not set");
        let attributes = attributes.unwrap_or_default();
        let attributes: BTreeMap<_, _> =
            attributes.split(',').filter_map(|pair| pair.trim().split_once('=')).collect();
        let attribute = |name: &str| attributes.get(name).copied().unwrap_or_default().to_owned();
        let settings = Self {
            address: address.unwrap_or_default(),
            base_dn: base_dn.unwrap_or_default(),
            credentials: get("LOCAL_LDAP_BIND_DN").zip(get("LOCAL_LDAP_BIND_PW")),
            email_attribute: attribute("email"),
            group_attribute: attribute("group"),
            tls: get("LOCAL_LDAP_TLS_ENABLE").as_deref() == Some("true"),
            allowed_groups: groups(&get("LOCAL_LDAP_GROUP_ALLOW_LIST").unwrap_or_default()),
            login: get("LOCAL_LDAP_LOGIN").as_deref() == Some("true"),
        };
        ensure!(!settings.email_attribute.is_empty(), "LOCAL_LDAP_ATTRIBUTES names no email attribute");
        Ok(Some(settings))
    }
}

/// The groups of a list, names or DNs. A DN goes on after its first comma: only `cn=` begins a new one.
fn groups(list: &str) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let continues = part.contains('=') && !part.to_lowercase().starts_with("cn=");
        match groups.last_mut().filter(|_| continues) {
            Some(group) => {
                group.push(',');
                group.push_str(part);
            }
            None => groups.push(part.to_owned()),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_names_or_dns() {
        let dn = "cn=wandb,ou=groups,dc=example,dc=org";
        for (list, expected) in [
            ("", vec![]),
            ("wandb", vec!["wandb"]),
            ("wandb, other", vec!["wandb", "other"]),
            (dn, vec![dn]),
            ("cn=a,dc=x,cn=b,dc=x,plain", vec!["cn=a,dc=x", "cn=b,dc=x", "plain"]),
        ] {
            assert_eq!(groups(list), expected, "{list}");
        }
    }

    #[test]
    fn what_is_needed_is_named() -> Result<()> {
        let complete = [
            ("LOCAL_LDAP_ADDRESS", "ldap://127.0.0.1"),
            ("LOCAL_LDAP_BASE_DN", "dc=example,dc=org"),
            ("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=gidNumber"),
        ];
        let read = |left_out: &str| {
            Settings::read(|name| {
                let found = complete.iter().find(|(key, _)| *key == name && name != left_out);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let settings = read("")?;
        assert_eq!(settings.map(|settings| settings.group_attribute).as_deref(), Some("gidNumber"));
        for (name, _) in complete {
            let message = read(name).err().map(|error| error.to_string());
            assert_eq!(message, Some(format!("{name} is not set")));
        }
        assert!(Settings::read(|_| None)?.is_none());
        Ok(())
    }
}
