//! Finds the revisions that must be kept, because a pod refers to them or would refer to them when it is made.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{Pod, PodSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Client, api::ListParams};
use serde::Deserialize;

use super::{Owner, TargetSnapshot, list::list, references::revisions};
use crate::error::StepError;

/// Every object of a namespace that is a pod or makes pods.
#[derive(Debug, Default)]
struct PodMakers {
    deployments: Vec<Deployment>,
    stateful_sets: Vec<StatefulSet>,
    daemon_sets: Vec<DaemonSet>,
    cron_jobs: Vec<CronJob>,
    replica_sets: Vec<ReplicaSet>,
    /// The current and earlier pod templates of `StatefulSet`s.
    controller_revisions: Vec<ControllerRevision>,
    jobs: Vec<Job>,
    pods: Vec<Pod>,
}

/// The owner's revisions that the target, a pod of the namespace, or any object there that makes pods refers to.
/// None of them may be deleted.
pub async fn in_use(
    client: &Client,
    namespace: &str,
    seen: Option<&TargetSnapshot>,
    owner: &Owner,
) -> Result<BTreeSet<u64>, StepError> {
    let mut numbers = read(client, namespace).await?.refer_to(owner);
    numbers.extend(seen.into_iter().flat_map(|seen| seen.standing(owner).numbers));
    Ok(numbers)
}

/// Lists the objects. Controllers are listed before the objects that they make, so a pod that is made meanwhile is
/// found either through its controller or itself. Lists that need no order are asked for at the same time: each may wait
/// for the API server's cache, and a deletion repeats them until nothing is in use.
async fn read(client: &Client, namespace: &str) -> Result<PodMakers, StepError> {
    let all = ListParams::default();
    let (deployments, stateful_sets, daemon_sets, cron_jobs) = tokio::join!(
        list(client, namespace, &all),
        list(client, namespace, &all),
        list(client, namespace, &all),
        list(client, namespace, &all),
    );
    let (replica_sets, controller_revisions, jobs) = tokio::join!(
        list(client, namespace, &all),
        list(client, namespace, &all),
        list(client, namespace, &all),
    );
    let pods = list(client, namespace, &all).await;
    // Where several are refused, it is always the same one that is told of.
    Ok(PodMakers {
        deployments: deployments?,
        stateful_sets: stateful_sets?,
        daemon_sets: daemon_sets?,
        cron_jobs: cron_jobs?,
        replica_sets: replica_sets?,
        controller_revisions: controller_revisions?,
        jobs: jobs?,
        pods: pods?,
    })
}

impl PodMakers {
    fn refer_to(&self, owner: &Owner) -> BTreeSet<u64> {
        let deployments =
            self.deployments.iter().filter_map(|each| each.spec.as_ref()?.template.spec.as_ref());
        let stateful_sets =
            self.stateful_sets.iter().filter_map(|each| each.spec.as_ref()?.template.spec.as_ref());
        let daemon_sets =
            self.daemon_sets.iter().filter_map(|each| each.spec.as_ref()?.template.spec.as_ref());
        let cron_jobs = self
            .cron_jobs
            .iter()
            .filter_map(|each| each.spec.as_ref()?.job_template.spec.as_ref()?.template.spec.as_ref());
        let jobs = self.jobs.iter().filter(|job| is_unfinished(job));
        let jobs = jobs.filter_map(|each| each.spec.as_ref()?.template.spec.as_ref());
        let replica_sets = self.replica_sets.iter().filter(|set| self.makes_pods(set));
        let replica_sets =
            replica_sets.filter_map(|each| each.spec.as_ref()?.template.as_ref()?.spec.as_ref());
        let pods = self.pods.iter().filter(|pod| is_alive(pod)).filter_map(|pod| pod.spec.as_ref());
        let specs = deployments.chain(stateful_sets).chain(daemon_sets).chain(cron_jobs);
        let specs = specs.chain(jobs).chain(replica_sets).chain(pods);
        let earlier: Vec<_> = self.stateful_sets.iter().flat_map(|set| self.earlier_templates(set)).collect();
        specs.chain(&earlier).flat_map(|spec| revisions(Some(spec), owner)).collect()
    }

