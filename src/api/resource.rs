//! What every custom resource of this API has: code that serves all kinds reads it through one trait.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{CustomResourceExt, Resource};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    CommonSpec, JwtIssuer, LdapConfig, OidcProvider, ServiceAccount, SharedStatus, Status,
    jwt_issuer::JwtIssuerDetails, service_account::ServiceAccountDetails, status::NoDetails,
};

/// A custom resource of this API, by the fields that all of them have.
pub trait AuthResource:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + CustomResourceExt
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
    /// What the status has beside the fields of every kind.
    type Details: Serialize + DeserializeOwned + Clone + Default + PartialEq + Send + Sync;

    /// The fields of the spec that every kind has.
    fn common(&self) -> &CommonSpec;

    /// The last status that was written, as far as every kind has it.
    fn status(&self) -> Option<&Status> {
        self.shared_status().map(|status| &**status)
    }

    /// The same, to be kept elsewhere without a copy.
    fn shared_status(&self) -> Option<&SharedStatus>;

    /// Replaces the status by an equal one that is kept elsewhere, so that only one copy is in memory.
    fn share_status(&mut self, known: &SharedStatus);

    /// The rest of the last status that was written.
    fn details(&self) -> Self::Details;

    /// The spec alone: findings depend on it, and on the contents of what it refers to.
    fn spec(&self) -> &impl Serialize;
}

/// Implements [`AuthResource`] for kinds whose status has details of its own, or, without a type of details, has none.
macro_rules! auth_resource {
    ($kind:ty) => {
        impl AuthResource for $kind {
            type Details = NoDetails;
            auth_resource!(@spec);
            fn shared_status(&self) -> Option<&SharedStatus> {
                self.status.as_ref()
            }
            fn share_status(&mut self, known: &SharedStatus) {
                self.status = Some(known.clone());
            }
            fn details(&self) -> NoDetails {
                NoDetails {}
            }
        }
    };
    ($kind:ty, $details:ty) => {
        impl AuthResource for $kind {
            type Details = $details;
            auth_resource!(@spec);
            fn shared_status(&self) -> Option<&SharedStatus> {
                self.status.as_ref().map(|status| &status.common)
            }
            fn share_status(&mut self, known: &SharedStatus) {
                if let Some(status) = &mut self.status {
                    status.common = known.clone();
                }
            }
            fn details(&self) -> $details {
                self.status.as_ref().map(|status| status.details.clone()).unwrap_or_default()
            }
        }
    };
    (@spec) => {
        fn common(&self) -> &CommonSpec {
            &self.spec.common
        }
        fn spec(&self) -> &impl Serialize {
            &self.spec
        }
    };
}

auth_resource!(LdapConfig);
auth_resource!(OidcProvider);
auth_resource!(JwtIssuer, JwtIssuerDetails);
auth_resource!(ServiceAccount, ServiceAccountDetails);
