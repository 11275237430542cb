//! Reads the other sources from which the W&B operator v1 takes the chart and its values.

use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use serde_json::Value;

use crate::{api::Reason, problem::Problem, workloads::weights_and_biases::tree};

/// Who wrote values of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuesAuthor {
    /// The `WeightsAndBiases` resource itself.
    Resource,
    /// The System Console, which keeps its values in the Secret `<name>-spec-user`.
    Console,
    /// The `ConfigMap` `wandb-spec-managed`.
    Managed,
    /// W&B's release channel, of which the Secret `<name>-latest-cached-release` holds a copy.
    Channel,
}

/// The chart and the values of one source.
#[derive(Clone)]
pub struct ValueSource {
    /// Who wrote the chart and the values.
    pub origin: ValuesAuthor,
    /// The values.
    pub values: Value,
    /// Which chart the source names; null if it names none.
    pub chart: Value,
}

/// The sources in addition to the resource, in falling precedence.
#[derive(Clone, Debug, Default)]
pub struct ValueSources {
    /// The sources that the W&B operator merges below the resource.
    pub merged: Vec<ValueSource>,
    /// The chart that was installed last. It is read only if none of the sources names a chart.
    pub installed: Value,
    /// Why a source could not be read. The merged values are unknown then.
    pub unreadable: Option<Problem>,
}

/// Prints only the author, because the values may contain secrets.
impl fmt::Debug for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Values and a chart, which the W&B operator stores as JSON in the entries of an object.
type Stored = Option<(Value, Value)>;

/// The `ConfigMap` with the settings that W&B manages.
pub const MANAGED: &str = "wandb-spec-managed";

impl ValuesAuthor {
    /// The object with the values for a resource of this name, as messages name it; `None` for the resource itself.
    pub fn object(self, name: &str) -> Option<String> {
        match self {
            Self::Resource => None,
            Self::Console => Some(format!("Secret \"{}\"", user_spec(name))),
            Self::Managed => Some(format!("ConfigMap \"{MANAGED}\"")),
            Self::Channel => Some(format!("Secret \"{}\"", cached_release(name))),
        }
    }
}

/// The name of the Secret with the values that the System Console wrote for the resource of this name.
pub fn user_spec(name: &str) -> String {
    format!("{name}-spec-user")
}

/// The name of the Secret with the copy of W&B's release channel for the resource of this name.
pub fn cached_release(name: &str) -> String {
    format!("{name}-latest-cached-release")
}

/// Reads every source for the resource of this name. The W&B operator takes either the managed values or those of
/// the channel, depending on how it was started. If both exist, both count.
pub(in crate::workloads) async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<ValueSources, kube::Error> {
    let mut sources = ValueSources::default();
    let found = [
        (ValuesAuthor::Console, of_secret(client, namespace, &user_spec(name)).await?),
        (ValuesAuthor::Managed, of_config_map(client, namespace).await?),
        (ValuesAuthor::Channel, of_secret(client, namespace, &cached_release(name)).await?),
    ];
    for (origin, entries) in found {
        match stored(&origin.object(name).unwrap_or_default(), &entries) {
            Ok(stored) => {
                sources.merged.extend(stored.map(|(values, chart)| ValueSource { origin, values, chart }));
            }
            Err(problem) => sources.unreadable = sources.unreadable.or(Some(problem)),
        }
    }
    if !sources.merged.iter().any(|source| source.chart.is_object()) {
        let active = format!("{name}-spec-active");
        let entries = of_secret(client, namespace, &active).await?;
        let stored = stored(&format!("Secret \"{active}\""), &entries);
        sources.installed = stored.ok().flatten().map(|(_, chart)| chart).unwrap_or_default();
    }
    Ok(sources)
}

/// The entries of an object in which the W&B operator stores values of its chart.
#[derive(Default)]
struct StoredEntries {
    values: Option<Vec<u8>>,
    chart: Option<Vec<u8>>,
}

async fn of_secret(client: &Client, namespace: &str, name: &str) -> Result<StoredEntries, kube::Error> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
    let mut data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let mut entry = |key: &str| data.remove(key).map(|value| value.0);
    Ok(StoredEntries { values: entry("values"), chart: entry("chart") })
}

async fn of_config_map(client: &Client, namespace: &str) -> Result<StoredEntries, kube::Error> {
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(MANAGED).await?;
    let mut data = map.and_then(|map| map.data).unwrap_or_default();
    let mut entry = |key: &str| data.remove(key).map(String::into_bytes);
    Ok(StoredEntries { values: entry("values"), chart: entry("chart") })
}

fn stored(object: &str, entries: &StoredEntries) -> Result<Stored, Problem> {
    let Some(values) = &entries.values else { return Ok(None) };
    let parse = |text: &Vec<u8>| {
        serde_json::from_slice::<Value>(text).map_err(|_| {
            Problem::new(
                Reason::TargetRefused,
                format!(
                    "The {object} holds values of W&B's chart that are not JSON, so neither the W&B operator nor this one can read them. Correct it."
                ),
            )
        })
    };
    Ok(Some((parse(values)?, entries.chart.as_ref().map(parse).transpose()?.unwrap_or_default())))
}

impl ValueSources {
    /// The values of every source, beginning with those of the resource.
    pub fn values<'a>(&'a self, resource: &'a Value) -> impl Iterator<Item = (ValuesAuthor, &'a Value)> {
        let own = tree::find(resource, &["spec", "values"]).map(|values| (ValuesAuthor::Resource, values));
        own.into_iter().chain(self.merged.iter().map(|source| (source.origin, &source.values)))
    }

    /// The chart of every source, beginning with that of the resource and ending with the one that was installed
    /// last.
    pub fn charts<'a>(&'a self, resource: &'a Value) -> impl Iterator<Item = &'a Value> {
        let own = tree::find(resource, &["spec", "chart"]);
        own.into_iter().chain(self.merged.iter().map(|source| &source.chart)).chain([&self.installed])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_the_other_operator_stores_them() {
        let values = br#"{"global": {"host": "https://wandb.example.com"}}"#.as_slice();
        let chart = br#"{"url": "https://charts.example.com", "name": "operator-wandb"}"#.as_slice();
        let stored = |values: Option<&[u8]>, chart: Option<&[u8]>| {
            let entries =
                StoredEntries { values: values.map(<[u8]>::to_vec), chart: chart.map(<[u8]>::to_vec) };
            stored("Secret \"s\"", &entries)
        };
        let (found, of) = stored(Some(values), Some(chart)).unwrap().unwrap();
        assert_eq!(found, json!({"global": {"host": "https://wandb.example.com"}}));
        assert_eq!(of["name"], "operator-wandb");
        assert_eq!(stored(Some(b"null"), None), Ok(Some((Value::Null, Value::Null))));
        assert_eq!(stored(None, Some(chart)), Ok(None));
        let problem = stored(Some(b"s3cret: yaml"), None).unwrap_err();
        assert_eq!(problem.reason, Reason::TargetRefused);
        assert!(problem.message.starts_with("The Secret \"s\" holds values"), "{}", problem.message);
        assert!(!problem.message.contains("s3cret"));
    }

    #[test]
    fn values_are_not_printed() {
        let values = json!({"global": {"license": "s3cret"}});
        let source = ValueSource { origin: ValuesAuthor::Console, values, chart: Value::Null };
        assert_eq!(format!("{source:?}"), "Source { origin: Console, .. }");
    }
}
