//! `ServiceAccount`: credentials with which programs use W&B.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CommonSpec, Duration, InstanceSpec, KeyReference, SharedStatus, common, duration};

/// A W&B service account, and the credentials that programs use it with.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "auth.wandb.com",
    version = "v1alpha1",
    kind = "ServiceAccount",
    namespaced,
    status = "ServiceAccountStatus",
    shortname = "wsa",
    category = "wandb-auth",
    doc = "A W&B service account, and the credentials that programs use it with.",
    printcolumn(name = "Instance", type_ = "string", json_path = ".spec.instance.baseURL"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Warnings", type_ = "integer", json_path = ".status.warnings"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretRef.name"),
    printcolumn(name = "Last Check", type_ = "date", json_path = ".status.lastCheckTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    validation = common::secret_name_stays(),
    validation = common::name_leaves_room(),
    validation = generated_keys_keep_their_account()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.team) != has(self.organization)").message("exactly one of team and organization must be set"),
    validation = Rule::new("!has(self.credentials.apiKey) || !has(self.credentials.apiKey.createWith) || has(self.team) || !has(self.organization)").message("createWith makes an account in a team; accounts of an organization can only be made in the web UI"),
    validation = Rule::new("!has(self.checkFrom) || self.checkFrom == 'Operator'").message("checkFrom must be Operator for a ServiceAccount, since the operator itself acts at W&B Server"),
    validation = Rule::new("!has(self.target)").message("target must not be set for a ServiceAccount: its values are for programs that use W&B, and the pods of these programs read the Secret"),
    validation = Rule::new("!has(self.tls) || !self.instance.baseURL.startsWith('http://') || !self.instance.insecurePlaintext || has(self.credentials.federated)").message("tls has no effect on a baseURL without https://")
)]
pub struct ServiceAccountSpec {
    /// The W&B Server that the account belongs to. Programs get its URL as `WANDB_BASE_URL`.
    pub instance: InstanceSpec,

    /// The account's user name at W&B. Default: `metadata.name`. If the key belongs to another account, the check `KeyAccepted` fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^\S(.*\S)?$"))]
    pub account_name: Option<String>,

    /// The team that the account belongs to; programs log to it unless they say otherwise. Default: none; set exactly one of `team` and `organization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = NAME))]
    pub team: Option<String>,

    /// The organization that the account belongs to. Default: none; set exactly one of `team` and `organization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,

    /// How programs prove that they are this account. With `apiKey` they send a key, with `federated` a token of an issuer that W&B trusts.
    pub credentials: CredentialsSpec,

    /// The person whom the account's runs are attributed to. Default: none; runs are the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<AttributionSpec>,

    /// The fields that every kind has.
    #[serde(flatten)]
    pub common: CommonSpec,
}

/// A rule of the whole resource: keys that the operator generated are known to one server and account only.
fn generated_keys_keep_their_account() -> Rule {
    Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.keyID) || \
         (self.spec.instance.baseURL == oldSelf.spec.instance.baseURL && \
         has(self.spec.accountName) == has(oldSelf.spec.accountName) && \
         (!has(self.spec.accountName) || self.spec.accountName == oldSelf.spec.accountName) && \
         has(self.spec.credentials.apiKey))",
    )
    .message(
        "instance.baseURL, accountName and the kind of credentials cannot change once the operator has generated a key, which would stay valid; create a new resource and delete this one",
    )
}

/// Names of teams and organizations stand in URLs.
const NAME: &str = r"^[^\s/,]+$";

/// An organization, with the team that its account logs to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// The organization's name, as W&B shows it. It is not checked: the server does not say which organization a team belongs to.
    #[schemars(length(max = 128), regex(pattern = NAME))]
    pub name: String,
    /// The team that programs log to unless they say otherwise. They get it as `WANDB_ENTITY`.
    #[schemars(length(max = 128), regex(pattern = NAME))]
    pub default_team: String,
}

/// How programs prove that they are the account; exactly one member.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.apiKey) != has(self.federated)").message("credentials must have exactly one of apiKey and federated")
)]
pub struct CredentialsSpec {
    /// A built-in account with an API key. Default: none; set exactly one of `apiKey` and `federated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeySpec>,
    /// An external account with tokens of a trusted issuer. Default: none; set exactly one of `apiKey` and `federated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated: Option<FederatedSpec>,
}

