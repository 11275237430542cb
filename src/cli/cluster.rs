//! The cluster that a command talks to.

use std::error::Error;

use anyhow::anyhow;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use url::Url;

use crate::{
    api_server::{self, Requests, Writes},
    net::{HttpScheme, ProxySettings, Route, endpoint_of},
};

/// The cluster of `KUBECONFIG`'s current context, or the one that this pod runs in. A pod talks to its own API server
/// directly; from elsewhere, the proxies of the environment are used as kubectl uses them.
pub(super) async fn current() -> anyhow::Result<Config> {
    let mut config = Config::infer().await.map_err(|error| {
        // The whole text repeats each of its causes; only a kubeconfig is a person's to mend.
        let seen = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        anyhow!(
            "there is no cluster to talk to: {seen}. Set KUBECONFIG to a usable file, or run in a pod with a service account."
        )
    })?;
    let context = Kubeconfig::read().ok().and_then(|file| file.current_context);
    heed_exceptions(&mut config, context.as_deref());
    Ok(config)
}

/// The cluster of the context of this name; without one, the current one.
pub(super) async fn of_context(name: Option<&str>) -> anyhow::Result<Config> {
    let Some(name) = name else { return current().await };
    let options = KubeConfigOptions { context: Some(name.to_owned()), ..KubeConfigOptions::default() };
    let mut config = Config::from_kubeconfig(&options)
        .await
        .map_err(|error| anyhow!("the context \"{name}\" of the kubeconfig cannot be used: {error}"))?;
    heed_exceptions(&mut config, Some(name));
    Ok(config)
}

/// Takes the proxy of the environment out where `NO_PROXY` names the cluster: the library does not look at that.
fn heed_exceptions(config: &mut Config, context: Option<&str>) {
    if config.proxy_url.is_some()
        && !Kubeconfig::read().is_ok_and(|file| names_proxy(&file, context))
        && !is_proxied(&config.cluster_url.to_string(), &ProxySettings::of_this_process())
    {
        config.proxy_url = None;
    }
}

/// A client for the cluster, for a command that ends soon.
pub(super) fn client(config: Config) -> kube::Result<Client> {
    api_server::client(config, &Writes::default(), &Requests::default())
}

/// Whether the context's cluster has a proxy of its own (`proxy-url`), for which no exceptions count.
fn names_proxy(file: &Kubeconfig, context: Option<&str>) -> bool {
    let context = file.contexts.iter().find(|named| Some(named.name.as_str()) == context);
    let cluster = context.and_then(|context| context.context.as_ref()).map(|context| &context.cluster);
    let cluster = file.clusters.iter().find(|named| Some(&named.name) == cluster);
    let url = cluster.and_then(|named| named.cluster.as_ref()).and_then(|cluster| cluster.proxy_url.as_ref());
    url.is_some_and(|url| !url.is_empty())
}

/// Whether the environment names a proxy on the way to the cluster.
fn is_proxied(cluster: &str, proxies: &ProxySettings) -> bool {
    let Ok(url) = Url::parse(cluster) else { return false };
    endpoint_of(&url)
        .is_ok_and(|server| matches!(proxies.route(HttpScheme::of(&url), &server), Route::Through(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_count_for_the_environments_proxy_only() {
        let settings = |no_proxy: &str| {
            let variables = [("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", no_proxy)];
            ProxySettings::from_environment(
                variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
            )
        };
        let cluster = "https://k8s.example.com:6443/";
        assert!(is_proxied(cluster, &settings("other.example.com")));
        assert!(!is_proxied(cluster, &settings(".example.com,")));
        assert!(!is_proxied("https://127.0.0.1:6443", &settings("")));
    }

    #[test]
    fn a_cluster_may_have_a_proxy_of_its_own() {
        let file = |proxy: &str| {
            let text = format!(
                "{{current-context: a, contexts: [{{name: a, context: {{cluster: b, user: c}}}}], clusters: [{{name: b, cluster: {{server: 'https://x'{proxy}}}}}]}}"
            );
            Kubeconfig::from_yaml(&text).unwrap()
        };
        assert!(names_proxy(&file(", proxy-url: 'http://proxy'"), Some("a")));
        assert!(!names_proxy(&file(", proxy-url: ''"), Some("a")));
        assert!(!names_proxy(&file(""), Some("a")));
    }
}
