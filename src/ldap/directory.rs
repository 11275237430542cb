//! What a spec says, in types that cannot be wrong.

use rustls::pki_types::ServerName;

use super::{BindName, Dn, GroupName, LdapUrl};

/// A parsed `LdapConfig`.
pub struct Directory {
    /// Where it is, as it was written: W&B Server gets the very same text.
    pub address: String,
    /// The same, taken apart.
    pub url: LdapUrl,
    /// How the connection is protected.
    pub protection: LdapProtection,
    /// The entry under which everything stands.
    pub base_dn: Dn,
    /// Who binds; nobody means anonymously.
    pub bind_name: Option<BindName>,
    /// What the attributes are called.
    pub attributes: Attributes,
    /// Groups whose members may log in; empty means everybody.
    pub group_allow_list: Vec<GroupName>,
    /// Whether people's groups decide in which teams of W&B they are.
    pub group_sync: bool,
    /// Where people are.
    pub user_search: SearchScope,
    /// Where groups are.
    pub group_search: SearchScope,
    /// Whether people are meant to log in.
    pub login: bool,
    /// People to look up.
    pub test_users: Vec<ExpectedUser>,
}

/// How the connection is protected.
#[derive(Clone, Debug)]
pub enum LdapProtection {
    /// TLS from the first byte, with a certificate for this name.
    Tls(ServerName<'static>),
    /// TLS after the StartTLS operation, with a certificate for this name.
    StartTls(ServerName<'static>),
    /// None, as the spec accepts.
    Plaintext,
}

/// What the directory calls the attributes that W&B reads.
pub struct Attributes {
    /// Holds the e-mail address.
    pub email: String,
    /// Holds the group.
    pub group: String,
    /// Extra pairs, sorted by name.
    pub extra: Vec<(String, String)>,
}

/// Where to search, and for entries of which class.
pub struct SearchScope {
    /// The spec's own base DN for this search.
    pub base_dn: Option<Dn>,
    /// The object class.
    pub object_class: Option<String>,
}

/// A test user.
pub struct ExpectedUser {
    /// Finds exactly this person.
    pub filter: String,
    /// The e-mail address that the person must have.
    pub email: Option<String>,
    /// Groups that the person must be in.
    pub groups: Vec<GroupName>,
    /// Whether the allow list must let the person in.
    pub allowed: Option<bool>,
}

impl Directory {
    /// Where people are looked for.
    pub fn user_base(&self) -> &Dn {
        self.user_search.base_dn.as_ref().unwrap_or(&self.base_dn)
    }

    /// Where groups are looked for.
    pub fn group_base(&self) -> &Dn {
        self.group_search.base_dn.as_ref().unwrap_or(&self.base_dn)
    }
}
