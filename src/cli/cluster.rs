//! The cluster that a command talks to.

use std::error::Error;

use anyhow::anyhow;
use kube::{Config, config::KubeConfigOptions};

/// The cluster of `KUBECONFIG`'s current context, or the one that this pod runs in.
pub(super) async fn current() -> anyhow::Result<Config> {
    Config::infer().await.map_err(|error| {
        // The whole text repeats each of its causes; only a kubeconfig is a person's to mend.
        let seen = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        anyhow!(
            "there is no cluster to talk to: {seen}. Set KUBECONFIG to a usable file, or run in a pod with a service account."
        )
    })
}

/// The cluster of the context of this name; without one, the current one.
pub(super) async fn of_context(name: Option<&str>) -> anyhow::Result<Config> {
    let Some(name) = name else { return current().await };
    let options = KubeConfigOptions { context: Some(name.to_owned()), ..KubeConfigOptions::default() };
    Config::from_kubeconfig(&options)
        .await
        .map_err(|error| anyhow!("the context \"{name}\" of the kubeconfig cannot be used: {error}"))
}
