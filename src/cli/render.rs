//! `render`: the Secret and the entries that resources lead to.

use std::{collections::BTreeMap, io::Write};

use clap::Args;
use kube::core::ApiResource;
use serde::Serialize;

use super::{
    CommandVerdict,
    dyn_resource::{CheckObstacle, CheckSurroundings, Rendered, Title},
    sources::SourceArgs,
    wiring, yaml,
};
use crate::{
    problem::Problem,
    sensitive::Sensitive,
    workloads::{Delivery, preview, stored_resource},
};

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct RenderArguments {
    #[command(flatten)]
    sources: SourceArgs,

    /// Print secret values, too: passwords, keys and tokens.
    #[arg(long)]
    reveal: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretManifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: RenderedMetadata<'a>,
    #[serde(rename = "type")]
    type_: &'static str,
    string_data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct RenderedMetadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// Prints what every resource leads to, as if all checks had passed.
pub(super) async fn render(arguments: &RenderArguments) -> anyhow::Result<CommandVerdict> {
    let (references, manifests) = arguments.sources.read().await?;
    let stored = match references.cluster() {
        Some(cluster) => stored_resource(&cluster.client).await.ok().flatten(),
        None => None,
    };
    let mut verdict = CommandVerdict::Passed;
    let mut output = std::io::stdout().lock();
    for resource in &manifests.resources {
        let objects = references.of(&**resource, &manifests).await?;
        let surroundings = CheckSurroundings {
            objects: &objects,
            resources: &manifests.resources,
            cluster: references.cluster(),
        };
        let title = resource.title();
        match resource.render(surroundings) {
            Ok(rendered) => {
                let show =
                    |value| if arguments.reveal { Sensitive::expose(value) } else { rendered.shown(value) };
                write!(output, "{}", text(&title, &rendered, show, stored.as_ref())?)?;
            }
            Err(obstacle) => {
                let advice = references.advice(&obstacle, &**resource, &manifests);
                let complaint = complaint(&title, resource.origin(), &obstacle, advice.as_deref());
                eprintln!("error: {complaint}");
                verdict = CommandVerdict::NotUsable;
            }
        }
    }
    Ok(verdict)
}

/// Why nothing can be rendered. There are no conditions without a controller, so none is named.
fn complaint(title: &Title, origin: &str, obstacle: &CheckObstacle, advice: Option<&str>) -> String {
    let Title { kind, namespace, name } = title;
    let Problem { reason, message, .. } = &obstacle.problem;
    let advice = advice.map_or_else(String::new, |advice| format!(" {advice}"));
    format!("{kind} {namespace}/{name} ({origin}): {reason}: {message}{advice}")
}

fn text<'a>(
    title: &Title,
    rendered: &'a Rendered,
    show: impl Fn(&'a Sensitive) -> &'a str,
    stored: Option<&ApiResource>,
) -> anyhow::Result<String> {
    let secret = SecretManifest {
        api_version: "v1",
        kind: "Secret",
        metadata: RenderedMetadata { name: &rendered.secret_name, namespace: &title.namespace },
        type_: "Opaque",
        string_data: rendered.values.iter().map(|(name, value)| (name, show(value))).collect(),
    };
    let Title { kind, name, .. } = title;
    let secret = yaml::write(&secret)?;
    let entries = entries(rendered, stored)?;
    Ok(format!(
        "---\n# The Secret that {kind} {name} publishes once its checks have passed.\n{secret}{entries}"
    ))
}

/// What the target gets; without one, the entries for a person to write somewhere.
fn entries(rendered: &Rendered, stored: Option<&ApiResource>) -> anyhow::Result<String> {
    let Some(target) = &rendered.target else { return wiring::by_hand(rendered) };
    let name = |object: &serde_json::Value| {
        let name = object.pointer("/metadata/name").and_then(serde_json::Value::as_str);
        name.unwrap_or_default().to_owned()
    };
    let delivery = Delivery { number: 1, environment: rendered.environment, values: &rendered.values };
    let mut parts = Vec::new();
    for object in preview(target, &rendered.owner, &delivery) {
        let word = |field: &str| object.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (kind, version) = (word("kind"), word("apiVersion"));
        if stored.is_some_and(|stored| stored.kind == kind && stored.api_version != version) {
            continue;
        }
        let entries = yaml::write(&object)?;
        parts.push(format!(
            "---\n# What {kind}/{} ({version}) gets, with the number of the revision instead of the 1.\n{entries}",
            name(&object)
        ));
    }
    Ok(parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ConditionType, Reason};

    #[test]
    fn a_complaint_names_no_condition() {
        let title = Title { kind: "LdapConfig".into(), namespace: "default".into(), name: "corp".into() };
        let problem = Problem::new(Reason::SecretNotFound, "There is no Secret.");
        let obstacle = CheckObstacle { condition: ConditionType::ResolvedRefs, problem };
        assert_eq!(
            complaint(&title, "corp.yaml, document 1", &obstacle, Some("Add it with -f.")),
            "LdapConfig default/corp (corp.yaml, document 1): SecretNotFound: There is no Secret. Add it with -f."
        );
    }
}
