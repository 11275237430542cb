//! The words that programs match on. Each stands here and nowhere else.

use std::{fmt, sync::Arc};

use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// The type of a condition in `status.conditions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter)]
pub enum ConditionType {
    /// The spec makes sense by itself.
    Accepted,
    /// Every referenced key exists and parses.
    ResolvedRefs,
    /// No check failed.
    Verified,
    /// The Secret holds exactly the current spec and inputs.
    Published,
    /// All of the above.
    Ready,
    /// Work is under way; absent otherwise (kstatus).
    Reconciling,
    /// A person must act; absent otherwise (kstatus).
    Stalled,
}

impl ConditionType {
    /// The type as programs read it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Who can end a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The spec, a referenced object or the other side's configuration must be changed by a person.
    Person,
    /// It may pass by itself, so the operator keeps trying.
    Retry,
}

/// The one-word reason of a condition, a check or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter, EnumString)]
pub enum Reason {
    // Conditions that are True.
    /// The spec makes sense by itself.
    Valid,
    /// Every referenced key exists and parses.
    Resolved,
    /// No check failed.
    ChecksPassed,
    /// The Secret holds exactly the current spec and inputs.
    Published,
    /// Everything is as the spec says.
    Ready,

    // Conditions that are not, before any check.
    /// An earlier condition is not True, so this one was not looked at.
    NotChecked,
    /// `spec.suspend` is true.
    Suspended,
    /// The spec contradicts itself or cannot be read.
    InvalidSpec,
    /// The spec asks for something that this version does not do.
    NotSupportedYet,
    /// An older resource claims the same place.
    Superseded,
    /// A referenced Secret does not exist.
    SecretNotFound,
    /// A referenced ConfigMap does not exist.
    ConfigMapNotFound,
    /// A referenced custom resource does not exist.
    ResourceNotFound,
    /// A referenced object lacks the key.
    KeyNotFound,
    /// A referenced key is empty.
    EmptyValue,
    /// A referenced value is not text.
    InvalidValue,
    /// The CA bundle has no usable certificate.
    InvalidCABundle,
    /// The operator's own account may not read or write an object.
    Forbidden,

    // Publishing.
    /// The Secret keeps the last verified values, since the current ones are not verified.
    HoldingLastVerified,
    /// Nothing was published yet, since the values are not verified.
    NotYetVerified,
    /// A Secret of that name exists and belongs to somebody else.
    SecretNotOwned,
    /// The Secret cannot be changed any more.
    SecretImmutable,

    // kstatus.
    /// The operator keeps trying.
    ProgressingWithRetry,

    // Checks of every kind.
    /// The check found what it should.
    Passed,
    /// An earlier check of the chain failed.
    NotReached,
    /// The spec turned the check off, or gives it nothing to do.
    NotRequested,
    /// The time limit of the run ended during this check.
    TimedOut,
    /// A line break at the end of a Secret's value was dropped.
    TrailingNewline,
    /// A Secret's value begins or ends with white space, which was kept.
    SurroundingWhitespace,
    /// The host name has no address.
    NameNotResolved,
    /// The address is one that the operator must not connect to.
    EgressDenied,
    /// Nothing listens at the address and port.
    ConnectionRefused,
    /// The network does not lead to the address.
    ConnectionFailed,
    /// The other side closed the connection.
    ConnectionClosed,
    /// The certificate's chain does not end at a trusted authority.
    UnknownAuthority,
    /// The certificate is for other names.
    NameMismatch,
    /// The certificate's time is over.
    CertificateExpired,
    /// The certificate's time has not begun.
    CertificateNotYetValid,
    /// The certificate's time is over within 30 days.
    CertificateExpiresSoon,
    /// Passwords, tokens or secrets travel unencrypted, as the spec accepts.
    Unencrypted,
    /// The TLS handshake failed for another reason.
    TlsHandshakeFailed,
    /// The server is starting, overloaded or broken.
    ServerUnavailable,
    /// The other side does not keep to the protocol.
    ProtocolError,
    /// The answer is larger than the operator reads.
    ResponseTooLarge,

    // Checks of LdapConfig.
    /// The server does not do StartTLS.
    StartTlsRefused,
    /// The server refused the bind DN or its password.
    InvalidCredentials,
    /// The account is locked.
    AccountLocked,
    /// The account is disabled.
    AccountDisabled,
    /// The account's password has expired or must be changed.
    PasswordExpired,
    /// The account's password is about to expire.
    PasswordExpiresSoon,
    /// The server wants an encrypted connection first.
    ConfidentialityRequired,
    /// The server does not let anybody bind anonymously.
    AnonymousRefused,
    /// The server refused the operation.
    OperationRefused,
    /// The base DN does not exist.
    BaseDnNotFound,
    /// The base DN exists elsewhere.
    Referral,
    /// The account may not read what it must.
    NotReadable,
    /// No entry looks like a person.
    NoUsersFound,
    /// Entries lack an attribute.
    AttributeMissing,
    /// A named group does not exist.
    GroupNotFound,
    /// A named group has no members, or none that it lists.
    GroupEmpty,
    /// The allow list lets nobody in.
    NobodyAllowed,
    /// A name contains the separator of the list that it is published in.
    AmbiguousSeparator,
    /// A test user's filter finds nobody.
    UserNotFound,
    /// A test user's filter finds several entries.
    UserNotUnique,
    /// A test user is not as expected.
    UnexpectedUser,

