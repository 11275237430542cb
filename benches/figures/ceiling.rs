//! How fast resources could become Ready: the same requests by a plain client, with nothing else to do.

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

/// What a plain client asks for each resource beside the Secret and the status.
#[derive(Clone, Copy)]
pub struct Others {
    /// How many events it creates.
    pub events: usize,
    /// How many objects it reads.
    pub reads: usize,
}

/// How many resources a second a plain client gets done.
#[derive(Clone, Copy)]
pub struct Ceiling {
    /// With the writes alone.
    pub of_writes: f64,
    /// With the reads, too.
    pub of_requests: f64,
}

/// The ceiling for resources that ask for so much; the resources are new ones, which no controller may see.
pub async fn measure(fleet: &Fleet, kinds: &[&str], resources: usize, others: Others) -> Result<Ceiling> {
    let writes = Others { reads: 0, ..others };
    Ok(Ceiling {
        of_writes: rate(fleet, kinds, resources, ("writes", writes)).await?,
        of_requests: rate(fleet, kinds, resources, ("requests", others)).await?,
    })
}

async fn rate(
    fleet: &Fleet,
    kinds: &[&str],
    resources: usize,
    (what, others): (&str, Others),
) -> Result<f64> {
    let resources = resources.min(ENOUGH);
    let workspace = fleet.first()?;
    let mut models = Vec::new();
    for kind in kinds {
        models.push(Model::of(workspace, kind).await?);
    }
    let numbered = models.iter().cycle().zip(0..resources);
    let created: Vec<(&Model, DynamicObject)> = stream::iter(numbered)
        .map(|(model, number)| async move {
            let name = format!("ceiling-{what}-{number:05}");
            let object = serde_json::from_value(manifest(&fleet.servers, &model.kind, &name)?)?;
            let api = workspace.resources(&model.kind)?;
            anyhow::Ok((model, api.create(&PostParams::default(), &object).await?))
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let started = Instant::now();
    stream::iter(created)
        .map(|(model, object)| async move { model.ask(workspace, &object, others).await })
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

    /// The requests of a controller, of the same size and by the same verbs.
    async fn ask(&self, workspace: &Workspace, object: &DynamicObject, others: Others) -> Result<()> {
        for _ in 0..others.reads {
            workspace.secrets().get(&self.secret.name_any()).await?;
        }
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
        for number in 0..others.events {
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