/// An API key, from the first one that a person copied to the ones that replace it.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySpec {
    /// The Secret's key that holds the API key that a person copied from the web UI. It is published as `WANDB_API_KEY` until a rotation replaces it.
    pub bootstrap_secret_ref: KeyReference,
    /// Makes the account, or adopts the one of that name. Default: none; a person makes the account. The bootstrap Secret may then come later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_with: Option<CreateWith>,
    /// Replaces the key from time to time. Default: none; the bootstrap key stays in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::rule_of(&["self.interval", "self.overlap"], "duration(self.interval) > duration(self.overlap)").message("rotation.interval must be longer than rotation.overlap"))]
    pub rotation: Option<RotationSpec>,
    /// What becomes of the API keys that the operator generated at W&B when this resource is deleted. Default: `Revoke`, they end, and programs that still hold one are refused. `Orphan` leaves them valid. (What becomes of the published Secret is for `spec.deletionPolicy` to say.)
    #[serde(default)]
    pub deletion_policy: KeyDeletionPolicy,
}

/// Who may make accounts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateWith {
    /// The Secret's key that holds an API key of an administrator of the team. It is used only to make or find the account, and is never published.
    pub admin_key_secret_ref: KeyReference,
}

/// When keys are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
pub struct RotationSpec {
    /// How long a key is in use: a duration, at least 10s and longer than `overlap`, such as `720h`. Then a new one is generated and published.
    #[x_kube(validation = duration::rule("duration(self) >= duration('10s')").message("rotation.interval must be at least 10s"))]
    pub interval: Duration,
    /// How long the previous key stays valid after a rotation: a duration. Default: `24h`. Programs that read the Secret only when they start must be started again within that time.
    #[serde(default = "overlap")]
    pub overlap: Duration,
}

fn overlap() -> Duration {
    Duration::from_hours(24)
}

/// What becomes of generated keys when the resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KeyDeletionPolicy {
    /// They are revoked, unless the Secret is retained.
    #[default]
    Revoke,
    /// They stay valid.
    Orphan,
}

/// Tokens of an issuer that W&B Server trusts.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederatedSpec {
    /// The `JwtIssuer` in the same namespace that describes the issuer. While it is not verified, no token is published for the first time.
    pub issuer_ref: IssuerReference,
    /// The subject (claim `sub`) that the account is registered with, exactly. A token with another subject is not published.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.trim() == self").message("subject must not begin or end with white space"))]
    pub subject: String,
    /// The audience (claim `aud`) that the tokens are for. The `JwtIssuer` must list it, or the check `IssuerReady` fails.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.trim() == self").message("audience must not begin or end with white space"))]
    pub audience: String,
    /// Where the tokens come from. Tokens of a `secretRef` are not renewed by the operator, others are.
    #[x_kube(validation = Rule::new("[has(self.secretRef), has(self.serviceAccount), has(self.clientCredentials)].filter(member, member).size() == 1").message("token must have exactly one of secretRef, serviceAccount and clientCredentials"))]
    pub token: TokenSourceSpec,
}

/// A `JwtIssuer` in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
pub struct IssuerReference {
    /// Name of the `JwtIssuer`. If it does not exist, `ResolvedRefs` is False with `ResourceNotFound`.
    #[schemars(length(max = 253))]
    #[x_kube(validation = common::is_an_object_name())]
    pub name: String,
}

/// Where tokens come from; exactly one member.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenSourceSpec {
    /// The Secret's key that holds a token that somebody else renews. Default: none; set exactly one of `secretRef`, `serviceAccount` and `clientCredentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,
    /// Kubernetes makes tokens for a service account of the cluster (`TokenRequest`). Default: none; set exactly one of `secretRef`, `serviceAccount` and `clientCredentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountToken>,
    /// The issuer's token endpoint makes tokens for a client (RFC 6749 section 4.4). Default: none; set exactly one of `secretRef`, `serviceAccount` and `clientCredentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<ClientCredentialsToken>,
}

/// A token that Kubernetes makes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
pub struct ServiceAccountToken {
    /// Name of the service account of the cluster. The operator needs the right to request tokens for it, which the chart's value `tokenRequest` gives.
    #[schemars(length(max = 253))]
    #[x_kube(validation = common::is_an_object_name())]
    pub name: String,
    /// How long a token is valid: a duration, 10m to 24h. Default: `1h`. The operator renews it before that time is over.
    #[serde(default = "expiration")]
    #[x_kube(validation = duration::rule("duration(self) >= duration('10m') && duration(self) <= duration('24h')").message("expiration must be between 10m and 24h"))]
    pub expiration: Duration,
}

