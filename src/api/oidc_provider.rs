//! `OidcProvider`: the OpenID Provider that people log in with.

#![expect(clippy::struct_excessive_bools, reason = "they are the switches of the API")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CommonSpec, Duration, KeyReference, SharedStatus, common};

/// An OpenID Provider that W&B Server authenticates people with.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "auth.wandb.com",
    version = "v1alpha1",
    kind = "OidcProvider",
    namespaced,
    status = "SharedStatus",
    shortname = "oidc",
    category = "wandb-auth",
    doc = "An OpenID Provider that W&B Server authenticates people with.",
    printcolumn(name = "Issuer", type_ = "string", json_path = ".spec.issuer"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretRef.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = common::secret_name_stays(),
    validation = common::name_leaves_room()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.issuer.startsWith('https://') || self.insecurePlaintext").message("issuer must be an https:// URL; set insecurePlaintext: true to accept that tokens and secrets travel in the clear"),
    validation = Rule::new("self.host.startsWith('https://') || self.insecurePlaintext").message("host must be an https:// URL; set insecurePlaintext: true to accept that people's logins travel in the clear"),
    validation = Rule::new("!(has(self.provider) && self.provider == 'Cognito' && self.authMethod == 'implicit')").message("Amazon Cognito works with authMethod: pkce only"),
    validation = Rule::new("!has(self.tls) || self.issuer.startsWith('https://')").message("tls has no effect on an issuer without https://")
)]
pub struct OidcProviderSpec {
    /// The issuer, exactly as the provider's discovery document and ID tokens spell it.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = common::port_can_be_reached("issuer"),
        validation = common::is_an_issuer("issuer"),
        validation = common::is_no_well_known_url("issuer")
    )]
    pub issuer: String,

    /// Accepts an issuer or a host without TLS.
    #[serde(default)]
    pub insecure_plaintext: bool,

    /// The client that is registered for W&B at the provider.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.trim() == self").message("clientID must not begin or end with white space"))]
    pub client_id: String,

    /// The Secret's key that holds the client's secret. Without it the client is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<KeyReference>,

    /// How people's browsers get tokens: `pkce` (authorization code with PKCE, RFC 7636) or `implicit`.
    #[serde(default)]
    pub auth_method: AuthMethod,

    /// The W&B URL that people open, such as `https://wandb.example.com`; the redirect URI derives from it.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = common::port_can_be_reached("host"),
        validation = Rule::new(r"isURL(self) && self.matches(r'^https?://[^/?#@\s\\]+/?$')").message("host must be the URL that people open, such as https://wandb.example.com, without a path")
    )]
    pub host: String,

    /// The provider's product. Default: guessed from the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,

    /// Scopes to ask for beside `openid profile email`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub extra_scopes: Vec<Scope>,

    /// Puts people into teams by the `groups` claim.
    #[serde(default)]
    pub groups_claim: bool,

    /// Takes user name and name from claims.
    #[serde(default)]
    pub identifier_claims: bool,

    /// Creates a W&B user at a person's first login.
    #[serde(default = "enabled")]
    pub auto_provision: bool,

    /// How long a login lasts, in whole hours.
    #[serde(default = "session_length")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self).getMilliseconds() % 3600000 == 0").message("sessionLength must be a whole number of hours, at least 1h"))]
    pub session_length: Duration,

    /// Which optional checks run.
    #[serde(default)]
    pub checks: OidcChecks,

    /// The fields that every kind has.
    #[serde(flatten)]
    pub common: CommonSpec,
}

/// How people's browsers get tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthMethod {
    /// Authorization code with PKCE (RFC 7636).
    #[default]
    Pkce,
    /// ID token by `form_post`, without a code.
    Implicit,
}

/// Products whose rules the operator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, strum::Display)]
pub enum Provider {
    /// No product's rules.
    Generic,
    /// Amazon Cognito user pools.
    Cognito,
    /// Okta.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// Keycloak.
    Keycloak,
    /// Auth0.
    Auth0,
    /// Google.
    Google,
}

/// One OAuth scope.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Scope(#[schemars(length(min = 1, max = 128), regex(pattern = r"^[!#-+\--\[\]-~]+$"))] pub String);

/// Which optional checks run.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcChecks {
    /// Asks the token endpoint with a made-up code whether it knows the client.
    #[serde(default = "enabled")]
    pub client_credentials: bool,
    /// Asks the authorization endpoint without a prompt whether it knows the redirect URI.
    #[serde(default, rename = "redirectURI")]
    pub redirect_uri: bool,
}

impl Default for OidcChecks {
    fn default() -> Self {
        Self { client_credentials: enabled(), redirect_uri: false }
    }
}

fn enabled() -> bool {
    true
}

fn session_length() -> Duration {
    Duration::from_hours(720)
}
