//! `OidcProvider`: the OpenID Provider that people log in with.

#![expect(clippy::struct_excessive_bools, reason = "they are the switches of the API")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CommonSpec, Duration, KeyReference, SharedStatus, common, duration};

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
    printcolumn(name = "Warnings", type_ = "integer", json_path = ".status.warnings"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretRef.name"),
    printcolumn(name = "Last Check", type_ = "date", json_path = ".status.lastCheckTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    validation = common::secret_name_stays(),
    validation = common::name_leaves_room()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = common::server_pod_needs_a_target(),
    validation = Rule::new("!self.issuer.startsWith('http://') || self.insecurePlaintext").message("issuer must be an https:// URL; set insecurePlaintext: true to accept that tokens and secrets travel unencrypted"),
    validation = Rule::new("!self.host.startsWith('http://') || self.insecurePlaintext").message("host must be an https:// URL; set insecurePlaintext: true to accept that people's logins travel unencrypted"),
    validation = Rule::new("!(has(self.provider) && self.provider == 'Cognito' && self.authMethod == 'implicit')").message("Amazon Cognito works with authMethod: pkce only"),
    validation = Rule::new("!has(self.tls) || !self.issuer.startsWith('http://') || !self.insecurePlaintext").message("tls has no effect on an issuer without https://")
)]
pub struct OidcProviderSpec {
    /// The issuer, exactly as the provider's discovery document and ID tokens spell it. A difference of one character, such as a slash at the end, makes every login fail.
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = common::port_can_be_reached("issuer"),
        validation = common::is_an_issuer("issuer"),
        validation = common::is_no_well_known_url("issuer")
    )]
    pub issuer: String,

    /// `true` accepts an issuer or a host without TLS, where everybody on the way can read tokens and secrets. Default: `false`, an `http://` URL is refused.
    #[serde(default)]
    pub insecure_plaintext: bool,

    /// The ID of the client that is registered for W&B at the provider. If the provider does not know it, the check `ClientCredentials` fails.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.trim() == self").message("clientID must not begin or end with white space"))]
    pub client_id: String,

    /// The Secret's key that holds the client's secret. Default: none; the client is public, and a provider that registered it with a secret refuses every login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<KeyReference>,

    /// How people's browsers get tokens. Default: `pkce`, the authorization code with PKCE (RFC 7636). `implicit` needs a client for which the provider allows it.
    #[serde(default)]
    pub auth_method: AuthMethod,

    /// The W&B URL that people open, such as `https://wandb.example.com`. The redirect URI is made from it: register that URI at the provider.
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = common::port_can_be_reached("host"),
        validation = Rule::new(r"isURL(self) && self.matches(r'^https?://[^/?#@\s\\]+/?$')").message("host must be the URL that people open, such as https://wandb.example.com, without a path")
    )]
    pub host: String,

    /// The provider's product, whose own rules are checked. Default: guessed from the issuer. With `Keycloak`, for example, an issuer without `/realms/` gets a warning; `Generic` turns such rules off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,

    /// Scopes to ask for in addition to `openid profile email`. Default: none. If the provider does not list one of them, the check `Scopes` warns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub extra_scopes: Vec<Scope>,

    /// `true` puts people into the W&B teams that the `groups` claim names. Default: `false`, teams are kept in W&B alone.
    #[serde(default)]
    pub groups_claim: bool,

    /// `true` takes user name and name from the claims `preferred_username` and `name`. Default: `false`, these claims are not used.
    #[serde(default)]
    pub identifier_claims: bool,

    /// Whether a person's first login creates the W&B user. Default: `true`. With `false`, somebody who has no W&B user yet cannot log in.
    #[serde(default = "enabled")]
    pub auto_provision: bool,

    /// How long a login lasts: a duration of whole hours, at least 1h. Default: `720h`. After that, people must log in again.
    #[serde(default = "session_length")]
    #[x_kube(validation = duration::rule("duration(self) >= duration('1h') && duration(self).getMilliseconds() % 3600000 == 0").message("sessionLength must be a whole number of hours, at least 1h"))]
    pub session_length: Duration,

    /// Which optional checks run. Default: only `clientCredentials`. A check that does not run is `Skipped` and prevents nothing.
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

/// The provider's product, whose own rules are checked. Default: guessed from the issuer. With `Keycloak`, for example, an issuer without `/realms/` gets a warning; `Generic` turns such rules off.
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
pub struct Scope(#[schemars(length(max = 128), regex(pattern = r"^[!#-+\--\[\]-~]+$"))] pub String);

/// Which optional checks run.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcChecks {
    /// Asks the token endpoint with a made-up code whether it knows the client and its secret. Default: `true`. `false` sends the secret nowhere before the first login.
    #[serde(default = "enabled")]
    pub client_credentials: bool,
    /// Asks the authorization endpoint without a prompt whether it knows the redirect URI. Default: `false`. `true` begins a login that ends at once, which the provider may log.
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
