//! Names that may be DNs, but need not be.

use std::fmt;

use super::Dn;

/// The name that is sent with a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindName {
    /// A DN.
    Dn(Dn),
    /// What Active Directory also takes: `user@domain` or `DOMAIN\user`.
    ActiveDirectory(String),
}

impl BindName {
    /// Reads a name; the error says what is wrong in words that continue "it".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('=') {
            return Dn::parse(text).map(Self::Dn);
        }
        let halves = text.split_once('@').or_else(|| text.split_once('\\'));
        match halves {
            Some((left, right)) if is_account_part(left) && is_account_part(right) => {
                Ok(Self::ActiveDirectory(text.to_owned()))
            }
            _ => Err("is neither a DN nor user@domain nor DOMAIN\\user".to_owned()),
        }
    }

    /// The name as it is sent.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Dn(dn) => dn.as_str(),
            Self::ActiveDirectory(name) => name,
        }
    }

    /// One spelling for every name that the directory takes as this one.
    pub fn normal_form(&self) -> String {
        match self {
            Self::Dn(dn) => dn.normal_form(),
            Self::ActiveDirectory(name) => name.to_lowercase(),
        }
    }
}

fn is_account_part(text: &str) -> bool {
    !text.is_empty() && !text.contains(['@', '\\']) && !text.contains(char::is_control)
}

/// A group as the spec names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupName {
    /// The group's own entry.
    Dn(Dn),
    /// Its `cn` or `gidNumber`.
    Name(String),
}

impl GroupName {
    /// Reads a name; the error says what is wrong in words that continue "it".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('=') {
            Dn::parse(text).map(Self::Dn)
        } else if text.is_empty() {
            Err("is empty".to_owned())
        } else {
            Ok(Self::Name(text.to_owned()))
        }
    }

    /// The name as it is published.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Dn(dn) => dn.as_str(),
            Self::Name(name) => name,
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_directories_take() {
        assert!(matches!(BindName::parse("cn=admin,dc=example,dc=org"), Ok(BindName::Dn(_))));
        for text in ["wandb@corp.example.com", "CORP\\wandb"] {
            assert_eq!(BindName::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "admin", "@corp", "a@", "a@b@c", "\\a", "cn=", "cn=a,b", "A\\b@c"] {
            assert_eq!(BindName::parse(text).is_ok(), text == "cn=", "{text}");
        }
    }

    #[test]
    fn spellings_of_one_account_have_one_normal_form() {
        let normal = |text: &str| BindName::parse(text).unwrap().normal_form();
        for text in
            ["CN=Admin,DC=Example,DC=org", "cn = admin , dc=example,dc=org", r"cn=a\64min,dc=example,dc=org"]
        {
            assert_eq!(normal(text), normal("cn=admin,dc=example,dc=org"), "{text}");
        }
        assert_eq!(normal("ou=a+cn=b,dc=c"), normal("cn=B+ou=A,dc=c"));
        assert_eq!(normal("CORP\\wandb"), normal("corp\\WandB"));
        for other in ["cn=admin,dc=example", "cn=admin\\,dc\\=example,dc=org", "cn=b,dc=example,dc=org"] {
            assert_ne!(normal(other), normal("cn=admin,dc=example,dc=org"), "{other}");
        }
    }

    #[test]
    fn tells_groups_by_dn_from_groups_by_name() {
        assert!(matches!(GroupName::parse("cn=wandb,ou=groups"), Ok(GroupName::Dn(_))));
        assert!(matches!(GroupName::parse("Data Science"), Ok(GroupName::Name(_))));
        assert!(GroupName::parse("cn=wandb,groups").is_err());
        assert!(GroupName::parse(" ").is_err());
    }
}
