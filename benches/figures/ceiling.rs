//! How fast resources could become Ready: the same writes by a plain client, with nothing else to do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use test_support::{
    Workspace,
    fleet::{Fleet, manifest},
};

use crate::report::each;

/// More at a time make it no faster.
const AT_A_TIME: usize = 32;

/// A resource of the fleet that is Ready, and its Secret.
struct Model {
    kind: String,
    status: Value,
    secret: Secret,
}

/// For so many resources the rate is as steady as for more.
const ENOUGH: usize = 2_000;

/// How many resources a second the writes are made for; the resources are new ones, which no controller may see.
pub async fn rate(fleet: &Fleet, kinds: &[&str], resources: usize, events_each: usize) -> Result<f64> {
    let resources = resources.min(ENOUGH);
    let workspace = fleet.first()?;
    let mut models = Vec::new();
    for kind in kinds {
        models.push(Model::of(workspace, kind).await?);
    }
    let numbered = models.iter().cycle().zip(0..resources);
    let created: Vec<(&Model, DynamicObject)> = stream::iter(numbered)
        .map(|(model, number)| async move {
            let name = format!("ceiling-{number:05}");
            let object = serde_json::from_value(manifest(&fleet.servers, &model.kind, &name)?)?;
            let api = workspace.resources(&model.kind)?;
            anyhow::Ok((model, api.create(&PostParams::default(), &object).await?))
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let started = Instant::now();
    stream::iter(created)
        .map(|(model, object)| async move { model.write(workspace, &object, events_each).await })
        .buffer_unordered(AT_A_TIME)
        .try_collect::<()>()
        .await?;
    Ok(each(resources, 1) / started.elapsed().max(Duration::from_millis(1)).as_secs_f64())
}

impl Model {
    async fn of(workspace: &Workspace, kind: &str) -> Result<Self> {
        let list = workspace.resources(kind)?.list(&kube::api::ListParams::default().limit(1)).await?;
        let object = list.items.into_iter().next().with_context(|| format!("there is no {kind}"))?;
        let status = object.data.get("status").cloned().unwrap_or_default();
        let name = status.pointer("/secretRef/name").and_then(Value::as_str);
        let secret = workspace.secrets().get(name.context("it published nothing")?).await?;
        Ok(Self { kind: kind.to_owned(), status, secret })
    }

    /// The writes of a controller, of the same size and by the same verbs.
    async fn write(&self, workspace: &Workspace, object: &DynamicObject, events: usize) -> Result<()> {
        let api = workspace.resources(&self.kind)?;
        let (name, apply) = (object.name_any(), PatchParams::apply("ceiling").force());
        let types = object.types.clone().unwrap_or_default();
        let mut secret = self.secret.clone();
        let metadata = secret.meta_mut();
        metadata.name = Some(format!("{name}-published"));
        (metadata.uid, metadata.resource_version, metadata.managed_fields) = (None, None, None);
        metadata.creation_timestamp = None;
        for owner in metadata.owner_references.iter_mut().flatten() {
            (owner.name, owner.uid) = (name.clone(), object.uid().unwrap_or_default());
        }
        let secret_name = secret.name_any();
        workspace.secrets().patch(&secret_name, &apply, &Patch::Apply(secret)).await?;
        let status = json!({
            "apiVersion": types.api_version, "kind": types.kind,
            "metadata": {"uid": object.uid(), "resourceVersion": object.resource_version()},
            "status": self.status,
        });
        api.patch_status(&name, &apply, &Patch::Apply(status)).await?;
        let told: Api<Event> = Api::namespaced(workspace.client().clone(), workspace.namespace());
        for number in 0..events {
            let event: Event = serde_json::from_value(json!({
                "metadata": {"name": format!("{name}.{number}")},
                "eventTime": "2026-01-01T00:00:00.000000Z",
                "type": "Normal", "reason": "Published", "action": "Publish",
                "note": "The Secret holds the values that were verified, as long as any such sentence is.",
                "reportingController": "figures.wandb.com/ceiling", "reportingInstance": "figures",
                "regarding": {
                    "apiVersion": types.api_version, "kind": types.kind, "name": name,
                    "namespace": workspace.namespace(), "uid": object.uid(),
                },
            }))?;
            told.create(&PostParams::default(), &event).await?;
        }
        Ok(())
    }
}
