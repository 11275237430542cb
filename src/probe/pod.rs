//! The pod that checks candidate values from the place of a server. Pure.
//!
//! It is like the pods of the server in everything that decides what a connection meets: labels and service account
//! (network policies, meshes), node, resolver, proxies, authorities, runtime. It is unlike them in what could do harm:
//! it never becomes ready, so that no Service sends it traffic; it has a controller, so that no `ReplicaSet` or
//! StatefulSet adopts it; it has no token, no right beyond the standard `restricted`, and an end.

mod place;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, EnvVar, EnvVarSource, LocalObjectReference, Pod, PodReadinessGate,
        PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile, SecretKeySelector,
        SecurityContext,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
    },
};

use self::place::ServerPlace;
use crate::{
    api::GROUP,
    references::Requirement,
    workloads::{Owner, ServerTemplate},
};

/// The container that checks.
pub const PROBE_CONTAINER: &str = "check";

/// The variable with the resource of which the values are, for what no variable of a server says.
pub const RESOURCE_VARIABLE: &str = "WANDB_AUTH_RESOURCE";

/// The condition that the pod would have to have to become ready. Nobody sets it.
fn readiness_gate() -> PodReadinessGate {
    PodReadinessGate { condition_type: format!("{GROUP}/never-ready") }
}

/// Where Kubernetes looks for the verdict.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Small, so that quotas have room for it; the program takes less.
const REQUESTS: [(&str, &str); 2] = [("cpu", "10m"), ("memory", "32Mi")];
const LIMITS: [(&str, &str); 1] = [("memory", "128Mi")];

/// Whether the candidate values bring authorities of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateAuthorities {
    /// They do.
    Some,
    /// They do not.
    None,
}

/// A pod that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct ProbePod<'a> {
    /// The name of the pod. One resource has one name, so that no second pod is made for it.
    pub name: &'a str,
    /// The namespace of the server and of the resource.
    pub namespace: &'a str,
    /// The reference to the resource, which the pod goes with.
    pub owner: &'a OwnerReference,
    /// Annotations that say what the pod is for.
    pub annotations: &'a BTreeMap<String, String>,
    /// The pod template of the server.
    pub server: &'a ServerTemplate,
    /// How the resource appears in the template: what it has put there is not what the candidate would.
    pub resource: &'a Owner,
    /// The operator's own image.
    pub image: &'a str,
    /// The Secrets with which the image can be pulled, in that namespace.
    pub pull_secrets: &'a [String],
    /// The Secret with the candidate values.
    pub values: &'a str,
    /// The keys of that Secret which become variables.
    pub variables: &'a [&'a str],
    /// Whether there are authorities among the candidate values.
    pub authorities: CandidateAuthorities,
    /// Further arguments of the check, such as the egress policy.
    pub arguments: &'a [String],
    /// How long the pod may take, from its start on a node to its end.
    pub deadline: Duration,
}

impl ProbePod<'_> {
    /// The pod. It runs in the place of the server, apart from what `restricted` forbids (such as the node's own
    /// network), and apart from wishes of the server to be away from other pods, which could keep it from any node.
    pub fn build(&self) -> Pod {
        let place = ServerPlace::of(self.server, self.resource);
        let ServerPlace { labels, mut annotations, spec, variables, sources, mut volumes, mut mounts } =
            place;
        annotations.extend(self.annotations.clone());
        if self.authorities == CandidateAuthorities::Some {
            let (volume, mount) = place::authorities(self.values);
            volumes.push(volume);
            mounts.push(mount);
        }
        // Two entries of one name would be left to the API server and its clients.
        let place = variables.into_iter().filter(|other| !self.variables.contains(&other.name.as_str()));
        let variables = self.own_variables().chain(place).collect();
        let container = Container {
            name: PROBE_CONTAINER.to_owned(),
            image: Some(self.image.to_owned()),
            args: Some(self.arguments()),
            env: some(variables),
            env_from: some(sources),
            volume_mounts: some(mounts),
            security_context: Some(restricted()),
            resources: Some(ResourceRequirements {
                requests: Some(quantities(&REQUESTS)),
                limits: Some(quantities(&LIMITS)),
                ..ResourceRequirements::default()
            }),
            termination_message_path: Some(TERMINATION_MESSAGE.to_owned()),
            termination_message_policy: Some("File".to_owned()),
            ..Container::default()
        };
        let pull_secrets = self.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
        Pod {
            metadata: ObjectMeta {
                name: Some(self.name.to_owned()),
                namespace: Some(self.namespace.to_owned()),
                labels: Some(labels),
                annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
                owner_references: Some(vec![OwnerReference {
                    controller: Some(true),
                    block_owner_deletion: None,
                    ..self.owner.clone()
                }]),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec {
                containers: vec![container],
                volumes: some(volumes),
                image_pull_secrets: some(pull_secrets.collect()),
                automount_service_account_token: Some(false),
                readiness_gates: Some(vec![readiness_gate()]),
                restart_policy: Some("Never".to_owned()),
                active_deadline_seconds: i64::try_from(self.deadline.as_secs().max(1)).ok(),
                termination_grace_period_seconds: Some(1),
                security_context: Some(PodSecurityContext {
                    run_as_non_root: Some(true),
                    seccomp_profile: Some(SeccompProfile {
                        type_: "RuntimeDefault".to_owned(),
                        ..SeccompProfile::default()
                    }),
                    ..PodSecurityContext::default()
                }),
                ..spec
            }),
            status: None,
        }
    }

    /// The candidate values. They come before those of the server, which may refer to them, and count more than sources.
    /// Each is named, since a file among the values may be longer than a variable can be.
    fn own_variables(&self) -> impl Iterator<Item = EnvVar> {
        self.variables.iter().map(|name| key_of_secret(name, self.values, name, Requirement::Required))
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["check", "--from-environment", "--termination-message", TERMINATION_MESSAGE];
        let authorities = place::authorities_file();
        if self.authorities == CandidateAuthorities::Some {
            arguments.extend(["--authorities", &authorities]);
        }
        arguments.into_iter().map(str::to_owned).chain(self.arguments.iter().cloned()).collect()
    }
}

/// A variable that has its value from a key of a Secret.
fn key_of_secret(variable: &str, secret: &str, key: &str, need: Requirement) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: Some(need == Requirement::Optional),
            }),
            ..EnvVarSource::default()
        }),
    }
}

fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

fn quantities(list: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    list.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests;
