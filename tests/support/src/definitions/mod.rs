//! Definitions of other operators' resources.

#[cfg(test)]
mod subset;

use std::{env, fs, path::Path};

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use serde::Deserialize;

use crate::wandb_operator::DEFINITIONS;

/// The file of the real definition.
const REAL: &str = "apps.wandb.com_weightsandbiases.yaml";

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

/// How the fields of `spec.wandb.oidc` refer to a key of a Secret in the second version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OidcFields {
    /// By a selector.
    Selectors,
    /// By a value or its source; a selector is taken, too, and rewritten.
    ValuesOrSelectors,
    /// By a value or its source only.
    Values,
}

/// The W&B operator's own resource. An API server has one definition of it: what all tests share
/// stores v2, and a test that wants another takes a control plane of its own.
pub fn weights_and_biases(stored: StoredVersion) -> Result<CustomResourceDefinition> {
    weights_and_biases_with(stored, OidcFields::Selectors)
}

/// The same with these fields in its second version. Where W&B's own operator runs, it is that of its release.
pub fn weights_and_biases_with(
    stored: StoredVersion,
    fields: OidcFields,
) -> Result<CustomResourceDefinition> {
    let real = env::var_os(DEFINITIONS).map(|directory| Path::new(&directory).join(REAL));
    let text = match &real {
        Some(path) => {
            fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?
        }
        None => include_str!("../../definitions/weightsandbiases.yaml").to_owned(),
    };
    let mut definition: CustomResourceDefinition =
        serde_yaml::from_str(&text).context("the definition cannot be read")?;
    let name = if stored == StoredVersion::V2 { "v2" } else { "v1" };
    for version in &mut definition.spec.versions {
        version.storage = version.name == name;
    }
    if fields != OidcFields::Selectors && real.is_none() {
        let oidc = definition.spec.versions.iter_mut().find(|version| version.name == "v2");
        let schema = oidc.and_then(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
        let path = ["spec", "wandb", "oidc"];
        let oidc = schema
            .and_then(|schema| path.iter().try_fold(schema, |schema, name| property(schema, name)))
            .context("the definition has no fields for OIDC")?;
        for name in ["authMethod", "clientId", "clientSecret", "issuerUrl"] {
            *property(oidc, name).context("a field for OIDC is missing")? = value_or_secret(fields)?;
        }
    }
    definition.spec.versions.retain(|version| version.storage || stored != StoredVersion::OnlyV1);
    Ok(definition)
}

fn value_or_secret(fields: OidcFields) -> Result<JSONSchemaProps> {
    let text = include_str!("../../definitions/value_or_secret.yaml");
    let mut schema: JSONSchemaProps = serde_yaml::from_str(text).context("the schema cannot be read")?;
    let properties = schema.properties.get_or_insert_default();
    properties.retain(|name, _| fields != OidcFields::Values || name.starts_with("value"));
    Ok(schema)
}

fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

/// The resources of the Prometheus Operator, with no fields but those that the chart uses.
pub fn monitoring() -> Result<Vec<CustomResourceDefinition>> {
    serde_yaml::Deserializer::from_str(include_str!("../../definitions/monitoring.yaml"))
        .map(|document| {
            CustomResourceDefinition::deserialize(document).context("a definition cannot be read")
        })
        .collect()
}

/// Argo CD's `ApplicationSet`, with no fields but those that the shipped one has.
pub fn application_set() -> Result<CustomResourceDefinition> {
    serde_yaml::from_str(include_str!("../../definitions/application_set.yaml"))
        .context("the definition cannot be read")
}
