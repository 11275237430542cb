//! The reasons of conditions and checks.

use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// Who can end a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The spec, a referenced object or the other side's configuration must be changed by a person.
    Person,
    /// It may pass by itself, so the operator keeps trying.
    Retry,
}

/// What the answer to credentials says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsAnswer {
    /// They were refused, or what was asked with them was.
    Refused,
    /// Nothing, although they may have been judged and counted.
    Unclear,
    /// That the other side was in no state to judge them.
    Postponed,
    /// Nothing, since they did not get there.
    NotSent,
}

/// The one-word reason of a condition, a check or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter, EnumString)]
pub enum Reason {
    // Conditions that are True.
    /// The spec is valid.
    Valid,
    /// Every referenced key exists and parses.
    Resolved,
    /// No check failed.
    ChecksPassed,
    /// The Secret holds exactly the current spec and inputs.
    Published,
    /// The Secret holds exactly the current spec and inputs, which were never verified.
    PublishedUnverified,
    /// Everything is as the spec says.
    Ready,

    // Conditions that are not, before any check.
    /// An earlier condition is not True, so this one was not looked at.
    NotChecked,
    /// `spec.suspend` is true.
    Suspended,
    /// The spec contradicts itself or cannot be read.
    InvalidSpec,
    /// Another resource has the same place: an older one, or one that works.
    Superseded,
    /// Another resource that is older, or works, decides how people log in to the same target.
    ConflictsWithOidc,
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
    /// A referenced value is not text, or surely not the value itself.
    InvalidValue,
    /// The CA bundle has no usable certificate, or a private key.
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
    /// The API server did not accept a write, or did not say so.
    WriteRejected,

    // Delivery to a target.
    /// The target's pods run with the published values.
    RolledOut,
    /// The target's pods are being replaced.
    Progressing,
    /// New pods did not become available, so the target went back to what it had before.
    RolledBack,
    /// New pods do not become available, and nothing that the target could go back to works any more.
    NoWorkingRevision,
    /// The target does not exist.
    TargetNotFound,
    /// The target has no container of that name, or several and none is named.
    ContainerNotFound,
    /// Somebody else has set what is to be delivered, or keeps changing it.
    FieldConflict,
    /// The API server or an admission policy does not take the change to the target.
    TargetRefused,

    // A look at the target.
    /// The break-glass switch is left on.
    RestoreModeOn,
    /// The target and the spec name different hosts.
    HostMismatch,
    /// The target is set up so that a rollout interrupts the service.
    RolloutInterrupts,
    /// W&B documents no name of a setting for the target's server, which may not read it.
    SettingUndocumented,
    /// The target's server may not read the list of groups that may log in, and then lets everybody in.
    AllowListUnproven,
    /// The target's server takes another way to the checked server than the operator: with or without a proxy.
    ProxyDiffers,

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
    /// Another resource sent the same credentials, and the server has not answered yet.
    AwaitingAnswer,
    /// The checks are made from a pod like the server's, which has not answered yet.
    ServerPodPending,
    /// The operator may not make checks from pods like the server's.
    ServerPodsDisabled,
    /// No pod like the server's could be made or started to make the checks.
    ServerPodNotStarted,
    /// The pod like the server's ended, or took too long, and left no verdict.
    ServerPodNoVerdict,
    /// A line break at the end of a Secret's value was dropped.
    TrailingNewline,
    /// A Secret's value begins or ends with white space, which was kept.
    SurroundingWhitespace,
    /// The CA bundle holds something that W&B Server passes over.
    BundlePartlyRead,
    /// A Secret's value may not be the value itself.
    DoubtfulValue,
    /// The host name has no address.
    NameNotResolved,
    /// The address is one that the operator must not connect to.
    EgressDenied,
    /// The proxy of the environment is of a kind, or has a URL, that the operator cannot use.
    ProxyNotUsable,
    /// The proxy does not let the operator through.
    ProxyRefused,
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
    /// The account is not allowed to read what it must.
    NotReadable,
    /// No entry looks like a person.
    NoUsersFound,
    /// Entries lack an attribute.
    AttributeMissing,
    /// The server answers an attribute under another name than it was asked for.
    AttributeNameDiffers,
    /// The server ends searches at limits of its own before they have found anything.
    SearchLimited,
    /// A named group does not exist.
    GroupNotFound,
    /// A named group has no members, or none that it lists.
    GroupEmpty,
    /// People are in a group only through another group.
    NestedGroups,
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
    /// The answer says neither yes nor no, or the operator had no memory to read it in time.
    Inconclusive,
    /// The provider does not know the redirect URI for this client.
    RedirectUriRejected,

