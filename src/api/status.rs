//! `status`: what the operator found, in a form that is equal when the findings are equal.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CheckFrom, Condition};
use crate::text::Text;

/// What the operator found out about a resource.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The `metadata.generation` that this status speaks of; -1 before the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted, ResolvedRefs, Verified, Published, `RolledOut` (with a target) and Ready, and where they apply Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Every check of the last run, in the order in which they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub checks: Vec<CheckStatus>,

    /// How many of `checks` are warnings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnings: Option<u32>,

    /// When the checks ran last. It is written with whatever else changes, and otherwise once an hour at most, so that it may be an hour behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,

    /// When the Secret was written last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_published_time: Option<Time>,

    /// The first 256 characters of the last value of the annotation `auth.wandb.com/recheck` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_recheck: Option<String>,

    /// The Secrets and ConfigMaps that this status speaks of, at the versions that were read: what `observedGeneration` is for the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub observed_references: Vec<ObservedReference>,

    /// Identifies the spec, the versions of the referenced objects and the re-check annotation that `checks` speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_inputs: Option<String>,

    /// What is known of the checks from a pod like those of the target; nothing with `checkFrom: Operator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_pod: Option<ServerPodStatus>,

    /// The Secret that holds the published values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,

    /// The numbered revision that the target refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,

    /// The revision that the target goes back to if its pods do not become available with the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_revision: Option<u64>,
}

/// The rest of a status that has nothing but what every kind's has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NoDetails {}

/// A Secret in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SecretReference {
    /// Name of the Secret.
    pub name: String,
}

/// What is known of the checks from a pod like those of the target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ServerPodStatus {
    /// The name of the pod, and of the Secret with the values that it checks. Both exist only while a check is under way.
    pub name: Text,
    /// The revision of the target after whose rollout the last check was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// A Secret or ConfigMap that the spec refers to, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedReference {
    /// `Secret` or `ConfigMap`.
    pub kind: Text,
    /// Its name.
    pub name: Text,
    /// Its `metadata.resourceVersion`.
    pub resource_version: Text,
}

/// The finding of one check. Carries no times, so that equal findings are equal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct CheckStatus {
    /// Name of the check, such as `TlsVerifies` or `TestUser/0`.
    pub name: Text,
    /// Passed, Warning, Failed or Skipped.
    pub result: CheckResult,
    /// One word for programs.
    pub reason: Text,
    /// What was seen, what was expected and what to do next.
    pub message: Text,
    /// `ServerPod` for a check that was made from a pod like those of the target; nothing for one of the operator's own.
    #[serde(default, skip_serializing_if = "CheckFrom::is_operator")]
    pub from: CheckFrom,
}

/// How a check ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    JsonSchema,
    strum::IntoStaticStr,
)]
pub enum CheckResult {
    /// As it should be.
    Passed,
    /// Works, but deserves a look.
    Warning,
    /// Does not work.
    Failed,
    /// Not run, since an earlier check of its chain failed or the spec turned it off.
    Skipped,
}
