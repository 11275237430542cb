//! The names of checks.

use std::{fmt, sync::Arc};

use strum::{EnumIter, EnumString, IntoStaticStr};

/// The name of a check in `status.checks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr)]
pub enum CheckName {
    // Every kind.
    /// Passwords, keys and tokens read from Secrets are clean.
    SecretValues,
    /// A pod like the server's has made the checks.
    ServerPodAnswers,
    /// The host name has addresses.
    DnsResolves,
    /// The operator may connect to the address.
    EgressAllowed,
    /// The port accepts connections.
    TcpConnects,
    /// The proxy accepts connections, and connects to the server.
    ProxyConnects,
    /// Chain, name and validity of the certificate.
    TlsVerifies,

    // LdapConfig.
    /// The StartTLS operation succeeds.
    StartTls,
    /// The account binds.
    Bind,
    /// Searches from the base DN find entries.
    BaseDnExists,
    /// People's entries carry the attributes.
    AttributesPresent,
    /// The groups of the allow list exist and have members.
    GroupAllowList,
    /// The test user of that index is as expected.
    TestUser(usize),

    // OidcProvider.
    /// What is known of the provider's product.
    ProviderRules,
    /// The discovery document can be had.
    Discovery,
    /// The document's issuer is the one in the spec.
    IssuerMatches,
    /// The document's endpoints can be used.
    Endpoints,
    /// The provider offers the flow.
    FlowSupported,
    /// The provider offers the scopes.
    Scopes,
    /// The provider publishes a usable signing key.
    SigningKeys,
    /// The provider knows the client.
    ClientCredentials,
    /// The provider knows the redirect URI.
    RedirectUri,

    // JwtIssuer.
    /// The issuer's keys can be had.
    JwksFetches,
    /// The issuer's keys are strong, and at least one is of a trusted algorithm.
    KeysStrong,
    /// W&B Server can reach the issuer's keys if it runs elsewhere.
    JwksReachableFromOutside,
    /// The sample of that name is ruled as expected.
    Sample(Arc<str>),
    /// W&B Server exchanges a token.
    TokenExchange,

    // ServiceAccount.
    /// W&B Server answers.
    InstanceReachable,
    /// The text looks like an API key.
    KeyShape,
    /// W&B Server knows the key, and it is the account's.
    KeyAccepted,
    /// The account is in the team or organization.
    Membership,
    /// What only a person can do in the web UI is done.
    ManualStepRequired,
    /// The key is replaced in time.
    KeyRotation,
    /// The `JwtIssuer` is verified and lists the audience.
    IssuerReady,
    /// A token can be had.
    TokenObtained,
    /// The five rules by which W&B Server accepts a token.
    TokenClaims,

    // The variables of a server.
    /// The certificate authorities that the server trusts can be read.
    AuthoritiesRead,
    /// The server has the variables of this kind.
    VariablesRead,
    /// W&B Server makes of the variable of that name what is meant.
    Variable(Arc<str>),

    // A login that a person tries.
    /// The directory has exactly one entry for the name that the person typed.
    PersonFound,
    /// The directory accepts the person's password.
    PasswordAccepted,
    /// The provider sends the person's browser back with an answer to this login.
    LoginAnswered,
    /// The provider exchanges the code for tokens.
    CodeExchanged,
    /// The ID token is signed by the provider, in time, and made for this client and this login.
    IdTokenVerified,
    /// W&B Server reads an e-mail address of the person.
    EmailRead,
    /// W&B Server reads a name of the person.
    NameRead,
    /// W&B Server reads the groups of the person.
    GroupsRead,
    /// The list of groups that may log in has a group of the person.
    LoginAllowed,

    // A look at the target.
    /// The break-glass switch of W&B Server is off.
    RestoreMode,
    /// The target's pods are replaced without an interruption.
    RolloutStrategy,
    /// The target serves the host of the spec.
    HostMatches,
    /// W&B documents a name of every setting for the target's server.
    SettingsDocumented,
    /// The target's server reads the list of groups that may log in.
    AllowListRead,
    /// The target's server takes the same proxy as the operator.
    ProxyMatches,
}

impl CheckName {
    /// The checks that report how the maintenance of a credential at the remote server went.
    pub const MAINTENANCE: [Self; 2] = [Self::KeyRotation, Self::Membership];

    /// Whether the check sends the password of an account, which a server may lock after wrong ones.
    pub fn sends_credentials(&self) -> bool {
        matches!(self, Self::Bind | Self::ServerPodAnswers)
    }

    /// Whether the check exists because the spec asks for it by name.
    pub fn is_of_spec(&self) -> bool {
        matches!(self, Self::TestUser(_) | Self::Sample(_))
    }

    /// Whether the check judges the values themselves, and not only that they will be replaced in time.
    pub fn judges_values(&self) -> bool {
        *self != Self::KeyRotation
    }

    /// Whether it is a look at the target, which is made in every run and never remembered.
    pub fn looks_at_target(&self) -> bool {
        matches!(
            self,
            Self::RestoreMode
                | Self::RolloutStrategy
                | Self::HostMatches
                | Self::SettingsDocumented
                | Self::AllowListRead
                | Self::ProxyMatches
        )
    }

    /// Whether only a person's own login shows it, which the command `login` tries and the operator never does.
    pub fn is_of_login(&self) -> bool {
        matches!(
            self,
            Self::PersonFound
                | Self::PasswordAccepted
                | Self::LoginAnswered
                | Self::CodeExchanged
                | Self::IdTokenVerified
                | Self::EmailRead
                | Self::NameRead
                | Self::GroupsRead
                | Self::LoginAllowed
        )
    }

    /// The name without what follows the slash.
    pub fn family(&self) -> &'static str {
        self.into()
    }

    /// Reads a name as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some(("TestUser", index)) => index.parse().ok().map(Self::TestUser),
            Some(("Sample", name)) => Some(Self::Sample(name.into())),
            Some(("Variable", name)) => Some(Self::Variable(name.into())),
            Some(_) => None,
            None => text.parse().ok(),
        }
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TestUser(index) => write!(f, "TestUser/{index}"),
            Self::Sample(name) => write!(f, "Sample/{name}"),
            Self::Variable(name) => write!(f, "Variable/{name}"),
            name => f.write_str(name.family()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator;

    #[test]
    fn check_names_are_read_as_they_are_written() {
        let named =
            [CheckName::TestUser(7), CheckName::Sample("ci".into()), CheckName::Variable("HOST".into())];
        for name in CheckName::iter().chain(named) {
            assert_eq!(CheckName::parse(&name.to_string()), Some(name));
        }
        assert_eq!(CheckName::parse("TestUser/x"), None);
        assert_eq!(CheckName::parse("Nonsense"), None);
    }
}
