//! The W&B operator's own resource, in the version that is stored.

use kube::{Client, core::ApiResource};

use super::{Change, Delivery, Environment, Owner, Standing};
use crate::problem::Problem;

/// A `WeightsAndBiases` resource, as it was read.
#[derive(Clone, Debug)]
pub struct WeightsAndBiases {
    resource: ApiResource,
    object: kube::core::DynamicObject,
}

/// The W&B operator's resource in the version that is stored; nothing where it is not served.
pub async fn stored_resource(_client: &Client) -> Result<Option<ApiResource>, kube::Error> {
    Ok(None)
}

pub(super) async fn read(
    _client: &Client,
    _namespace: &str,
    _name: &str,
) -> Result<Result<Option<WeightsAndBiases>, Problem>, kube::Error> {
    Ok(Ok(None))
}

impl WeightsAndBiases {
    pub(super) fn standing(&self, _owner: &Owner) -> Standing {
        Standing::default()
    }

    pub(super) fn change(
        &self,
        _owner: &Owner,
        _delivery: Option<&Delivery<'_>>,
        _yielding: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        Ok(None)
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::default()
    }

    pub(super) fn resource(&self) -> ApiResource {
        self.resource.clone()
    }

    pub(super) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }
}
