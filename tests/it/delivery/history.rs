//! Every version that a workload ever had, since handovers and half-done changes last for moments only.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::PodSpec,
};
use kube::{
    Api, ResourceExt,
    api::{WatchEvent, WatchParams},
    core::{ApiResource, DynamicObject},
};

use super::{Stage, entries_of, eventually};

/// The versions of a workload since this began; it ends when it is dropped.
pub struct History {
    name: String,
    api: Api<DynamicObject>,
    versions: Arc<Mutex<Vec<DynamicObject>>>,
    watching: tokio::task::JoinHandle<()>,
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl History {
    /// Of the Deployment `wandb`.
    pub async fn begin(stage: &Stage) -> Result<Self> {
        Self::begin_of(stage, "wandb").await
    }

    /// Of the Deployment of this name.
    pub async fn begin_of(stage: &Stage, name: &str) -> Result<Self> {
        Self::of(stage, &ApiResource::erase::<Deployment>(&()), name).await
    }

    /// Of the StatefulSet `wandb`.
    pub async fn begin_of_set(stage: &Stage) -> Result<Self> {
        Self::of(stage, &ApiResource::erase::<StatefulSet>(&()), "wandb").await
    }

    async fn of(stage: &Stage, resource: &ApiResource, name: &str) -> Result<Self> {
        let workspace = &stage.workspace;
        let api: Api<DynamicObject> =
            Api::namespaced_with(workspace.client().clone(), workspace.namespace(), resource);
        let first = api.get(name).await?;
        let since = first.resource_version().context("a version")?;
        let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
        let events = api.watch(&parameters, &since).await?.boxed();
        let versions = Arc::new(Mutex::new(vec![first]));
        let (seen, watched) = (versions.clone(), api.clone());
        let watching = tokio::spawn(async move {
            let (mut events, mut since) = (events, since);
            // What cannot be seen any more shows as a version that is waited for in vain.
            while let Ok(event) = events.try_next().await {
                match event {
                    Some(WatchEvent::Added(version) | WatchEvent::Modified(version)) => {
                        since = version.resource_version().unwrap_or(since);
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(version);
                    }
                    Some(WatchEvent::Bookmark(bookmark)) => since = bookmark.metadata.resource_version,
                    Some(WatchEvent::Deleted(_)) => {}
                    Some(WatchEvent::Error(_)) => return,
                    // The API server ends a watch after some minutes.
                    None => match watched.watch(&parameters, &since).await {
                        Ok(next) => events = next.boxed(),
                        Err(_) => return,
                    },
                }
            }
        });
        Ok(Self { name: name.to_owned(), api, versions, watching })
    }

    /// The pods that the template asked for, from one change to the next until now.
    pub async fn templates(&self) -> Result<Vec<PodSpec>> {
        let now = self.api.get(&self.name).await?.resource_version();
        let versions = eventually("the last version of the workload", || async {
            let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok(versions.iter().any(|version| version.resource_version() == now).then_some(versions))
        })
        .await?;
        let pod = |version: &DynamicObject| version.data.pointer("/spec/template/spec").cloned();
        let pods = versions.iter().filter_map(pod).map(serde_json::from_value::<PodSpec>);
        let mut templates = pods.collect::<Result<Vec<_>, _>>()?;
        templates.dedup();
        Ok(templates)
    }

    /// Fails where any version lacks one of these variables.
    pub async fn expect_always(&self, names: &[&str]) -> Result<()> {
        for template in self.templates().await? {
            let entries = entries_of(&template);
            for name in names {
                ensure!(entries.contains_key(*name), "a version was without {name}: {entries:#?}");
            }
        }
        Ok(())
    }

    /// Fails where any version has no entry for one of these variables, wherever its value comes from.
    pub async fn expect_variables(&self, names: &[String]) -> Result<()> {
        for template in self.templates().await? {
            let entries: Vec<_> =
                template.containers.iter().flat_map(|each| each.env.iter().flatten()).collect();
            for name in names {
                let is_there = entries.iter().any(|entry| entry.name == *name);
                ensure!(is_there, "a version was without {name}: {entries:#?}");
            }
        }
        Ok(())
    }
}
