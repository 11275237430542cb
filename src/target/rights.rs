//! What the operator needs to be allowed in a namespace with targets.

use kube::core::ApiResource;

use crate::{api::Reason, problem::Problem};

/// The core group has the pods, and every other one what a target can be.
const OF_PODS: [&str; 2] = ["list", "delete"];
const OF_TARGETS: [&str; 4] = ["get", "list", "watch", "patch"];

/// The problem that the operator may not do this to that object, with all that it will need of its resource.
pub(super) fn forbidden(verb: &str, object: &str, resource: &ApiResource) -> Problem {
    let verbs = verbs(resource);
    let (last, others) = verbs.split_last().map_or(("", verbs), |(last, others)| (*last, others));
    let ApiResource { plural, group, .. } = resource;
    let name = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
    Problem::new(
        Reason::Forbidden,
        format!(
            "The operator may not {verb} {object}. Give its service account the verbs {} and {last} on {name} in this namespace, as deploy/operator.yaml does.",
            others.join(", ")
        ),
    )
}

fn verbs(resource: &ApiResource) -> &'static [&'static str] {
    if resource.group.is_empty() { &OF_PODS } else { &OF_TARGETS }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::{Deployment, StatefulSet},
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
    }
}
