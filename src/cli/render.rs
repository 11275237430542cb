//! `render`: the Secret and the env entries that resources lead to.

use std::{collections::BTreeMap, io::Write, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::{
    Verdict,
    examine::{Obstacle, Rendered, Surroundings, Title},
    manifests::Manifests,
    references::References,
};
use crate::sensitive::Sensitive;

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct RenderArguments {
    /// File or directory with the resources and what they refer to, or - for standard input; may be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,

    /// Read referenced Secrets and ConfigMaps from the current context's cluster.
    #[arg(long)]
    from_cluster: bool,

    /// Print the values themselves, passwords included.
    #[arg(long)]
    reveal: bool,
}

/// Stands for a value that is not printed.
const MASK: &str = "********";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretManifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(rename = "type")]
    type_: &'static str,
    string_data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvEntry<'a> {
    name: &'a str,
    value_from: ValueFrom<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom<'a> {
    secret_key_ref: SecretKeyRef<'a>,
}

#[derive(Serialize)]
struct SecretKeyRef<'a> {
    name: &'a str,
    key: &'a str,
}

/// Prints what every resource leads to, as if all checks had passed.
pub(super) async fn render(arguments: &RenderArguments) -> anyhow::Result<Verdict> {
    let (references, namespace) = if arguments.from_cluster {
        References::from_cluster().await?
    } else {
        (References::Files, "default".to_owned())
    };
    let manifests = Manifests::read(&arguments.files, &namespace)?;
    let show: fn(&Sensitive) -> &str = if arguments.reveal { Sensitive::expose } else { |_| MASK };
    let mut verdict = Verdict::Passed;
    let mut output = std::io::stdout().lock();
    for resource in &manifests.resources {
        let objects = references.of(&**resource, &manifests).await?;
        let surroundings =
            Surroundings { objects: &objects, resources: &manifests.resources, client: references.client() };
        let title = resource.title();
        match resource.render(surroundings) {
            Ok(rendered) => write!(output, "{}", text(&title, &rendered, show)?)?,
            Err(obstacle) => {
                let advice =
                    references.advice(&obstacle).map_or_else(String::new, |advice| format!(" {advice}"));
                let (Title { kind, namespace, name }, Obstacle { condition, problem }) = (&title, &obstacle);
                eprintln!(
                    "error: {kind} {namespace}/{name} ({}): {condition} is False, {}: {}{advice}",
                    resource.origin(),
                    problem.reason,
                    problem.message
                );
                verdict = Verdict::NotUsable;
            }
        }
    }
    Ok(verdict)
}

fn text(title: &Title, rendered: &Rendered, show: fn(&Sensitive) -> &str) -> anyhow::Result<String> {
    let secret = SecretManifest {
        api_version: "v1",
        kind: "Secret",
        metadata: Metadata { name: &rendered.secret_name, namespace: &title.namespace },
        type_: "Opaque",
        string_data: rendered.values.iter().map(|(name, value)| (name, show(value))).collect(),
    };
    let entries: Vec<_> = rendered
        .environment
        .iter()
        .filter_map(|env| env.local)
        .filter(|name| rendered.values.get(name).is_some())
        .map(|name| EnvEntry {
            name,
            value_from: ValueFrom { secret_key_ref: SecretKeyRef { name: &rendered.secret_name, key: name } },
        })
        .collect();
    let Title { kind, name, .. } = title;
    let secret = serde_yaml::to_string(&secret)?;
    let entries = serde_yaml::to_string(&BTreeMap::from([("env", entries)]))?;
    Ok(format!(
        "---\n# The Secret that {kind} {name} publishes once its checks have passed.\n{secret}---\n# {}\n{entries}",
        rendered.destination
    ))
}
