//! Lists the workloads and pods of a namespace.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Pod,
    },
};
use kube::{
    Client, Resource,
    api::ListParams,
    core::{ApiResource, Request},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{rights::forbidden, workload::WorkloadController};
use crate::error::StepError;

/// Lists every workload of the namespace that may run W&B Server.
pub(super) async fn workloads(
    client: &Client,
    namespace: &str,
) -> Result<Vec<WorkloadController>, StepError> {
    let all = ListParams::default();
    let deployments = list::<Deployment>(client, namespace, &all).await?.into_iter();
    let sets = list::<StatefulSet>(client, namespace, &all).await?.into_iter();
    let deployments = deployments.map(|each| WorkloadController::Deployment(Box::new(each)));
    let sets = sets.map(|each| WorkloadController::StatefulSet(Box::new(each)));
    Ok(deployments.chain(sets).collect())
}

/// Lists the pods of a workload.
pub(super) async fn pods_of(
    client: &Client,
    namespace: &str,
    workload: &WorkloadController,
) -> Result<Vec<Pod>, StepError> {
    match workload.selector() {
        Some(selector) => list(client, namespace, &ListParams::default().labels_from(&selector)).await,
        None => Ok(Vec::new()),
    }
}

/// Lists the objects of a type.
pub(super) async fn list<K>(
    client: &Client,
    namespace: &str,
    parameters: &ListParams,
) -> Result<Vec<K>, StepError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    // Every type is read from the same form everywhere: the code that reads the large ones is in the program once.
    let request = Request::new(K::url_path(&(), Some(namespace)));
    let request = request.list(parameters).map_err(kube::Error::BuildRequest)?;
    match client.request::<Value>(request).await {
        Ok(list) => {
            let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
            Ok(items.map(K::deserialize).collect::<Result<_, _>>().map_err(kube::Error::SerdeError)?)
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let resource = ApiResource::erase::<K>(&());
            Err(forbidden("list", &resource.plural, &resource).into())
        }
        Err(error) => Err(error.into()),
    }
}
