//! Deployments and StatefulSets: env entries and files in the pod template.

use kube::{Client, core::ApiResource};

use super::{Change, Delivery, Environment, Owner, Standing, Target};
use crate::problem::Problem;

/// A Deployment or a StatefulSet, as it was read.
#[derive(Clone, Debug)]
pub struct Workload {
    target: Target,
}

pub(super) async fn read(
    _client: &Client,
    _namespace: &str,
    _target: &Target,
) -> Result<Result<Option<Workload>, Problem>, kube::Error> {
    Ok(Ok(None))
}

impl Workload {
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
        ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&())
    }

    pub(super) fn name(&self) -> &str {
        self.target.name()
    }
}
