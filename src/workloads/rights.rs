//! The permissions that the operator needs in a namespace with targets, for the messages about missing ones.

use kube::core::ApiResource;

use crate::{api::Reason, problem::Problem};

const OF_PODS: [&str; 2] = ["list", "delete"];
const OF_TARGETS: [&str; 4] = ["get", "list", "watch", "patch"];
/// For objects that only make pods.
const OF_OTHERS: [&str; 1] = ["list"];

/// The problem that the operator lacks a permission. It names every verb that the operator needs for the resource.
pub(super) fn forbidden(verb: &str, object: &str, resource: &ApiResource) -> Problem {
    let verbs = verbs(resource);
    let verbs = match verbs.split_last() {
        Some((only, [])) => format!("verb {only}"),
        Some((last, others)) => format!("verbs {} and {last}", others.join(", ")),
        None => String::new(),
    };
    let ApiResource { plural, group, .. } = resource;
    let name = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
    Problem::new(
        Reason::Forbidden,
        format!(
            "The operator is not allowed to {verb} {object}. Give its service account the {verbs} on {name} in this namespace, as deploy/operator.yaml does."
        ),
    )
}

fn verbs(resource: &ApiResource) -> &'static [&'static str] {
    match resource.plural.as_str() {
        "pods" => &OF_PODS,
        "deployments" | "statefulsets" | "weightsandbiases" => &OF_TARGETS,
        _ => &OF_OTHERS,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::Pod,
        rbac::v1::{PolicyRule, Role},
    };
    use serde::Deserialize;

    use super::*;

    #[test]
    fn the_verbs_are_those_of_the_role() {
        let manifest = include_str!("../../deploy/operator.yaml");
        let documents = serde_yaml::Deserializer::from_str(manifest);
        let documents = documents.map(|document| serde_json::Value::deserialize(document).unwrap());
        let granting = documents.filter(|document| document["kind"] == "Role");
        let rules: Vec<PolicyRule> = granting
            .flat_map(|role| serde_json::from_value::<Role>(role).unwrap().rules.unwrap_or_default())
            .collect();
        let mut servers = ApiResource::erase::<Pod>(&());
        (servers.group, servers.plural) = ("apps.wandb.com".to_owned(), "weightsandbiases".to_owned());
        for resource in [
            ApiResource::erase::<Deployment>(&()),
            ApiResource::erase::<StatefulSet>(&()),
            ApiResource::erase::<Pod>(&()),
            ApiResource::erase::<ReplicaSet>(&()),
            ApiResource::erase::<ControllerRevision>(&()),
            ApiResource::erase::<DaemonSet>(&()),
            ApiResource::erase::<Job>(&()),
            ApiResource::erase::<CronJob>(&()),
            servers,
        ] {
            let has =
                |list: &Option<Vec<String>>, text: &String| list.iter().flatten().any(|each| each == text);
            let rule = rules.iter().find(|rule| {
                has(&rule.api_groups, &resource.group) && has(&rule.resources, &resource.plural)
            });
            assert_eq!(rule.unwrap().verbs, verbs(&resource), "{}", resource.plural);
        }
    }

    #[test]
    fn says_what_to_allow() {
        let problem = forbidden("change", "Deployment/wandb", &ApiResource::erase::<Deployment>(&()));
        assert_eq!(problem.reason, Reason::Forbidden);
        insta::assert_snapshot!(problem.message);
        let problem = forbidden("list", "jobs", &ApiResource::erase::<Job>(&()));
        assert_eq!(
            problem.message,
            "The operator is not allowed to list jobs. Give its service account the verb list on jobs.batch in this namespace, as deploy/operator.yaml does."
        );
    }
}
