//! The first generation: merges free-form values of several sources, and has Helm make objects of a chart.
//!
//! It comes back to a resource when its spec changes or when one of the objects with values does, never because
//! of what it made. It applies nothing while the merged values are those that it applied last, so that a change
//! of its Deployments stays. Values of different kinds stop it without a word in the status.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, anyhow};
use futures::{StreamExt, stream};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Map, Value, json};

use super::{chart::WandbChart, controller::put, values::merge};

const RETRY: Duration = Duration::from_millis(100);
const MANAGED: &str = "wandb-spec-managed";
const MANAGED_STATE: &str = "wandb-managed-spec-state";
/// The release that W&B's channel offers.
pub(super) const RELEASE: &str = "0.43.8";

/// Parts of W&B's own chart that answer no login, and Jobs that nobody plays to their end.
const LEFT_OUT: [&str; 8] =
    ["appRenamePostHook", "appRenamePreHook", "console", "ingress", "otel", "parquet", "redis", "weave"];

/// The values with what W&B's channel offers below them: the split layout beside `wandb/local`, and no more.
pub(super) fn with_channel(mut values: Value) -> Result<Value> {
    let mut channel: Map<_, _> =
        LEFT_OUT.into_iter().map(|part| (part.to_owned(), json!({"install": false}))).collect();
    channel.insert("global".to_owned(), json!({"api": {"enabled": true}}));
    merge(&mut values, &channel.into(), "").map_err(|problem| anyhow!(problem))?;
    Ok(values)
}

/// What W&B's channel offers.
pub(super) struct Channel {
    pub(super) values: Value,
    pub(super) release: &'static str,
}

/// Manages the resources of the config's namespace.
pub(super) async fn run(config: Config, channel: Channel) {
    let namespace = config.default_namespace.clone();
    let client = match Client::try_from(config) {
        Ok(client) => client,
        Err(error) => return eprintln!("the W&B operator's stand-in does not run: {error}"),
    };
    let kind = GroupVersionKind::gvk("apps.wandb.com", "v1", "WeightsAndBiases");
    let resource = ApiResource::from_gvk_with_plural(&kind, "weightsandbiases");
    let resources = Api::namespaced_with(client.clone(), &namespace, &resource);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let watched = watcher::Config::default;
    let own = watcher(resources.clone(), watched()).default_backoff().touched_objects().map(drop);
    let is_of_values = |name: &str| name.ends_with("-spec-user") || name == MANAGED || name == MANAGED_STATE;
    let of_secrets = watcher(secrets.clone(), watched()).default_backoff().touched_objects();
    let of_secrets = of_secrets.filter(move |changed| {
        std::future::ready(changed.as_ref().is_ok_and(|secret| is_of_values(&secret.name_any())))
    });
    let of_maps = watcher(maps.clone(), watched()).default_backoff().touched_objects();
    let of_maps = of_maps.filter(move |changed| {
        std::future::ready(changed.as_ref().is_ok_and(|map| is_of_values(&map.name_any())))
    });
    let mut events =
        stream::select_all([own.boxed(), of_secrets.map(drop).boxed(), of_maps.map(drop).boxed()]);
    let mut operator =
        Operator { client, namespace, resource, resources, secrets, maps, channel, charts: BTreeMap::new() };
    while events.next().await.is_some() {
        while let Err(error) = operator.reconcile_all().await {
            eprintln!("the W&B operator's stand-in tries again: {error:#}");
            tokio::time::sleep(RETRY).await;
        }
    }
}

struct Operator {
    client: Client,
    namespace: String,
    resource: ApiResource,
    resources: Api<DynamicObject>,
    secrets: Api<Secret>,
    maps: Api<ConfigMap>,
    channel: Channel,
    /// The releases that were used so far.
    charts: BTreeMap<String, WandbChart>,
}

/// A chart and the values for it, as the W&B operator stores both.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) values: Value,
    pub(super) chart: Value,
}

impl Stored {
    fn secret(&self, name: &str) -> Secret {
        let entry = |value: &Value| ByteString(value.to_string().into_bytes());
        let entries = [("values", &self.values), ("chart", &self.chart), ("metadata", &Value::Null)];
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        secret.data = Some(entries.into_iter().map(|(key, value)| (key.to_owned(), entry(value))).collect());
        secret
    }
}

/// The names of the resources that W&B's own operator is to find a chart for.
const RESOURCES: [&str; 2] = ["wandb", "main"];

/// Offers values and a chart to W&B's own operator, where it cannot ask its channel: as a person's.
pub(super) async fn offer(config: Config, stored: Stored) -> Result<()> {
    let namespace = config.default_namespace.clone();
    let secrets: Api<Secret> = Api::namespaced(Client::try_from(config)?, &namespace);
    for name in RESOURCES {
        secrets.create(&PostParams::default(), &stored.secret(&format!("{name}-spec-user"))).await?;
    }
    Ok(())
}

impl Operator {
    async fn reconcile_all(&mut self) -> Result<()> {
        for resource in self.resources.list(&ListParams::default()).await? {
            if resource.metadata.deletion_timestamp.is_none() {
                self.reconcile(&resource).await?;
            }
        }
        Ok(())
    }