    /// Whether the `ReplicaSet` may still make pods. One of an earlier template can do so until its own controller
    /// has observed that it must have none, and until the controller of the Deployment has observed the newer
    /// template.
    fn makes_pods(&self, set: &ReplicaSet) -> bool {
        let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = set.status.as_ref();
        let mut owners = self.deployments.iter().filter(|each| is_owned(&set.metadata, &each.metadata));
        wanted > 0
            || status.is_none_or(|status| status.replicas > 0)
            || lags(&set.metadata, status.and_then(|status| status.observed_generation))
            || owners.any(|deployment| {
                let status = deployment.status.as_ref();
                lags(&deployment.metadata, status.and_then(|status| status.observed_generation))
            })
    }

    /// The older templates of which the controller of the set may still make pods: the template from before the
    /// update, until every pod has the newest one, and the newest template that the controller has observed.
    fn earlier_templates(&self, set: &StatefulSet) -> Vec<PodSpec> {
        let status = set.status.as_ref();
        let names = status.into_iter().flat_map(|status| [&status.current_revision, &status.update_revision]);
        let names: BTreeSet<&String> = names.flatten().collect();
        let histories = self.controller_revisions.iter().filter(|each| {
            is_owned(&each.metadata, &set.metadata)
                && each.metadata.name.as_ref().is_some_and(|name| names.contains(name))
        });
        histories.filter_map(template_of).collect()
    }
}

/// The pod template that a `ControllerRevision` of a `StatefulSet` keeps.
fn template_of(history: &ControllerRevision) -> Option<PodSpec> {
    let spec = history.data.as_ref()?.0.pointer("/spec/template/spec")?;
    PodSpec::deserialize(spec).ok()
}

fn is_owned(object: &ObjectMeta, by: &ObjectMeta) -> bool {
    let owners = object.owner_references.iter().flatten();
    by.uid.is_some() && owners.into_iter().any(|owner| Some(&owner.uid) == by.uid.as_ref())
}

/// Whether the controller of the object has not observed its current spec yet.
fn lags(object: &ObjectMeta, observed: Option<i64>) -> bool {
    observed < object.generation
}

/// Whether the Job may still make a pod.
fn is_unfinished(job: &Job) -> bool {
    let mut conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    !conditions.any(|each| ["Complete", "Failed"].contains(&each.type_.as_str()) && each.status == "True")
}

