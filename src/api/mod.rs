//! The custom resources of `auth.wandb.com/v1alpha1`: what users write and read.
//!
//! Nothing here does I/O. Defaults and validation stand in the schema, so that the API server, the
//! `check` command and the documentation agree; see `crds/` for what is generated from these types.

pub mod common;
pub mod duration;
pub mod ldap_config;
pub mod names;
pub mod oidc_provider;
pub mod status;

pub use common::{CaBundle, CommonSpec, DeletionPolicy, KeyReference, PublishPolicy, Target, TlsSpec};
pub use duration::Duration;
pub use ldap_config::{LdapConfig, LdapConfigSpec};
pub use names::{CheckName, ConditionType, Reason};
pub use oidc_provider::{OidcProvider, OidcProviderSpec};
pub use status::{CheckResult, CheckStatus, Status};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "auth.wandb.com";

/// A new value of this annotation asks for a check now.
pub const RECHECK_ANNOTATION: &str = "auth.wandb.com/recheck";

/// Every custom resource definition, in the order in which the documentation names the kinds.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    [LdapConfig::crd(), OidcProvider::crd()].into_iter().map(with_unobserved_status).collect()
}

/// Defaults `status` to "never observed", so that generic tools do not read a new object as settled.
fn with_unobserved_status(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let status = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
            .and_then(|schema| schema.properties.as_mut())
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
            status.nullable = None;
        }
    }
    definition
}