    async fn reconcile(&mut self, resource: &DynamicObject) -> Result<()> {
        let name = resource.name_any();
        let spec = |key: &str| resource.data.pointer(&format!("/spec/{key}")).cloned();
        let own = Stored {
            values: spec("values").unwrap_or_else(|| json!({})),
            chart: spec("chart").unwrap_or_default(),
        };
        let user = self.user_spec(resource).await?;
        let base = self.base(resource).await?;
        let mut desired = own;
        for source in [user, base] {
            if !is_usable(&desired.chart) {
                desired.chart = source.chart;
            }
            if let Err(problem) = merge(&mut desired.values, &source.values, "") {
                eprintln!("the W&B operator's stand-in cannot use {name}: {problem}");
                return Ok(());
            }
        }
        if self.stored(&format!("{name}-spec-active")).await?.as_ref() == Some(&desired) {
            return self.tell(&name, "Completed").await;
        }
        let objects = match self.render(&name, &desired) {
            Ok(objects) => objects,
            Err(error) => {
                eprintln!("the W&B operator's stand-in cannot render {name}: {error:#}");
                return self.tell(&name, "Invalid Config").await;
            }
        };
        for object in objects {
            put(&self.client, &self.namespace, (resource, &self.resource), object).await?;
        }
        self.store(resource, "spec-active", &desired).await?;
        self.tell(&name, "Completed").await
    }

    /// What people wrote in the System Console; nothing is kept for them at first.
    async fn user_spec(&self, resource: &DynamicObject) -> Result<Stored> {
        if let Some(user) = self.stored(&format!("{}-spec-user", resource.name_any())).await? {
            return Ok(user);
        }
        let nothing = Stored { values: json!({}), chart: Value::Null };
        self.store(resource, "spec-user", &nothing).await?;
        Ok(nothing)
    }

    /// The values below those of people: what W&B manages in the cluster once it took over, and otherwise the
    /// channel's, of which a copy is kept.
    async fn base(&self, resource: &DynamicObject) -> Result<Stored> {
        let state = self.maps.get_opt(MANAGED_STATE).await?.and_then(|map| map.data);
        if state.is_some_and(|data| data.get("managed").is_some_and(|managed| managed == "true")) {
            let data = self.maps.get(MANAGED).await?.data.context("nothing is managed")?;
            let entry = |key: &str| {
                Ok::<Value, anyhow::Error>(serde_json::from_str(
                    data.get(key).context("an entry is missing")?,
                )?)
            };
            return Ok(Stored { values: entry("values")?, chart: entry("chart")? });
        }
        let values = self.channel.values.clone();
        let chart = json!({
            "url": "https://charts.example.com", "name": "operator-wandb", "version": self.channel.release,
        });
        let base = Stored { values, chart };
        self.store(resource, "latest-cached-release", &base).await?;
        Ok(base)
    }

    fn render(&mut self, name: &str, desired: &Stored) -> Result<Vec<Value>> {
        let version = desired.chart.get("version").and_then(Value::as_str).unwrap_or(RELEASE);
        if !self.charts.contains_key(version) {
            self.charts.insert(version.to_owned(), WandbChart::release(version)?);
        }
        self.charts.get(version).context("a chart")?.render(name, &self.namespace, &desired.values)
    }

    async fn stored(&self, name: &str) -> Result<Option<Stored>> {
        let Some(data) = self.secrets.get_opt(name).await?.and_then(|secret| secret.data) else {
            return Ok(None);
        };
        let entry = |key: &str| {
            let ByteString(text) = data.get(key).with_context(|| format!("{name} has no {key}"))?;
            Ok::<Value, anyhow::Error>(serde_json::from_slice(text)?)
        };
        Ok(Some(Stored { values: entry("values")?, chart: entry("chart")? }))
    }

    /// Keeps values in a Secret of the resource, unless they are there.
    async fn store(&self, resource: &DynamicObject, title: &str, stored: &Stored) -> Result<()> {
        let name = format!("{}-{title}", resource.name_any());
        if self.stored(&name).await?.as_ref() == Some(stored) {
            return Ok(());
        }
        let mut secret = stored.secret(&name);
        secret.metadata.owner_references =
            Some(resource.controller_owner_ref(&self.resource).into_iter().collect());
        match self.secrets.create(&PostParams::default(), &secret).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.secrets.replace(&name, &PostParams::default(), &secret).await?;
            }
            created => drop(created?),
        }
        Ok(())
    }

    async fn tell(&self, name: &str, phase: &str) -> Result<()> {
        let status = Patch::Merge(json!({"status": {"phase": phase}}));
        match self.resources.patch_status(name, &PatchParams::default(), &status).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            written => Ok(written.map(drop)?),
        }
    }
}

/// Whether the W&B operator takes this for a chart; otherwise it goes on to the next source.
fn is_usable(chart: &Value) -> bool {
    ["url", "name"].iter().all(|key| chart.get(*key).is_some_and(Value::is_string))
}
