//! The resource on whose behalf a target is changed, and how its entries are recognized.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};

/// A resource that has entries in targets, by the names that it uses there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// How messages name the resource, such as `LdapConfig corp`.
    pub title: String,
    /// The field manager under which the operator changes targets for this resource.
    pub manager: String,
    /// The name of the volume that the resource has in pod templates.
    pub volume: String,
    /// The name of the published Secret. The names of revisions derive from it.
    pub secret_name: String,
    /// Numbers that are not revisions, because a Secret of somebody else has the name that the revision would have.
    pub foreign: BTreeSet<u64>,
}

/// The length limit of the API server for the name of a field manager.
const LONGEST_MANAGER: usize = 128;

/// The length limit for the name of a volume (a DNS label, RFC 1123).
const LONGEST_LABEL: usize = 63;

impl Owner {
    /// Makes the owner for a resource of this kind and name. `manager` is the prefix of the field managers of the
    /// kind.
    pub fn new(kind: &str, short_name: &str, manager: &str, name: &str, secret_name: String) -> Self {
        Self {
            title: format!("{kind} {name}"),
            manager: shortened(format!("{manager}/{name}"), LONGEST_MANAGER),
            volume: shortened(format!("wandb-auth-{short_name}-{}", name.replace('.', "-")), LONGEST_LABEL),
            secret_name,
            foreign: BTreeSet::new(),
        }
    }

    /// The owner, with these numbers excluded: Secrets of somebody else have the names of those revisions.
    #[must_use]
    pub fn excluding(mut self, numbers: impl IntoIterator<Item = u64>) -> Self {
        self.foreign.extend(numbers);
        self
    }

    /// The name of the revision with this number.
    pub fn revision(&self, number: u64) -> String {
        format!("{}-{number}", self.secret_name)
    }

    /// The number of the revision of this name, or `None` if the Secret is no revision of this owner.
    pub fn number_of(&self, secret: &str) -> Option<u64> {
        let digits = secret.strip_prefix(&self.secret_name)?.strip_prefix('-')?;
        let number = digits.parse().ok()?;
        (self.revision(number) == secret && !self.foreign.contains(&number)).then_some(number)
    }
}

/// Returns the text if it fits. Otherwise it is cut, and a hash of all of it is appended to keep it unique.
fn shortened(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let hash = digest(&SHA256, text.as_bytes());
    let hash = hash.as_ref().iter().take(5).fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
    let beginning: String = text.chars().take(limit - hash.len() - 1).collect();
    format!("{}-{hash}", beginning.trim_end_matches(['-', '.', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::new("LdapConfig", "ldap", "wandb-auth-operator/ldapconfig", name, format!("{name}-ldap"))
    }

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(owner("corp.eu").volume, "wandb-auth-ldap-corp-eu");
        assert_eq!(owner("corp").manager, "wandb-auth-operator/ldapconfig/corp");
        let long = owner(&format!("{}a", "x".repeat(200)));
        let other = owner(&format!("{}b", "x".repeat(200)));
        assert!(long.volume.len() <= LONGEST_LABEL && long.manager.len() <= LONGEST_MANAGER);
        assert!(long.volume != other.volume && long.manager != other.manager);
    }

    #[test]
    fn tells_its_revisions_from_other_secrets() {
        let owner = owner("corp");
        for (secret, number) in [
            ("corp-ldap-1", Some(1)),
            ("corp-ldap-12", Some(12)),
            ("corp-ldap", None),
            ("corp-ldap-", None),
            ("corp-ldap-01", None),
            ("corp-ldap-+1", None),
            ("corp-ldap-1-2", None),
            ("other-ldap-1", None),
        ] {
            assert_eq!(owner.number_of(secret), number, "{secret}");
        }
    }

    #[test]
    fn a_secret_of_somebody_else_is_no_revision_whatever_its_name() {
        let owner = owner("corp").excluding([2, 4]);
        for (secret, number) in [("corp-ldap-1", Some(1)), ("corp-ldap-2", None), ("corp-ldap-4", None)] {
            assert_eq!(owner.number_of(secret), number, "{secret}");
        }
        assert_eq!(owner.excluding([1]).number_of("corp-ldap-1"), None);
    }
}
