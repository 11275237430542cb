//! Finds what is imported: a workload or W&B's resource in the cluster, or the manifests and values in files.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::PodSpec,
};
use kube::{
    Api,
    core::{ApiResource, DynamicObject},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        cluster,
        manifests::{self, Manifests, Placed, named as named_paths},
        references::References,
        yaml::YamlDocument,
    },
    ImportArguments,
    named::{InstallationKind, Named},
};
use crate::{
    api_server::Cluster,
    engine::{Fetched, ObjectKey, Reference, Requirement},
    import::{
        Installation, ServerShape,
        chart::{self, Chart, Chosen},
        layers, made_names, resource,
        workload::{self, Company},
    },
    workloads::stored_resource,
};

/// The installations to import, and the sources of the objects to which they refer.
pub(super) struct Gathered {
    pub(super) subjects: Vec<Installation>,
    pub(super) references: References,
    /// The Secrets and ConfigMaps in the files.
    pub(super) manifests: Manifests,
}

impl Gathered {
    pub(super) async fn read(arguments: &ImportArguments) -> anyhow::Result<Self> {
        let named = arguments.target.as_deref().map(Named::parse).transpose()?;
        if arguments.files.is_empty() {
            let named = named.context("expected the workload that runs the server, or -f with files")?;
            return Self::from_cluster(&named, arguments).await;
        }
        let (references, namespace) = if arguments.from_cluster {
            let (references, namespace) = References::from_cluster().await?;
            (upcoming(references), namespace)
        } else {
            (References::Files, "default".to_owned())
        };
        let namespace = arguments.namespace.clone().unwrap_or(namespace);
        let mut manifests = Manifests::default();
        let mut subjects = Vec::new();
        for Placed { place, document } in manifests::documents(&arguments.files)? {
            let from_file = File { place: &place, namespace: &namespace, named: named.as_ref(), arguments };
            for value in items(&document.value) {
                subjects.extend(from_file.subject(value)?);
            }
            if document.value.get("kind").is_some() {
                manifests.add(&place, document, &namespace)?;
            }
        }
        // Resources of this operator in the files are not imported, and must not be checked.
        manifests.resources.clear();
        if subjects.is_empty() {
            let wanted = named.map_or_else(
                || "Deployment, StatefulSet, WeightsAndBiases or chart values".to_owned(),
                |named| format!("{}/{}", named.kind.name(), named.name),
            );
            bail!("there is no {wanted} in {}; nothing was imported", named_paths(&arguments.files));
        }
        Ok(Self { subjects, references, manifests })
    }

    async fn from_cluster(named: &Named, arguments: &ImportArguments) -> anyhow::Result<Self> {
        let config = cluster::current().await?;
        let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = cluster::client(config.clone())?;
        let resource = match named.kind {
            InstallationKind::Deployment => ApiResource::erase::<Deployment>(&()),
            InstallationKind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            InstallationKind::WeightsAndBiases => stored_resource(&client)
                .await?
                .context("the cluster has no WeightsAndBiases in a version that this program knows")?,
        };
        let Named { kind, name } = named;
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let found = api
            .get_opt(name)
            .await
            .with_context(|| format!("{}/{name} in the namespace {namespace} cannot be read", kind.name()))?;
        let object = found.ok_or_else(|| {
            anyhow!("there is no {}/{name} in the namespace {namespace}; name another with -n", kind.name())
        })?;
        let mut value = serde_json::to_value(&object)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".to_owned(), resource.api_version.into());
        }
        let place = format!("{}/{name} of the namespace {namespace}", kind.name());
        let subject = subject(named, &place, &namespace, &value, arguments)?;
        let manifests = Manifests::default();
        let cluster = Cluster::new(client, config);
        Ok(Self { subjects: vec![subject], references: References::Upcoming(cluster), manifests })
    }

    /// The installation with the values that W&B's operator merges into it.
    pub(super) async fn with_layers(&self, subject: Installation) -> anyhow::Result<Installation> {
        let Some(values) = &subject.values else { return Ok(subject) };
        let objects = self.fetch(&subject.namespace, layers::sources(&subject.name)).await?;
        let Chosen { shape, entries, certificates, host } =
            chart::operator(&layers::merged(values, &subject.name, &objects));
        Ok(Installation { shape: Some(shape), entries, certificates, host, ..subject })
    }

    /// The objects to which the installation refers, and those with names that new Secrets may get.
    pub(super) async fn objects(
        &self,
        subject: &Installation,
    ) -> anyhow::Result<BTreeMap<ObjectKey, Fetched>> {
        self.fetch(&subject.namespace, subject.objects().into_iter().chain(made_names(&subject.name))).await
    }

    async fn fetch(
        &self,
        namespace: &str,
        objects: impl IntoIterator<Item = ObjectKey>,
    ) -> anyhow::Result<BTreeMap<ObjectKey, Fetched>> {
        let references: Vec<_> = objects
            .into_iter()
            .map(|ObjectKey { source, name }| Reference {
                source,
                name: name.to_string(),
                key: String::new(),
                field: "".into(),
                need: Requirement::Optional,
            })
            .collect();
        self.references.fetch(namespace, &references, &self.manifests).await
    }
}

/// Lets objects that this program creates count in addition to those in the cluster.
fn upcoming(references: References) -> References {
    match references {
        References::Cluster(cluster) => References::Upcoming(cluster),
        other => other,
    }
}

