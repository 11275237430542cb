//! Where `check` and `render` take referenced values from: the files, or a cluster.

use std::collections::BTreeMap;

use anyhow::Context;

use super::{
    cluster,
    dyn_resource::{CheckObstacle, Examinable},
    manifests::Manifests,
};
use crate::api::ConditionType;
use crate::api_server::Cluster;
use crate::engine::{Fetched, ObjectKey, Reference, fetch};

/// Where referenced Secrets and ConfigMaps are read.
pub(super) enum References {
    /// In the given files.
    Files,
    /// In the current context's cluster.
    Cluster(Cluster),
    /// In that cluster, or among what is yet to be applied to it.
    Upcoming(Cluster),
}

impl References {
    /// A connection to the current context's cluster, and the context's namespace.
    pub(super) async fn from_cluster() -> anyhow::Result<(Self, String)> {
        Self::of_context(None).await.context("--from-cluster")
    }

    /// A connection to the cluster of the context of this name, or of the current one, and its namespace.
    pub(super) async fn of_context(context: Option<&str>) -> anyhow::Result<(Self, String)> {
        let config = cluster::of_context(context).await?;
        let namespace = config.default_namespace.clone();
        let client = cluster::client(config.clone())?;
        Ok((Self::Cluster(Cluster::new(client, config)), namespace))
    }

    /// The cluster, if there is one.
    pub(super) fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Files => None,
            Self::Cluster(cluster) | Self::Upcoming(cluster) => Some(cluster),
        }
    }

    /// What to do about an obstacle beside what its own message says.
    pub(super) fn advice(
        &self,
        obstacle: &CheckObstacle,
        resource: &dyn Examinable,
        manifests: &Manifests,
    ) -> Option<String> {
        let is_absent =
            obstacle.condition == ConditionType::ResolvedRefs && obstacle.problem.reason.is_absence();
        if self.cluster().is_some() || !is_absent {
            return None;
        }
        let own = resource.namespace();
        let elsewhere = resource.references().into_iter().find_map(|reference| {
            let key = reference.object();
            let namespaces: Vec<_> = manifests.namespaces_of(&key).collect();
            if namespaces.is_empty() || namespaces.contains(&own.as_str()) {
                return None;
            }
            Some(format!(
                "The files have the {} \"{}\" in the namespace {}, but the resource is in the namespace {own}, and a reference cannot lead to another namespace: write the same metadata.namespace into both, or use -n if one of them names none.",
                key.source.kind(),
                key.name,
                namespaces.join(" and "),
            ))
        });
        Some(elsewhere.unwrap_or_else(|| {
            "Referenced objects are read from the given files: add the files that have them with -f, or use --from-cluster."
                .to_owned()
        }))
    }

    /// The objects that the resource refers to.
    pub(super) async fn of(
        &self,
        resource: &dyn Examinable,
        manifests: &Manifests,
    ) -> anyhow::Result<BTreeMap<ObjectKey, Fetched>> {
        let (namespace, references) = (resource.namespace(), resource.references());
        self.fetch(&namespace, &references, manifests).await
    }

    /// The objects of a namespace that the references lead to.
    pub(super) async fn fetch(
        &self,
        namespace: &str,
        references: &[Reference],
        manifests: &Manifests,
    ) -> anyhow::Result<BTreeMap<ObjectKey, Fetched>> {
        let mut objects = match self {
            Self::Files => BTreeMap::new(),
            Self::Cluster(cluster) | Self::Upcoming(cluster) => fetch(&cluster.client, namespace, references)
                .await
                .context("the referenced objects could not be read from the cluster")?,
        };
        if !matches!(self, Self::Cluster(_)) {
            for key in references.iter().map(Reference::object) {
                if let Some(given) = manifests.objects.get(&(namespace.to_owned(), key.clone())) {
                    objects.insert(key, given.clone());
                } else {
                    let similar = manifests.similar_name(namespace, &key);
                    objects.entry(key).or_insert(Fetched::Missing { similar });
                }
            }
        }
        Ok(objects)
    }
}
