//! The part of `spec` that every kind shares.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, duration};

/// Kubernetes' own pattern of names. It stands before a name becomes a part of a URL's path.
const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// The fields that every kind has. Defaults are the schema's.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommonSpec {
    /// The workload whose pods get the published values. Default: none; then only the Secret is published, for you to wire by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("[has(self.deployment), has(self.statefulSet), has(self.weightsAndBiases)].filter(member, member).size() == 1").message("target must have exactly one of deployment, statefulSet and weightsAndBiases"),
        validation = Rule::new("!has(self.additionalContainers) || !has(self.weightsAndBiases)").message("additionalContainers works only with deployment or statefulSet; with weightsAndBiases, all applications of the server get the values"),
        validation = Rule::new("!has(self.additionalContainers) || self.additionalContainers.all(each, has(each.deployment) != has(each.statefulSet))").message("each of additionalContainers must have exactly one of deployment and statefulSet"),
        validation = each_container_is_named_once()
    )]
    pub target: Option<TargetSpec>,

    /// Name of the Secret that holds the published values. Default: `<name>-<short name of the kind>`, such as `corp-ldap`. It cannot be changed later, since pods may read the Secret of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = is_an_object_name())]
    pub secret_name: Option<String>,

    /// From where the checks are made. Default: `Operator`, from its own pod. `ServerPod` makes them from a pod like those of the target, before new values are published and then every 12 times `checkInterval`; it needs a `target`, and `serverPodChecks.enabled` in the chart.
    #[serde(default)]
    pub check_from: CheckFrom,

    /// When values are published. Default: `WhenVerified`, only after every check has passed, so that a wrong password never replaces a right one. `Always` publishes whatever parses.
    #[serde(default)]
    pub publish_policy: PublishPolicy,

    /// Time between two checks of an unchanged resource: a duration such as `30s` or `1h30m`, at least 10s; a few percent are added at random. Default: `5m`. With `10m`, a server that goes down is noticed within about ten minutes. A changed spec or Secret is checked at once.
    #[serde(default = "check_interval")]
    #[x_kube(validation = duration::rule("duration(self) >= duration('10s')").message("checkInterval must be at least 10s"))]
    pub check_interval: Duration,

    /// Time limit for all checks of one run together: a duration, 1s to 5m. Default: `10s`. The check that is still waiting then fails with `TimedOut`.
    #[serde(default = "check_timeout")]
    #[x_kube(validation = duration::rule("duration(self) >= duration('1s') && duration(self) <= duration('5m')").message("checkTimeout must be between 1s and 5m"))]
    pub check_timeout: Duration,

    /// How many re-checks must fail in a row, with unchanged inputs, before a verified resource turns `Verified=False`: 1 to 1000. Default: `3`. With a `checkInterval` of 5m, an outage of less than 10 minutes changes no condition.
    #[serde(default = "failure_threshold")]
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: u32,

    /// How long new pods of the target may take to become available, where the workload has no progress deadline of its own: a duration, 10s to 24h. Default: `10m`. If they take longer, the target goes back to the values that it had before.
    #[serde(default = "rollout_timeout")]
    #[x_kube(validation = duration::rule("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("rolloutTimeout must be between 10s and 24h"))]
    pub rollout_timeout: Duration,

    /// `true` stops checks and writes, and leaves everything as it is. Default: `false`. While it is `true`, pods keep the values that they have, and a changed Secret is not looked at.
    #[serde(default)]
    pub suspend: bool,

    /// What becomes of the published Secret and of the target's entries when this resource is deleted. Default: `Remove`, they go, and nobody logs in by them any more. `Retain` keeps them, so that an accidental deletion locks nobody out. (What becomes of API keys at W&B is for `credentials.apiKey.deletionPolicy` of a ServiceAccount to say.)
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// How the server's certificate is verified, which must have the host name or address. Default: none, only the system's certificate authorities are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
}

impl CommonSpec {
    /// The fields of another spec, with these authorities.
    #[must_use]
    pub fn beside(&self, other: &Self) -> Self {
        Self { tls: self.tls.clone(), ..other.clone() }
    }

    /// How long after checks that passed they are made again. A pod costs more than a look of the operator.
    pub fn interval_of_passed_checks(&self) -> std::time::Duration {
        const POD_INTERVALS: u32 = 12;
        match self.check_from {
            CheckFrom::Operator => self.check_interval.get(),
            CheckFrom::ServerPod => self.check_interval.get().saturating_mul(POD_INTERVALS),
        }
    }

    /// The fields on which neither findings nor values depend.
    pub const UNCHECKED: [&'static str; 7] = [
        "checkInterval",
        "failureThreshold",
        "rolloutTimeout",
        "suspend",
        "deletionPolicy",
        "secretName",
        "target",
    ];
}

