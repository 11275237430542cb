//! What both generations do alike: watch, make objects, tell the status.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

/// How soon is tried again what the API server refused.
const RETRY: Duration = Duration::from_millis(100);

/// One generation.
pub(super) trait Renderer: Send + 'static {
    /// The version of the resource that it reads.
    const VERSION: &'static str;
    /// Whether it comes back to a resource because of its Deployments, and not only when its spec changes.
    const WATCHES_DEPLOYMENTS: bool;

    /// What is to be done before it manages anything.
    fn prepare(
        &self,
        _client: &Client,
        _namespace: &str,
        _resource: &ApiResource,
    ) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }

    /// What it does to the resource itself; whether there was anything to do.
    fn tend(
        &self,
        _resources: &Api<DynamicObject>,
        _object: &DynamicObject,
    ) -> impl Future<Output = Result<bool>> {
        async { Ok(false) }
    }

    /// The objects of a resource, or why its configuration is not valid.
    fn render(&self, name: &str, spec: &Value) -> Result<Vec<Value>, String>;

    /// What the resource's status says.
    fn status(spec: &Value, generation: i64, outcome: Outcome) -> Value;
}

/// What became of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The objects are there.
    Made {
        /// Whether the pods are.
        available: bool,
    },
    /// Nothing was changed.
    Invalid,
}

/// Manages the resources of the config's namespace.
pub(super) async fn run<R: Renderer>(config: Config, renderer: R) {
    let namespace = config.default_namespace.clone();
    let client = match Client::try_from(config) {
        Ok(client) => client,
        Err(error) => return eprintln!("the W&B operator's stand-in does not run: {error}"),
    };
    let kind = GroupVersionKind::gvk("apps.wandb.com", R::VERSION, "WeightsAndBiases");
    let resource = ApiResource::from_gvk_with_plural(&kind, "weightsandbiases");
    let mut controller = Controller {
        resources: Api::namespaced_with(client.clone(), &namespace, &resource),
        resource,
        client,
        namespace,
        renderer,
        done: BTreeMap::new(),
    };
    while let Err(error) =
        controller.renderer.prepare(&controller.client, &controller.namespace, &controller.resource).await
    {
        eprintln!("the W&B operator's stand-in tries again: {error:#}");
        tokio::time::sleep(RETRY).await;
    }
    let own = watcher(controller.resources.clone(), watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .map(drop);
    let mut events = own.boxed();
    if R::WATCHES_DEPLOYMENTS {
        let deployments: Api<Deployment> = Api::namespaced(controller.client.clone(), &controller.namespace);
        let theirs =
            watcher(deployments, watcher::Config::default()).default_backoff().touched_objects().map(drop);
        events = stream::select(events, theirs).boxed();
    }
    while events.next().await.is_some() {
        while let Err(error) = controller.reconcile_all().await {
            eprintln!("the W&B operator's stand-in tries again: {error:#}");
            tokio::time::sleep(RETRY).await;
        }
    }
}

struct Controller<R> {
    client: Client,
    namespace: String,
    resource: ApiResource,
    resources: Api<DynamicObject>,
    renderer: R,
    /// The generation that was last reconciled of each resource, by its id.
    done: BTreeMap<String, i64>,
}

impl<R: Renderer> Controller<R> {
    async fn reconcile_all(&mut self) -> Result<()> {
        for resource in self.resources.list(&ListParams::default()).await? {
            if self.renderer.tend(&self.resources, &resource).await? {
                // The change is an event.
                continue;
            }
            let id = resource.uid().unwrap_or_default();
            let generation = resource.metadata.generation.unwrap_or_default();
            let is_done = self.done.get(&id) == Some(&generation);
            let is_going = resource.metadata.deletion_timestamp.is_some();
            if is_going || (is_done && !R::WATCHES_DEPLOYMENTS) {
                continue;
            }
            self.reconcile(&resource, generation).await?;
            self.done.insert(id, generation);
        }
        Ok(())
    }

    async fn reconcile(&self, resource: &DynamicObject, generation: i64) -> Result<()> {
        let name = resource.name_any();
        let spec = resource.data.get("spec").unwrap_or(&Value::Null);
        let outcome = match self.renderer.render(&name, spec) {
            Err(message) => {
                eprintln!("the W&B operator's stand-in cannot use {name}: {message}");
                Outcome::Invalid
            }
            Ok(objects) => {
                let mut available = true;
                for object in objects {
                    available &=
                        put(&self.client, &self.namespace, (resource, &self.resource), object).await?;
                }
                Outcome::Made { available }
            }
        };
        let status = json!({"status": R::status(spec, generation, outcome)});
        let written =
            self.resources.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await;
        match written {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            written => Ok(written.map(drop)?),
        }
    }
}

/// Makes the object what it is to be, and tells whether its pods are available, if it is of a kind that has any.
/// The API server itself leaves what does not differ.
pub(super) async fn put(
    client: &Client,
    namespace: &str,
    (owner, owners): (&DynamicObject, &ApiResource),
    object: Value,
) -> Result<bool> {
    let mut wanted: DynamicObject = serde_json::from_value(object)?;
    wanted.metadata.owner_references = Some(owner.controller_owner_ref(owners).into_iter().collect());
    let kind = GroupVersionKind::try_from(wanted.types.as_ref().context("an object has no kind")?)?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let name = wanted.name_any();
    // The name of the real one's program.
    let how = PostParams { field_manager: Some("manager".to_owned()), ..PostParams::default() };
    let object = match api.get_opt(&name).await? {
        None => api.create(&how, &wanted).await?,
        Some(mut current) => {
            for (field, value) in wanted.data.as_object().into_iter().flatten() {
                if let Some(current) = current.data.get_mut(field) {
                    *current = value.clone();
                }
            }
            current.metadata.owner_references = wanted.metadata.owner_references;
            api.replace(&name, &how, &current).await?
        }
    };
    Ok(is_available(&object))
}

fn is_available(object: &DynamicObject) -> bool {
    let number = |path: &str| object.data.pointer(path).and_then(Value::as_i64);
    let Some(replicas) = number("/spec/replicas") else { return true };
    number("/status/observedGeneration") == object.metadata.generation
        && number("/status/updatedReplicas") == Some(replicas)
        && number("/status/availableReplicas") == Some(replicas)
}