/// Whether the pod has not ended for good.
fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// The spec of a pod that refers to this revision.
    fn pod(number: u64) -> Value {
        json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": format!("corp-ldap-{number}")}}]}]})
    }

    fn object<K: DeserializeOwned>(value: Value) -> Vec<K> {
        vec![serde_json::from_value(value).unwrap()]
    }

    /// A workload whose template refers to this revision.
    fn workload(number: u64, metadata: &Value, replicas: u64, status: &Value) -> Value {
        let spec = json!({"replicas": replicas, "selector": {}, "template": {"spec": pod(number)}});
        json!({"metadata": metadata, "spec": spec, "status": status})
    }

    fn of(uid: &str, generation: u64) -> Value {
        json!({"uid": uid, "generation": generation})
    }

    fn owned_by(uid: &str, name: &str) -> Value {
        let owner = json!({"apiVersion": "apps/v1", "kind": "Any", "name": "wandb", "uid": uid});
        json!({"name": name, "generation": 2, "ownerReferences": [owner]})
    }

    fn phase(number: u64, phase: &str) -> Value {
        json!({"spec": pod(number), "status": {"phase": phase}})
    }

    fn job(number: u64, condition: &str) -> Value {
        json!({
            "spec": {"template": {"spec": pod(number)}},
            "status": {"conditions": [{"type": condition, "status": "True"}]},
        })
    }

    /// A Deployment whose template refers to revision 1, with a `ReplicaSet` of an earlier template that refers to
    /// revision 9. The controller of the Deployment has observed generation `observed` of 2.
    fn deployment(observed: u64, replicas: u64, status: &Value) -> PodMakers {
        PodMakers {
            deployments: object(workload(1, &of("d", 2), 1, &json!({"observedGeneration": observed}))),
            replica_sets: object(workload(9, &owned_by("d", "old"), replicas, status)),
            ..PodMakers::default()
        }
    }

    /// A `StatefulSet` whose template refers to revision 1, with the `ControllerRevision` `old` that refers to
    /// revision 9.
    fn stateful_set(current: &str, update: &str) -> PodMakers {
        let status = json!({"replicas": 1, "currentRevision": current, "updateRevision": update});
        let data = json!({"spec": {"template": {"spec": pod(9), "$patch": "replace"}}});
        PodMakers {
            stateful_sets: object(workload(1, &of("s", 2), 1, &status)),
            controller_revisions: object(
                json!({"metadata": owned_by("s", "old"), "revision": 1, "data": data}),
            ),
            ..PodMakers::default()
        }
    }

    #[test]
    fn whatever_makes_pods_holds_what_they_refer_to() {
        let none = PodMakers::default;
        let gone = json!({"replicas": 0, "observedGeneration": 2});
        for (what, makers, held) in [
            ("nothing", none(), &[][..]),
            ("a running pod", PodMakers { pods: object(phase(3, "Running")), ..none() }, &[3]),
            ("a pod to come", PodMakers { pods: object(phase(3, "Pending")), ..none() }, &[3]),
            ("a pod that ended", PodMakers { pods: object(phase(3, "Succeeded")), ..none() }, &[]),
            ("a pod that failed", PodMakers { pods: object(phase(3, "Failed")), ..none() }, &[]),
            ("a Job", PodMakers { jobs: object(job(3, "Suspended")), ..none() }, &[3]),
            ("a Job that ended", PodMakers { jobs: object(job(3, "Complete")), ..none() }, &[]),
            ("a Job that failed", PodMakers { jobs: object(job(3, "Failed")), ..none() }, &[]),
            (
                "a CronJob",
                PodMakers {
                    cron_jobs: object(
                        json!({"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": pod(3)}}}}}),
                    ),
                    ..none()
                },
                &[3],
            ),
            (
                "a DaemonSet",
                PodMakers { daemon_sets: object(workload(3, &of("x", 1), 1, &Value::Null)), ..none() },
                &[3],
            ),
            ("an earlier set without pods", deployment(2, 0, &gone), &[1]),
            ("an earlier set that is to have pods", deployment(2, 1, &gone), &[1, 9]),
            (
                "an earlier set with pods",
                deployment(2, 0, &json!({"replicas": 1, "observedGeneration": 2})),
                &[1, 9],
            ),
            (
                "an earlier set whose controller lags",
                deployment(2, 0, &json!({"replicas": 0, "observedGeneration": 1})),
                &[1, 9],
            ),
            ("an earlier set of which nothing is known", deployment(2, 0, &Value::Null), &[1, 9]),
            ("a Deployment whose controller lags", deployment(1, 0, &gone), &[1, 9]),
            ("a StatefulSet after its update", stateful_set("new", "new"), &[1]),
            ("a StatefulSet during its update", stateful_set("old", "new"), &[1, 9]),
            ("a StatefulSet whose controller lags", stateful_set("old", "old"), &[1, 9]),
        ] {
            let owner = Owner::new("LdapConfig", "ldap", "manager", "corp", "corp-ldap".to_owned());
            assert_eq!(makers.refer_to(&owner), held.iter().copied().collect(), "{what}");
            let other = Owner::new("LdapConfig", "ldap", "manager", "corp", "other-ldap".to_owned());
            assert_eq!(makers.refer_to(&other), BTreeSet::new(), "{what}");
        }
    }
}