/// From where checks are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum CheckFrom {
    /// From the operator's own pod.
    #[default]
    Operator,
    /// From a pod like those of the target.
    ServerPod,
}

impl CheckFrom {
    /// Whether it is the operator's own pod, which needs no mention.
    pub fn is_operator(&self) -> bool {
        *self == Self::Operator
    }
}

/// Whether Kubernetes takes the text as the name of an object. Everything else must be kept out of
/// the API server's paths, where it could lead elsewhere.
pub fn is_object_name(text: &str) -> bool {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| is_inner(byte) && byte != b'-' && byte != b'.');
    text.len() <= 253
        && text.bytes().all(is_inner)
        && is_end(text.bytes().next())
        && is_end(text.bytes().last())
}

fn check_interval() -> Duration {
    Duration::from_minutes(5)
}

fn check_timeout() -> Duration {
    Duration::from_seconds(10)
}

fn rollout_timeout() -> Duration {
    Duration::from_minutes(10)
}

fn failure_threshold() -> u32 {
    3
}

/// The workload that receives the published values.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// What becomes of entries of the same names that somebody else has set there. Default: `Never`, they stay, and nothing is delivered. `Equal` takes them over if every value is the same, `Replace` whatever their values. Nothing is taken over before every check has passed, and a failed rollout goes back to what was there before.
    #[serde(default)]
    pub adopt: AdoptionPolicy,
    /// A Deployment in the same namespace, whose pods are replaced when the values change. Default: none; set exactly one of `deployment`, `statefulSet` and `weightsAndBiases`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<WorkloadTarget>,
    /// A StatefulSet in the same namespace, whose pods are replaced when the values change. Default: none; set exactly one of `deployment`, `statefulSet` and `weightsAndBiases`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateful_set: Option<WorkloadTarget>,
    /// A WeightsAndBiases resource of the W&B operator in the same namespace, to whose spec the values are added. Default: none; set exactly one of `deployment`, `statefulSet` and `weightsAndBiases`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_and_biases: Option<WeightsAndBiasesTarget>,
    /// More containers that get the same values, of other workloads or of the same one, such as `app` in addition to `api` in an installation by Helm alone. Default: none. All of them change together, and go back together if one fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub additional_containers: Vec<AdditionalContainer>,
}

/// One more container that receives the published values.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalContainer {
    /// A container of a Deployment in the same namespace. Default: none; set exactly one of `deployment` and `statefulSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<WorkloadTarget>,
    /// A container of a StatefulSet in the same namespace. Default: none; set exactly one of `deployment` and `statefulSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateful_set: Option<WorkloadTarget>,
}

/// What becomes of entries of the same names that somebody else has set at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// They stay as they are, and nothing is delivered.
    #[default]
    Never,
    /// They are taken over where every value is the same.
    Equal,
    /// They are taken over, whatever their values.
    Replace,
}

/// A workload whose pod template receives env entries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
pub struct WorkloadTarget {
    /// Name of the workload. Without a workload of that name, `RolledOut` is False with `TargetNotFound`.
    #[schemars(length(max = 253))]
    #[x_kube(validation = is_an_object_name())]
    pub name: String,
    /// Name of the container. Default: the only one; a pod with several containers needs it, since only this one gets the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub container: Option<String>,
}

/// A WeightsAndBiases resource.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
pub struct WeightsAndBiasesTarget {
    /// Name of the resource. Without a resource of that name, `RolledOut` is False with `TargetNotFound`.
    #[schemars(length(max = 253))]
    #[x_kube(validation = is_an_object_name())]
    pub name: String,
}

/// When values are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PublishPolicy {
    /// Only values whose checks passed are published.
    #[default]
    WhenVerified,
    /// Whatever parses is published, even if checks fail.
    Always,
}

/// What happens to the published values when the resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The Secret is deleted with the resource.
    #[default]
    Remove,
    /// The Secret stays, so that an accidental deletion locks nobody out.
    Retain,
}

/// How a server's certificate is verified.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// PEM certificates of authorities that are trusted in addition to the system's. A private key in it is refused, with `InvalidCABundle`.
    #[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("caBundle must have exactly one of secretKeyRef and configMapKeyRef"))]
    pub ca_bundle: CaBundleSource,
}

/// Where the PEM certificates stand; exactly one member.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundleSource {
    /// A key of a Secret in the same namespace. Default: none; set exactly one of `secretKeyRef` and `configMapKeyRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// A key of a ConfigMap in the same namespace. Default: none; set exactly one of `secretKeyRef` and `configMapKeyRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
}