/// The document itself, or the items if it is a list.
fn items(value: &Value) -> Vec<&Value> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get("items").and_then(Value::as_array).filter(|_| is_list) {
        Some(items) => items.iter().collect(),
        None => vec![value],
    }
}

/// A document of a file, with what is needed to interpret it.
struct File<'a> {
    place: &'a str,
    namespace: &'a str,
    named: Option<&'a Named>,
    arguments: &'a ImportArguments,
}

impl File<'_> {
    /// The installation that the document describes, or `None` if it describes something else.
    fn subject(&self, value: &Value) -> anyhow::Result<Option<Installation>> {
        if let Some(kind) = InstallationKind::of(value) {
            let name = value.pointer("/metadata/name").and_then(Value::as_str);
            let name = name.with_context(|| format!("{}: metadata.name is missing", self.place))?;
            let own = Named { kind, name: name.to_owned() };
            if self.named.is_some_and(|named| *named != own) {
                return Ok(None);
            }
            let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str);
            let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or(self.namespace);
            let place = format!("{}/{name} in {}", kind.name(), self.place);
            return match subject(&own, &place, namespace, value, self.arguments) {
                // Without a named target, the files may contain workloads that do not run a server.
                Err(_) if self.named.is_none() && has_no_server(value) => Ok(None),
                other => other.map(Some),
            };
        }
        if value.get("kind").is_some() || !value.is_object() {
            return Ok(None);
        }
        let Some(chart) = Chart::of(value) else {
            bail!(
                "{} is neither a manifest nor the values of the charts operator-wandb or wandb; expected global, sso, ldap or extraEnv in it",
                self.place
            );
        };
        Ok(Some(self.of_values(chart, value)))
    }

    fn of_values(&self, chart: Chart, values: &Value) -> Installation {
        let release = self.named.map(|named| named.name.as_str());
        let (chosen, chart) = match chart {
            Chart::Operator => (chart::operator(values), "operator-wandb"),
            Chart::Legacy => (chart::legacy(values, release), "wandb"),
        };
        let container = self.arguments.container.as_deref();
        let target = self.named.map(|named| match named.kind {
            InstallationKind::WeightsAndBiases => named.target(None),
            InstallationKind::Deployment | InstallationKind::StatefulSet => named.target(container),
        });
        let mut notes = Vec::new();
        if target.is_none() {
            notes.push("Chart values do not say which workload runs the server: the resources have no target, and publish Secrets only. Run this again with deployment/NAME or weightsandbiases/NAME.".to_owned());
        }
        Installation {
            place: format!("the values of the chart {chart} in {}", self.place),
            namespace: self.namespace.to_owned(),
            name: release.unwrap_or("wandb").to_owned(),
            target,
            notes,
            ..of_chosen(chosen)
        }
    }
}

/// Whether the workload has several containers. The caller already knows that no single one of them has an image of
/// W&B Server.
fn has_no_server(value: &Value) -> bool {
    pod(value).is_some_and(|pod| pod.containers.len() > 1)
}

fn of_chosen(Chosen { shape, entries, certificates, host }: Chosen) -> Installation {
    Installation {
        place: String::new(),
        namespace: String::new(),
        name: String::new(),
        target: None,
        shape: Some(shape),
        entries,
        certificates,
        host,
        values: None,
        notes: Vec::new(),
    }
}

fn pod(value: &Value) -> Option<PodSpec> {
    PodSpec::deserialize(value.pointer("/spec/template/spec")?).ok()
}

/// The installation that a manifest or an object of the cluster describes.
fn subject(
    named: &Named,
    place: &str,
    namespace: &str,
    value: &Value,
    arguments: &ImportArguments,
) -> anyhow::Result<Installation> {
    let Named { kind, name } = named;
    let container = arguments.container.as_deref();
    let (place, namespace, name) = (place.to_owned(), namespace.to_owned(), name.clone());
    if *kind != InstallationKind::WeightsAndBiases {
        let pod = pod(value).with_context(|| format!("{place} has no pod template that can be read"))?;
        let read = workload::read(&pod, container).map_err(|complaint| anyhow!("{place}: {complaint}"))?;
        let container = (read.company == Company::Others).then_some(read.container.as_str());
        return Ok(Installation {
            place: format!("the container {} of {place}", read.container),
            target: Some(named.target(container)),
            namespace,
            name,
            shape: read.shape,
            entries: read.entries,
            certificates: read.certificates,
            host: None,
            values: None,
            notes: Vec::new(),
        });
    }
    let spec = value.get("spec").cloned().unwrap_or_default();
    let is_first = value.get("apiVersion").and_then(Value::as_str) == Some("apps.wandb.com/v1");
    let described = if is_first {
        let values = spec.get("values").cloned().unwrap_or_default();
        Installation { values: Some(values.clone()), ..of_chosen(chart::operator(&values)) }
    } else {
        Installation {
            host: resource::host(&spec),
            ..of_chosen(Chosen {
                shape: ServerShape::Split,
                entries: resource::entries(&spec),
                certificates: resource::certificates(&spec),
                host: None,
            })
        }
    };
    Ok(Installation { place, namespace, name, target: Some(named.target(None)), ..described })
}

/// A document that the program itself has made.
pub(super) fn document(value: Value) -> YamlDocument {
    value.into()
}
