//! Definitions of other operators' resources.

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize;

/// Which version of a resource is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredVersion {
    /// The first version, which is the only one.
    OnlyV1,
    /// The first version, with the second one served, too.
    V1,
    /// The second version, with the first one served, too.
    V2,
}

/// The W&B operator's own resource. An API server has one definition of it: what all tests share
/// stores v2, and a test that wants another takes a control plane of its own.
pub fn weights_and_biases(stored: StoredVersion) -> Result<CustomResourceDefinition> {
    let text = include_str!("../definitions/weightsandbiases.yaml");
    let mut definition: CustomResourceDefinition =
        serde_yaml::from_str(text).context("the definition cannot be read")?;
    let name = if stored == StoredVersion::V2 { "v2" } else { "v1" };
    for version in &mut definition.spec.versions {
        version.storage = version.name == name;
    }
    definition.spec.versions.retain(|version| version.storage || stored != StoredVersion::OnlyV1);
    Ok(definition)
}

/// The resources of the Prometheus Operator, with no fields but those that the chart uses.
pub fn monitoring() -> Result<Vec<CustomResourceDefinition>> {
    serde_yaml::Deserializer::from_str(include_str!("../definitions/monitoring.yaml"))
        .map(|document| {
            CustomResourceDefinition::deserialize(document).context("a definition cannot be read")
        })
        .collect()
}
