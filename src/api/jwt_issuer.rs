//! `JwtIssuer`: an issuer whose tokens W&B Server accepts instead of API keys (identity federation).

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CommonSpec, InstanceSpec, KeyReference, SharedStatus, common};

/// An issuer of JSON Web Tokens (RFC 7519) that W&B Server trusts.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "auth.wandb.com",
    version = "v1alpha1",
    kind = "JwtIssuer",
    namespaced,
    status = "JwtIssuerStatus",
    shortname = "jwt",
    category = "wandb-auth",
    doc = "An issuer of JSON Web Tokens that W&B Server accepts instead of API keys.",
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
    validation = Rule::new("!self.issuer.startsWith('http://') || self.insecurePlaintext").message("issuer must be an https:// URL; set insecurePlaintext: true to accept that keys travel unencrypted, so anybody on the way can replace them"),
    validation = Rule::new("self.skipAudienceValidation || size(self.audiences) > 0").message("audiences must name at least one audience; set skipAudienceValidation: true only if tokens for any audience are to be accepted"),
    validation = Rule::new("!has(self.tls) || !self.issuer.startsWith('http://') || !self.insecurePlaintext || (has(self.instance) && !self.instance.baseURL.startsWith('http://'))").message("tls has no effect without an https:// URL")
)]
pub struct JwtIssuerSpec {
    /// The issuer, exactly as the claim `iss` of its tokens spells it. A difference of one character makes W&B refuse every token.
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = common::port_can_be_reached("issuer"),
        validation = common::is_an_issuer("issuer"),
        validation = common::is_no_well_known_url("issuer")
    )]
    pub issuer: String,

    /// `true` accepts an issuer without TLS, whose keys anybody on the way can replace. Default: `false`, an `http://` URL is refused.
    #[serde(default)]
    pub insecure_plaintext: bool,

    /// The audiences (claim `aud`) of tokens that are for W&B, in addition to `wandb`; list the organization's name, too. Default: `[]`, which needs `skipAudienceValidation: true`. A token for another audience is refused.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub audiences: Vec<Audience>,

    /// `true` lets W&B accept tokens that were made for anybody else. Default: `false`, a token for another audience is refused.
    #[serde(default)]
    pub skip_audience_validation: bool,

    /// Which signing keys are trusted. Default: keys for RS256 and ES256; RSA keys must have at least 2048 bits.
    #[serde(default)]
    pub keys: KeyPolicy,

    /// Tokens or claims with what is expected of them: unit tests of this trust. Default: none. Each one is a check of its own, `Sample/<name>`: if it fails, the values are not published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub samples: Vec<SampleSpec>,

    /// The W&B Server at which samples that hold a token are exchanged for real. Default: none; only the rules are tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceSpec>,

    /// The fields that every kind has.
    #[serde(flatten)]
    pub common: CommonSpec,
}

/// One audience. A comma would separate two of them in `FEDERATED_AUTH_AUDIENCES`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Audience(#[schemars(length(max = 256), regex(pattern = r"^[^\s,]([^,]*[^\s,])?$"))] pub String);

/// Which signing keys are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyPolicy {
    /// The signature algorithms (RFC 7518 section 3.1) that tokens may have. Default: `[RS256, ES256]`. A token with another one is refused by the rule Signature.
    #[serde(default = "algorithms")]
    #[schemars(length(min = 1, max = 10))]
    pub algorithms: Vec<Algorithm>,
    /// The fewest bits of an RSA key, 2048 to 8192 (RFC 7518 section 3.3). Default: `2048`. A smaller key is not trusted, and the check `KeysStrong` fails where none is left.
    #[serde(default = "minimum_rsa_bits", rename = "minimumRSABits")]
    #[schemars(range(min = 2048, max = 8192))]
    pub minimum_rsa_bits: u32,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self { algorithms: algorithms(), minimum_rsa_bits: minimum_rsa_bits() }
    }
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256]
}

fn minimum_rsa_bits() -> u32 {
    2048
}

/// Signature algorithms that a public key verifies (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, strum::Display, strum::EnumString,
)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// Ed25519.
    EdDSA,
}

/// A unit test of the trust: a token from a Secret, or claims without a signature.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.tokenSecretRef) != has(self.claims)").message("a sample must have exactly one of tokenSecretRef and claims"),
    validation = Rule::new("!(has(self.claims) && has(self.expect.rule) && self.expect.rule == 'Signature')").message("a sample of claims has no signature, so the rule Signature cannot refuse it")
)]
pub struct SampleSpec {
    /// The sample's name. The check `Sample/<name>` has it.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The Secret's key that holds a token. Default: none; set exactly one of `tokenSecretRef` and `claims`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<KeyReference>,
    /// Claims as a token has them (RFC 7519 section 4). Default: none; set exactly one of `tokenSecretRef` and `claims`. Claims have no signature, so every rule except Signature is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub claims: Option<Map<String, Value>>,
    /// What is expected of the sample. If it is not so, the check `Sample/<name>` fails.
    pub expect: TokenExpectation,
}

/// What is expected of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!(self.valid && has(self.rule))").message("rule names the rule that refuses a sample, so it needs valid: false")
)]
pub struct TokenExpectation {
    /// `true` if W&B should accept the token, `false` if W&B should refuse it. A token for another audience, for example, should be refused.
    pub valid: bool,
    /// The subject (claim `sub`) of the user or service account that the token should be for. Default: any. If the token has another subject, the check fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub subject: Option<String>,
    /// The rule that should refuse the token. Default: any, if `valid` is false. With `Audience`, the check fails if the token is refused for another reason, such as its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<TokenRule>,
}

/// The rule that should refuse the token. Default: any, if `valid` is false. With `Audience`, the check fails if the token is refused for another reason, such as its age.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, strum::Display, strum::EnumIter,
)]
pub enum TokenRule {
    /// A published key of the issuer verifies the signature.
    Signature,
    /// The claim `iss` is exactly the issuer.
    Issuer,
    /// The claim `sub` is exactly the user's or service account's.
    Subject,
    /// The claim `aud` names an accepted audience.
    Audience,
    /// The time is between the claims `nbf` and `exp`.
    Expiry,
}

/// What the operator found out about an issuer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct JwtIssuerStatus {
    /// What every kind's status has.
    #[serde(flatten)]
    pub common: SharedStatus,
    /// What only this kind's status has.
    #[serde(flatten)]
    pub details: JwtIssuerDetails,
}

/// What only a `JwtIssuer`'s status has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
pub struct JwtIssuerDetails {
    /// The keys that the issuer published when they were fetched last; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub keys: Option<Vec<KeyStatus>>,
}

/// One published key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct KeyStatus {
    /// The key's identifier; a thumbprint (RFC 7638) where it has none.
    pub kid: String,
    /// The algorithm it is declared for, or else the type of the key.
    pub algorithm: String,
    /// The key's size in bits.
    pub bits: u32,
    /// The key's thumbprint (RFC 7638), which is another one where a key changes under the same identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
}
