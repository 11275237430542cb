//! The objects of one check from a pod, and how they are recognised: pure.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::ResourceExt;
use serde_json::json;

use super::ServerPods;
use crate::{
    api::{MANAGED_BY_LABEL, MANAGER},
    engine::{
        CA_FILE, CheckedInputs, Kind, Planned, RenderContext, Values,
        inputs::fingerprint::hexadecimal,
        publish::secret::{SECRET_TYPE, encoded, owner_in_targets, secret_name},
    },
    probe::{CandidateAuthorities, PROBE_CONTAINER, ProbePod, RESOURCE_VARIABLE},
    workloads::ServerTemplate,
};

/// The annotation with the inputs that a pod checks.
const INPUTS_ANNOTATION: &str = "auth.wandb.com/checked-inputs";

/// The annotation with the revision after whose rollout a pod checks.
const REVISION_ANNOTATION: &str = "auth.wandb.com/revision";

/// What follows the name of the published Secret in the name of the pod.
const SUFFIX: &str = "-check";

/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// The name of the pod of a resource, and of the Secret with its values. It is no name of a numbered revision.
pub(super) fn name_of<K: Kind>(object: &K) -> String {
    let secret = secret_name(object);
    if secret.len() + SUFFIX.len() <= LONGEST_NAME {
        return secret + SUFFIX;
    }
    let whole = hexadecimal(digest(&SHA256, secret.as_bytes()).as_ref());
    let beginning: String = secret.chars().take(LONGEST_NAME - SUFFIX.len() - whole.len() - 1).collect();
    format!("{}-{whole}{SUFFIX}", beginning.trim_end_matches(['-', '.']))
}

/// One check of candidate values from a pod.
pub(super) struct PodCheck<'a, K: Kind> {
    pub(super) object: &'a K,
    /// The name of the pod, and of the Secret.
    pub(super) name: String,
    /// The values as the server would get them.
    values: Values,
    /// What the pod checks.
    inputs: String,
}

impl<'a, K: Kind> PodCheck<'a, K> {
    /// The check of these values; `None` if only a run of the checks could make them.
    pub(super) fn new(
        object: &'a K,
        planned: &Planned<K>,
        checked_inputs: &CheckedInputs,
        pods: &ServerPods,
    ) -> Option<Self> {
        // The server gets the values once they are verified.
        let context = RenderContext { verified: true, current: None };
        let values = K::render(&planned.plan, &K::placeholder_evidence(&planned.plan), &context)?;
        let identity = [checked_inputs.digest().as_str(), &pods.image].join(" ");
        let inputs = hexadecimal(digest(&SHA256, identity.as_bytes()).as_ref());
        Some(Self { object, name: name_of(object), values, inputs })
    }

