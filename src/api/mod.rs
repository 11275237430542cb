//! The custom resources of `auth.wandb.com/v1alpha1`: what users write and read.
//!
//! Nothing here does I/O. Defaults and validation stand in the schema, so that the API server, the
//! `check` command and the documentation agree; see `crds/` for what is generated from these types.

pub mod common;
mod condition;
pub mod duration;
pub mod instance;
pub mod jwt_issuer;
pub mod ldap_config;
pub mod names;
pub mod oidc_provider;
pub mod resource;
pub mod schema;
pub mod service_account;
mod shared_status;
pub mod status;

pub use common::{
    AdoptionPolicy, CaBundleSource, CheckFrom, CommonSpec, DeletionPolicy, KeyReference, PublishPolicy,
    TargetSpec, TlsSpec,
};
pub use condition::Condition;
pub use duration::Duration;
pub use instance::InstanceSpec;
pub use jwt_issuer::{JwtIssuer, JwtIssuerSpec};
pub use ldap_config::{LdapConfig, LdapConfigSpec};
pub use names::{CheckName, ConditionType, Reason};
pub use oidc_provider::{OidcProvider, OidcProviderSpec};
pub use resource::AuthResource;
pub use service_account::{ServiceAccount, ServiceAccountSpec};
pub use shared_status::SharedStatus;
pub use status::{CheckResult, CheckStatus, ObservedReference, Status};

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "auth.wandb.com";

/// The name of the operator where Kubernetes asks for one: the first half of every field manager, the value of the label
/// `app.kubernetes.io/managed-by`, and the controller of events.
pub const MANAGER: &str = "wandb-auth-operator";

/// Kubernetes' recommended label for who manages an object; [`MANAGER`] for what the operator writes.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// A new value of this annotation asks for a check now.
pub const RECHECK_ANNOTATION: &str = "auth.wandb.com/recheck";

/// A new value of this annotation of a `ServiceAccount` asks for a new API key now.
pub const ROTATE_ANNOTATION: &str = "auth.wandb.com/rotate";

/// A new value of this annotation of a `ServiceAccount` ends the running overlap now: the replaced API keys are
/// revoked.
pub const REVOKE_PREVIOUS_ANNOTATION: &str = "auth.wandb.com/revoke-previous";

/// Every custom resource definition, in the order in which the documentation names the kinds.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    [LdapConfig::crd(), OidcProvider::crd(), JwtIssuer::crd(), ServiceAccount::crd()]
        .into_iter()
        .map(finished)
        .collect()
}

/// Adds what the types cannot say.
fn finished(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = definition
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for schema in schemas {
        without_nulls(schema);
        // Never observed, so that generic tools do not read a new object as settled.
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
        }
    }
    definition
}

/// An explicit null is then dropped like an absent field, which is what rules with `has()` expect.
fn without_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(BTreeMap::values_mut).for_each(without_nulls);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_nulls(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        without_nulls(values);
    }
}
