//! Every version that a Deployment ever had, since handovers and half-done changes last for moments only.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodSpec};
use kube::{
    Api, ResourceExt,
    api::{WatchEvent, WatchParams},
};

use super::{Stage, entries_of, eventually};

/// The versions of the Deployment `wandb` since this began; it ends when it is dropped.
pub struct History {
    api: Api<Deployment>,
    versions: Arc<Mutex<Vec<Deployment>>>,
    watching: tokio::task::JoinHandle<()>,
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl History {
    pub async fn begin(stage: &Stage) -> Result<Self> {
        let api: Api<Deployment> = stage.api();
        let first = api.get("wandb").await?;
        let since = first.resource_version().context("a version")?;
        let parameters = WatchParams::default().fields("metadata.name=wandb").timeout(290);
        let events = api.watch(&parameters, &since).await?.boxed();
        let versions = Arc::new(Mutex::new(vec![first]));
        let seen = versions.clone();
        let watching = tokio::spawn(async move {
            let mut events = events;
            // What cannot be seen any more shows as a version that is waited for in vain.
            while let Ok(Some(event)) = events.try_next().await {
                if let WatchEvent::Added(version) | WatchEvent::Modified(version) = event {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(version);
                }
            }
        });
        Ok(Self { api, versions, watching })
    }

    /// The pods that the template asked for, from one change to the next until now.
    pub async fn templates(&self) -> Result<Vec<PodSpec>> {
        let now = self.api.get("wandb").await?.resource_version();
        let versions = eventually("the last version of the Deployment", || async {
            let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok(versions.iter().any(|version| version.resource_version() == now).then_some(versions))
        })
        .await?;
        let mut templates: Vec<_> =
            versions.into_iter().filter_map(|version| version.spec?.template.spec).collect();
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
}