fn expiration() -> Duration {
    Duration::from_hours(1)
}

/// A token that the issuer makes for a client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentialsToken {
    /// The ID of the client that is registered at the issuer. If the issuer does not know it, the check `TokenObtained` fails.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.trim() == self").message("clientID must not begin or end with white space"))]
    pub client_id: String,
    /// The Secret's key that holds the client's secret. It is sent to the issuer's token endpoint only.
    pub client_secret_ref: KeyReference,
    /// The scopes to ask for, separated by spaces. Default: none; the provider gives the client its usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^[!#-\[\]-~]+( [!#-\[\]-~]+)*$"))]
    pub scope: Option<String>,
    /// Further parameters of the token request that the issuer needs, such as `audience` (Auth0, Hydra) or `resource` (RFC 8707). Default: none. They are no place for secrets: everybody who may read the resource can read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(
        validation = reserved_parameters(),
        validation = Rule::new("self.all(name, size(name) > 0 && size(name) <= 64)").message("names of parameters must have 1 to 64 characters")
    )]
    pub parameters: BTreeMap<String, Parameter>,
}

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Parameter(#[schemars(length(min = 1, max = 1024))] pub String);

/// The parameters of a token request that the operator sends itself (RFC 6749 sections 2.3.1 and 4.4.2, RFC 7521
/// section 4.2).
pub const RESERVED_PARAMETERS: [&str; 6] =
    ["grant_type", "client_id", "client_secret", "scope", "client_assertion", "client_assertion_type"];

fn reserved_parameters() -> Rule {
    let names = RESERVED_PARAMETERS.map(|name| format!("'{name}'")).join(", ");
    Rule::new(format!("[{names}].all(name, !(name in self))")).message(
        "parameters must not name what the operator sends itself; use clientID, clientSecretRef and scope",
    )
}

/// The person whom runs are attributed to; exactly one member. Works only for members of the account's team.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.username) != has(self.userEmail)").message("attribution must have exactly one of username and userEmail")
)]
pub struct AttributionSpec {
    /// The person's user name. Default: none; set exactly one of `username` and `userEmail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^\S+$"))]
    pub username: Option<String>,
    /// The person's e-mail address. Default: none; set exactly one of `username` and `userEmail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254), regex(pattern = r"^\S+@\S+$"))]
    pub user_email: Option<String>,
}

/// What the operator found out about a service account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct ServiceAccountStatus {
    /// What every kind's status has.
    #[serde(flatten)]
    pub common: SharedStatus,
    /// What only this kind's status has.
    #[serde(flatten)]
    pub details: ServiceAccountDetails,
}

/// What only a `ServiceAccount`'s status has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountDetails {
    /// The account at W&B, once a credential was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountStatus>,
    /// The identifier of the published key, where the operator generated it.
    #[serde(default, rename = "keyID", skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The keys that the published one replaced, and until when each stays valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_keys: Vec<PreviousKey>,
    /// When the published key came into use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_since: Option<Time>,
    /// When the key is replaced next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Time>,
    /// The value of the annotation `auth.wandb.com/rotate` that was answered last with a new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rotate: Option<String>,
    /// Digests of the values of the annotation `auth.wandb.com/rotate` that were handled before the last one, the oldest one first, at most 16: none of them acts again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_rotate_digests: Vec<String>,
    /// The value of the annotation `auth.wandb.com/revoke-previous` for which the replaced keys were revoked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_revoke_previous: Option<String>,
    /// Digests of the values of the annotation `auth.wandb.com/revoke-previous` that were handled before the last one, the oldest one first, at most 16: none of them acts again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_revoke_previous_digests: Vec<String>,
    /// When the published token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expiration: Option<Time>,
}

/// A key that was replaced and is still valid.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousKey {
    /// The identifier of the key.
    #[serde(rename = "keyID")]
    pub key_id: String,
    /// When the key is revoked.
    pub valid_until: Time,
}

/// An account at W&B.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct AccountStatus {
    /// W&B's identifier.
    pub id: String,
    /// The user name.
    pub username: String,
}