/// One key of a Secret or ConfigMap in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
pub struct KeyReference {
    /// Name of the Secret, or of the ConfigMap where the field says so, in the same namespace. If it does not exist, `ResolvedRefs` is False and names it.
    #[schemars(length(max = 253))]
    #[x_kube(validation = is_an_object_name())]
    pub name: String,
    /// The key in its data. If the object has no such key, `ResolvedRefs` is False and lists the keys that it has.
    #[schemars(length(max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A rule of the name of an object. It has words of its own, which a pattern has not.
pub(super) fn is_an_object_name() -> Rule {
    Rule::new(format!("self.matches('{OBJECT_NAME}')"))
        .message("must be a name of lower-case letters, digits, - and ., with a letter or digit at both ends")
}

/// A rule of a target: no container is named twice. Types of their own keep workloads from being compared as such.
fn each_container_is_named_once() -> Rule {
    let same = |a: &str, b: &str, kind: &str| {
        format!(
            "(has({a}.{kind}) && has({b}.{kind}) && {a}.{kind}.name == {b}.{kind}.name && \
             has({a}.{kind}.container) == has({b}.{kind}.container) && \
             (!has({a}.{kind}.container) || {a}.{kind}.container == {b}.{kind}.container))"
        )
    };
    let other = ["deployment", "statefulSet"].map(|kind| same("each", "other", kind)).join(" || ");
    let first = ["deployment", "statefulSet"].map(|kind| same("each", "self", kind)).join(" || ");
    Rule::new(format!(
        "!has(self.additionalContainers) || \
         !self.additionalContainers.all(each, has(each.deployment) != has(each.statefulSet)) || \
         self.additionalContainers.all(each, \
         self.additionalContainers.exists_one(other, {other}) && !({first}))"
    ))
    .message("target must not name the same container twice")
}

/// A rule of the whole resource: a Secret that workloads may read keeps its name.
pub(super) fn secret_name_stays() -> Rule {
    Rule::new(
        "has(self.spec.secretName) == has(oldSelf.spec.secretName) && \
         (!has(self.spec.secretName) || self.spec.secretName == oldSelf.spec.secretName)",
    )
    .message("secretName cannot change, since pods may read the Secret of that name; create a new resource instead")
}

/// A rule of the whole resource: the default Secret name must fit Kubernetes' limit of 253 characters.
pub(super) fn name_leaves_room() -> Rule {
    Rule::new("has(self.spec.secretName) || self.metadata.name.size() <= 240")
        .message("metadata.name must be at most 240 characters long, or spec.secretName must be set")
}

/// A rule of a spec: a pod like the server's needs a server.
pub(super) fn server_pod_needs_a_target() -> Rule {
    Rule::new("!has(self.checkFrom) || self.checkFrom != 'ServerPod' || has(self.target)").message(
        "checkFrom: ServerPod needs a target, since the checks are made from a pod like those of the target",
    )
}

/// A rule of a URL: a port, where there is one, is one that can be connected to.
pub(super) fn port_can_be_reached(field: &str) -> Rule {
    Rule::new("!isURL(self) || url(self).getPort() == '' || (int(url(self).getPort()) >= 1 && int(url(self).getPort()) <= 65535)")
        .message(&*format!("{field} must have a port between 1 and 65535, or none"))
}

/// A rule of an issuer: a URL as OpenID Connect Discovery 1.0 section 2 wants it.
pub(super) fn is_an_issuer(field: &str) -> Rule {
    Rule::new(r"isURL(self) && self.matches(r'^https?://[^/?#@\s\\]+(/[^?#\s\\]*)?$')")
        .message(&*format!("{field} must be a URL such as https://login.example.com/realms/main, without a user, a query or a fragment"))
}

/// A rule of an issuer: it is not its own discovery document.
pub(super) fn is_no_well_known_url(field: &str) -> Rule {
    Rule::new("!self.contains('/.well-known/')")
        .message(&*format!("{field} must be the issuer itself, without /.well-known/openid-configuration"))
}

/// A rule of a DN: it begins like one. The operator reads the rest, which takes more than a pattern.
pub(super) fn begins_like_a_dn(field: &str) -> Rule {
    Rule::new(r"self.matches(r'^\s*[A-Za-z0-9][-A-Za-z0-9.]* *=')")
        .message(&*format!("{field} must be a DN, such as dc=example,dc=org"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_names_from_paths() {
        for name in ["a", "ldap-bind", "a.b-c.1"] {
            assert!(is_object_name(name), "{name}");
        }
        for text in ["", "-a", "a.", "A", "a b", "..", "../../other/secrets/x", "?limit=1", "a/b", "a%2fb"] {
            assert!(!is_object_name(text), "{text}");
        }
        assert!(!is_object_name(&"a".repeat(254)));
    }
}