    // Checks of OidcProvider.
    /// The provider's product does not work this way.
    ProviderRuleBroken,
    /// The provider's product may not work this way.
    ProviderRuleDoubtful,
    /// The answer's status is not the expected one.
    UnexpectedStatus,
    /// The answer is a redirect, which the operator does not follow.
    Redirected,
    /// The answer is not JSON.
    NotJson,
    /// The document lacks a field or has one of the wrong type.
    InvalidDocument,
    /// The document's issuer is not the one in the spec.
    IssuerMismatch,
    /// An endpoint in the document is not usable.
    InvalidEndpoint,
    /// The provider does not offer the flow.
    FlowNotSupported,
    /// The provider does not offer a scope.
    ScopeNotSupported,
    /// No published key can verify the provider's signatures.
    NoUsableKey,
    /// The provider does not know the client or its secret.
    ClientRejected,
    /// The provider's answer says neither yes nor no.
    Inconclusive,
    /// The provider does not know the redirect URI for this client.
    RedirectUriRejected,

    // Checks of JwtIssuer.
    /// No trusted key is left, or a published key is too weak.
    WeakKey,
    /// The server can be reached from inside the cluster's network only.
    PrivateAddress,
    /// A sample was accepted, or refused by another rule, against what its `expect` says.
    UnexpectedRuling,
    /// A person must do something in the web UI.
    ManualStepRequired,

    // Tokens.
    /// The text is not a signed JSON Web Token.
    TokenMalformed,
    /// No trusted key of the issuer verifies the signature.
    SignatureInvalid,
    /// The token is for another subject.
    SubjectMismatch,
    /// The token is for other audiences.
    AudienceMismatch,
    /// The token's time is over.
    TokenExpired,
    /// The token's time has not begun.
    TokenNotYetValid,
    /// The token's time is over soon, and nothing renews it.
    TokenExpiresSoon,
    /// W&B Server does not exchange the token.
    TokenRefused,

    // W&B Server.
    /// The server does not know the key or token (401).
    Unauthorized,
    /// The server knows the account and refuses what it asks (403).
    AccessDenied,
    /// The server wants fewer requests (429).
    RateLimited,
    /// The server executed the query and reports errors.
    QueryFailed,

    // Checks of ServiceAccount.
    /// The text does not look like an API key.
    KeyMalformed,
    /// The key belongs to another account than the spec names.
    AccountMismatch,
    /// The account is not in the team that the spec names.
    NotAMember,
    /// The `JwtIssuer` is not verified.
    IssuerNotReady,
    /// The `JwtIssuer` does not list the audience.
    AudienceNotListed,
    /// The server does not let the account generate keys.
    KeyCreationForbidden,
    /// The account has as many keys as the server allows.
    TooManyKeys,
    /// Which of the account's keys is the one in use cannot be told.
    KeyNotIdentified,
}

/// The reason of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter)]
pub enum EventReason {
    /// The spec does not make sense by itself.
    NotAccepted,
    /// A reference leads to nothing usable.
    UnresolvedReference,
    /// No check failed.
    Verified,
    /// A check failed.
    CheckFailed,
    /// The Secret was written.
    Published,
    /// The Secret keeps the last verified values.
    HoldingLastVerified,
    /// The Secret could not be written.
    PublishFailed,
    /// The issuer's keys are not the ones of before.
    KeysChanged,
    /// The API key was replaced.
    KeyRotated,
    /// The deletion waits for the server.
    DeletionWaits,
    /// What was made at the server stays there.
    CredentialsOrphaned,
}

impl Reason {
    /// The reason as programs read it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether trying again with the same inputs could end the failure.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::TimedOut
            | Self::NameNotResolved
            | Self::ConnectionRefused
            | Self::ConnectionFailed
            | Self::ConnectionClosed
            | Self::ServerUnavailable
            | Self::RateLimited
            | Self::IssuerNotReady
            | Self::NotYetVerified => Remedy::Retry,
            _ => Remedy::Person,
        }
    }

    /// Whether a referenced value is not there, rather than wrong.
    pub fn is_absence(self) -> bool {
        matches!(self, Self::SecretNotFound | Self::ConfigMapNotFound | Self::KeyNotFound | Self::EmptyValue)
    }

    /// Whether the other side gave no clear answer to what was sent.
    pub fn leaves_open(self) -> bool {
        matches!(self, Self::TimedOut | Self::ConnectionClosed | Self::OperationRefused | Self::ProtocolError)
    }

    /// Whether the other side refused credentials, so that trying them again could lock the account.
    pub fn refuses_credentials(self) -> bool {
        matches!(
            self,
            Self::InvalidCredentials | Self::AccountLocked | Self::AccountDisabled | Self::PasswordExpired
        )
    }
}

/// The name of a check in `status.checks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr)]
pub enum CheckName {
    // Every kind.
    /// Passwords, keys and tokens read from Secrets are clean.
    SecretValues,
    /// The host name has addresses.
    DnsResolves,
    /// The operator may connect to the address.
    EgressAllowed,
    /// The port accepts connections.
    TcpConnects,
    /// Chain, name and validity of the certificate.
    TlsVerifies,

    // LdapConfig.
    /// The StartTLS operation succeeds.
    StartTls,
    /// The account binds.
    Bind,
    /// The base DN exists and can be read.
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
}

impl CheckName {
    /// Whether the check sends the password of an account, which a server may lock after wrong ones.
    pub fn sends_credentials(&self) -> bool {
        *self == Self::Bind
    }

    /// Whether the check tells of a change at the server, which is not to be asked for again and again.
    pub fn changes_server(&self) -> bool {
        // An account that is not there is made.
        matches!(self, Self::KeyRotation | Self::Membership)
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
        for name in CheckName::iter().chain([CheckName::TestUser(7), CheckName::Sample("ci".into())]) {
            assert_eq!(CheckName::parse(&name.to_string()), Some(name));
        }
        assert_eq!(CheckName::parse("TestUser/x"), None);
        assert_eq!(CheckName::parse("Nonsense"), None);
    }
}