    /// The Secret with the values. What no variable of a server says of the resource is in one more variable.
    pub(super) fn secret(&self, owner: &OwnerReference) -> Secret {
        let resource = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()),
            "metadata": {"name": self.object.name_any()},
            "spec": serde_json::to_value(self.object.spec()).unwrap_or_default(),
        });
        let mut data = encoded(&self.values);
        data.insert(RESOURCE_VARIABLE.to_owned(), ByteString(resource.to_string().into_bytes()));
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: self.object.namespace(),
                labels: Some(BTreeMap::from([(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned())])),
                annotations: Some(self.annotations(None)),
                owner_references: Some(vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            data: Some(data),
            type_: Some(SECRET_TYPE.to_owned()),
            immutable: Some(true),
            string_data: None,
        }
    }

    /// The pod that checks them in the place of the server.
    pub(super) fn pod(
        &self,
        owner: &OwnerReference,
        server: &ServerTemplate,
        pods: &ServerPods,
        revision: Option<u64>,
    ) -> Pod {
        // The authorities are a file, and may be longer than a variable can be.
        let names = self.values.iter().map(|(name, _)| name).filter(|name| *name != CA_FILE);
        let variables: Vec<_> = names.chain([RESOURCE_VARIABLE]).collect();
        let authorities = match self.values.get(CA_FILE) {
            Some(_) => CandidateAuthorities::Some,
            None => CandidateAuthorities::None,
        };
        ProbePod {
            name: &self.name,
            namespace: &self.object.namespace().unwrap_or_default(),
            owner,
            annotations: &self.annotations(revision),
            server,
            resource: &owner_in_targets(self.object),
            image: &pods.image,
            pull_secrets: &pods.pull_secrets,
            values: &self.name,
            variables: &variables,
            authorities,
            arguments: &pods.arguments,
            deadline: pods.patience,
        }
        .build()
    }

    /// Whether an object was made for this check, and not for one of earlier inputs.
    pub(super) fn is_of_inputs(&self, metadata: &ObjectMeta) -> bool {
        annotation(metadata, INPUTS_ANNOTATION) == Some(self.inputs.as_str())
    }

    fn annotations(&self, revision: Option<u64>) -> BTreeMap<String, String> {
        let revision = revision.map(|number| (REVISION_ANNOTATION.to_owned(), number.to_string()));
        let inputs = (INPUTS_ANNOTATION.to_owned(), self.inputs.clone());
        [inputs].into_iter().chain(revision).collect()
    }
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// The reference to the resource with which the objects of a check are deleted. It does not block a deletion of the
/// resource, for which a right of its own would be needed.
pub(super) fn owner_of<K: Kind>(object: &K) -> Option<OwnerReference> {
    let owner = object.controller_owner_ref(&())?;
    Some(OwnerReference { block_owner_deletion: None, ..owner })
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belonging {
    /// This resource's.
    Own,
    /// That of an earlier resource of the same kind and name, which is gone.
    Former,
    /// Somebody else's.
    Foreign,
}

impl Belonging {
    /// Whose this object is, by its controller.
    pub(super) fn of<K: Kind>(metadata: &ObjectMeta, object: &K) -> Self {
        let owners = metadata.owner_references.iter().flatten();
        let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
        match controller {
            Some(owner) if Some(&owner.uid) == object.uid().as_ref() => Self::Own,
            Some(owner) if owner.kind == K::kind(&()) && owner.name == object.name_any() => Self::Former,
            _ => Self::Foreign,
        }
    }
}

/// The revision after whose rollout a pod checks.
pub(super) fn revision_of(pod: &Pod) -> Option<u64> {
    annotation(&pod.metadata, REVISION_ANNOTATION)?.parse().ok()
}

/// How long ago the pod was created.
pub(super) fn age(pod: &Pod, now: Timestamp) -> SignedDuration {
    let created = pod.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    now.duration_since(created)
}

/// Whether the container of the check may have begun. A node that does not answer may have begun it all the same.
pub(super) fn may_have_begun(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let own = containers.and_then(|all| all.iter().find(|each| each.name == PROBE_CONTAINER));
    match own.and_then(|own| own.state.as_ref()) {
        Some(state) => state.running.is_some() || state.terminated.is_some(),
        None => pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
    }
}

/// How long ago the check ended.
pub(super) fn ended_ago(pod: &Pod, now: Timestamp) -> Option<SignedDuration> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let own = containers.iter().find(|each| each.name == PROBE_CONTAINER)?;
    let finished = own.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0;
    Some(now.duration_since(finished))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LdapConfig;

    fn object(secret: &str) -> LdapConfig {
        serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": "corp", "namespace": "team", "uid": "u"},
            "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org", "secretName": secret},
        }))
        .unwrap()
    }

    #[test]
    fn every_resource_has_one_name_that_fits() {
        assert_eq!(name_of(&object("corp-env")), "corp-env-check");
        let [a, b] = ["a", "b"].map(|end| name_of(&object(&format!("{}{end}", "x".repeat(252)))));
        assert!(a != b && a.len() <= LONGEST_NAME && crate::api::common::is_object_name(&a), "{a}");
        assert_eq!(owner_in_targets(&object("corp-env")).number_of("corp-env-check"), None);
    }

    #[test]
    fn only_a_controller_says_whose_an_object_is() {
        let of = |kind: &str, uid: &str, controller: bool| {
            let metadata = json!({"ownerReferences": [{
                "apiVersion": "v1", "kind": kind, "name": "corp", "uid": uid, "controller": controller,
            }]});
            Belonging::of(&serde_json::from_value(metadata).unwrap(), &object("corp-env"))
        };
        assert_eq!(of("LdapConfig", "u", true), Belonging::Own);
        assert_eq!(of("LdapConfig", "v", true), Belonging::Former);
        assert_eq!(of("LdapConfig", "u", false), Belonging::Foreign);
        assert_eq!(of("ReplicaSet", "v", true), Belonging::Foreign);
        assert_eq!(Belonging::of(&ObjectMeta::default(), &object("corp-env")), Belonging::Foreign);
    }

    #[test]
    fn what_runs_or_may_run_has_begun() {
        let pod = |spec: &str, status: &str| -> Pod {
            serde_yaml::from_str(&format!("{{spec: {{containers: [], {spec}}}, status: {status}}}")).unwrap()
        };
        let state = |state: &str| {
            format!(
                "{{containerStatuses: [{{name: check, image: i, imageID: i, ready: false, restartCount: 0, state: {state}}}]}}"
            )
        };
        for (spec, status, begun) in [
            ("", "{}".to_owned(), false),
            ("nodeName: a", "{}".to_owned(), true),
            ("nodeName: a", state("{waiting: {reason: ImagePullBackOff}}"), false),
            ("nodeName: a", state("{running: {}}"), true),
            ("nodeName: a", state("{terminated: {exitCode: 137}}"), true),
        ] {
            assert_eq!(may_have_begun(&pod(spec, &status)), begun, "{spec} {status}");
        }
    }
}
