//! Where `check` and `render` take referenced values from: the files, or a cluster.

use std::collections::BTreeMap;

use anyhow::Context;
use kube::Client;

use super::{
    cluster,
    examine::{Examinable, Obstacle},
    manifests::Manifests,
};
use crate::api::{ConditionType, Reason};
use crate::engine::{Fetched, ObjectKey, fetch};

/// Where referenced Secrets and ConfigMaps are read.
pub(super) enum References {
    /// In the given files.
    Files,
    /// In the current context's cluster.
    Cluster(Client),
}

impl References {
    /// A connection to the current context's cluster, and the context's namespace.
    pub(super) async fn from_cluster() -> anyhow::Result<(Self, String)> {
        let config = cluster::current().await.context("--from-cluster")?;
        let namespace = config.default_namespace.clone();
        Ok((Self::Cluster(Client::try_from(config)?), namespace))
    }

    /// The cluster, if there is one.
    pub(super) fn client(&self) -> Option<&Client> {
        match self {
            Self::Files => None,
            Self::Cluster(client) => Some(client),
        }
    }

    /// What to do about an obstacle beside what its own message says.
    pub(super) fn advice(
        &self,
        obstacle: &Obstacle,
        resource: &dyn Examinable,
        manifests: &Manifests,
    ) -> Option<String> {
        let reason = obstacle.problem.reason;
        let is_absent = obstacle.condition == ConditionType::ResolvedRefs
            && (reason.is_absence() || reason == Reason::ResourceNotFound);
        if matches!(self, Self::Cluster(_)) || !is_absent {
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
                "The files have the {} \"{}\" in the namespace {}, but the resource is in the namespace {own}, and references stay within one: write the same metadata.namespace into both, or call with -n where one of them names none.",
                key.source.kind(),
                key.name,
                namespaces.join(" and "),
            ))
        });
        Some(elsewhere.unwrap_or_else(|| {
            "Referenced objects are looked for in the given files: add theirs with -f, or use --from-cluster."
                .to_owned()
        }))
    }

    /// The objects that the resource refers to.
    pub(super) async fn of(
        &self,
        resource: &dyn Examinable,
        manifests: &Manifests,
    ) -> anyhow::Result<BTreeMap<ObjectKey, Fetched>> {
        let namespace = resource.namespace();
        match self {
            Self::Cluster(client) => fetch(client, &namespace, &resource.references())
                .await
                .context("the cluster did not give out the referenced objects"),
            Self::Files => Ok(resource
                .references()
                .iter()
                .filter_map(|reference| {
                    let key = reference.object();
                    let fetched = manifests.objects.get(&(namespace.clone(), key.clone()))?.clone();
                    Some((key, fetched))
                })
                .collect()),
        }
    }
}