    // Checks of JwtIssuer.
    /// No trusted key is left, or a published key or one of a certificate is too weak.
    WeakKey,
    /// The server can be reached from inside the cluster's network only.
    PrivateAddress,
    /// A sample was accepted, or refused by another rule, against what its `expect` says.
    UnexpectedRuling,
    /// A person must do something in the web UI.
    ManualStepRequired,

    // The variables of a server.
    /// A variable that the server needs is not set.
    VariableMissing,
    /// W&B Server cannot read the value of a variable as what it is meant to be.
    VariableMalformed,
    /// The names of one setting have different values, of which W&B Server reads one.
    VariablesDiffer,
    /// W&B Server does not read the variable, or not as it is meant.
    VariableNotRead,

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

    // A login that a person tries.
    /// The person is in none of the groups that may log in.
    NotAllowed,
    /// The provider ended the login with an error.
    LoginRefused,
    /// The answer belongs to another login.
    AnswerMismatch,
    /// The provider does not exchange the code.
    CodeRefused,
    /// The token lacks a claim that W&B Server reads.
    ClaimMissing,
    /// The provider says that nobody has verified the e-mail address.
    EmailUnverified,
    /// The token does not have the groups, but says where to read them.
    GroupsElsewhere,
    /// The groups do not have the names of the teams.
    TeamsDiffer,
}

impl Reason {
    /// The reason as programs read it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether trying again with the same inputs could end the failure.
    pub fn remedy(self) -> Resolution {
        match self {
            Self::TimedOut
            | Self::Inconclusive
            | Self::NameNotResolved
            | Self::ConnectionRefused
            | Self::ConnectionFailed
            | Self::ConnectionClosed
            | Self::ServerUnavailable
            | Self::RateLimited
            | Self::AwaitingAnswer
            | Self::ServerPodPending
            | Self::ServerPodNotStarted
            | Self::ServerPodNoVerdict
            | Self::IssuerNotReady
            | Self::NotYetVerified
            | Self::PublishedUnverified
            | Self::WriteRejected
            | Self::Progressing => Resolution::Retry,
            _ => Resolution::Person,
        }
    }

    /// Whether something that the spec names is not there, rather than wrong.
    pub fn is_absence(self) -> bool {
        matches!(
            self,
            Self::SecretNotFound
                | Self::ConfigMapNotFound
                | Self::ResourceNotFound
                | Self::KeyNotFound
                | Self::EmptyValue
                | Self::TargetNotFound
        )
    }

    /// Reasons of a resource that lost to another resource of the namespace.
    pub const SUPERSEDED: [Self; 2] = [Self::Superseded, Self::ConflictsWithOidc];

    /// Whether a provider refused a client and its secret: it counts such attempts, and only another secret helps.
    pub fn needs_other_credentials(self) -> bool {
        self == Self::ClientRejected
    }

    /// Whether the other side showed a certificate, which was refused.
    pub fn is_about_a_certificate(self) -> bool {
        matches!(
            self,
            Self::UnknownAuthority
                | Self::NameMismatch
                | Self::CertificateExpired
                | Self::CertificateNotYetValid
                | Self::WeakKey
        )
    }

    /// What a check that sends credentials and fails for this reason says of them.
    pub fn credentials_answer(self) -> CredentialsAnswer {
        match self {
            // A server that has refused the handshake never reads what is sent within it.
            Self::ConnectionFailed
            | Self::TlsHandshakeFailed
            | Self::AwaitingAnswer
            | Self::ServerPodPending
            | Self::ServerPodsDisabled
            | Self::ServerPodNotStarted => CredentialsAnswer::NotSent,
            Self::ServerUnavailable => CredentialsAnswer::Postponed,
            Self::TimedOut
            | Self::Inconclusive
            | Self::ConnectionClosed
            | Self::ProtocolError
            | Self::ResponseTooLarge
            // Whether the pod has sent them is not known.
            | Self::ServerPodNoVerdict => CredentialsAnswer::Unclear,
            _ => CredentialsAnswer::Refused,
        }
    }
}
