//! `run`: starts the controllers with the settings of the command line, and reports why they cannot start.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context, bail};
use clap::Args;
use ipnet::IpNet;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{
    cluster,
    proxies::{ProxyArgs, complain},
};
use crate::{
    api::Duration,
    engine::{MANAGER, ServerPods, Waits, WatchScope},
    open_files,
    operator::{LeaderElection, Options, operate},
    telemetry::{self, LogFormat},
};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Namespace whose resources are handled; may be repeated. Default: the pod's own, or the context's.
    #[arg(long, value_name = "NAMESPACE", env = "WANDB_AUTH_NAMESPACE", value_delimiter = ',')]
    namespace: Vec<String>,

    /// Handle the resources of every namespace.
    #[arg(long, env = "WANDB_AUTH_ALL_NAMESPACES")]
    all_namespaces: bool,

    /// Network that the operator may connect to even if it is loopback, link-local or otherwise special; may be repeated.
    #[arg(long, value_name = "CIDR", env = "WANDB_AUTH_ALLOW_EGRESS", value_delimiter = ',')]
    allow_egress: Vec<String>,

    #[command(flatten)]
    proxies: ProxyArgs,

    /// Resources of one kind that are worked on at a time. Namespaces share them fairly, and a resource that waits for an answer longer than a second does not count.
    #[arg(long, value_name = "N", env = "WANDB_AUTH_CONCURRENCY", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// How long the deletion of a resource waits for a server that does not revoke its keys, for a successor at its target, or for pods that still need its revisions.
    #[arg(long, value_name = "DURATION", env = "WANDB_AUTH_DELETION_PATIENCE", default_value = "10m")]
    deletion_patience: Duration,

    /// How long a container of a target must fail, without a break, before a rollout is undone.
    #[arg(long, value_name = "DURATION", env = "WANDB_AUTH_FAILURE_PATIENCE", default_value = "60s")]
    failure_patience: Duration,

    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, value_name = "ADDRESS", env = "WANDB_AUTH_METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    metrics_address: SocketAddr,

    /// Agree with other replicas on one leader, by a Lease.
    #[arg(long, env = "WANDB_AUTH_LEADER_ELECT")]
    leader_elect: bool,

    /// The Lease's name; each release in a namespace needs its own.
    #[arg(long, value_name = "NAME", env = "WANDB_AUTH_LEASE_NAME", default_value = MANAGER)]
    lease_name: String,

    /// Make checks from pods of this image where checkFrom of a resource asks for that. The operator then needs the right to create and delete pods.
    #[arg(long, env = "WANDB_AUTH_SERVER_POD_CHECKS")]
    server_pod_checks: bool,

    /// With --server-pod-checks: the operator's own image, as nodes pull it.
    #[arg(long, value_name = "IMAGE", env = "WANDB_AUTH_IMAGE")]
    image: Option<String>,

    /// With --server-pod-checks: Secret of each namespace with which the image is pulled; may be repeated.
    #[arg(long, value_name = "NAME", env = "WANDB_AUTH_IMAGE_PULL_SECRET", value_delimiter = ',')]
    image_pull_secret: Vec<String>,

    /// With --server-pod-checks: how long such a pod may take to answer, from its creation on.
    #[arg(long, value_name = "DURATION", env = "WANDB_AUTH_SERVER_POD_PATIENCE", default_value = "2m")]
    server_pod_patience: Duration,

    /// How log lines are written.
    #[arg(long, value_enum, env = "WANDB_AUTH_LOG_FORMAT", default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

/// Runs the controller until SIGTERM or SIGINT.
pub(super) async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    // A container's first process ends by no signal that it does not take.
    let stopping = CancellationToken::new();
    tokio::spawn(stop_on_signal(stopping.clone()));
    telemetry::start(arguments.log_format);
    open_files::raise_limit();
    let mut options = arguments.options()?;
    if options.proxies.settings.has_any() {
        tracing::info!(proxies = %options.proxies.settings, "requests to servers of HTTP go through a proxy");
    }
    complain(&options.proxies, |remark| tracing::warn!("{remark}"));
    let config = tokio::select! {
        config = cluster::current() => config?,
        () = stopping.cancelled() => return Ok(()),
    };
    if options.scopes.is_empty() {
        let own = namespace(&config.default_namespace).context("the namespace of the current context")?;
        options.scopes.push(WatchScope::Namespace(own));
    }
    operate(config, options, stopping).await
}

impl RunArguments {
    /// The options, without any scope where none is named. An empty environment variable counts as an
    /// absent one, since charts set those.
    fn options(self) -> anyhow::Result<Options> {
        // Two controllers on one namespace would do everything twice.
        let namespaces: BTreeSet<_> =
            given(self.namespace.clone()).map(|name| namespace(&name)).collect::<anyhow::Result<_>>()?;
        if self.all_namespaces && !namespaces.is_empty() {
            bail!("--all-namespaces and --namespace cannot be used together; use one of them");
        }
        let scopes = if self.all_namespaces {
            vec![WatchScope::Cluster]
        } else {
            namespaces.into_iter().map(WatchScope::Namespace).collect()
        };
        let allow_egress = given(self.allow_egress.clone())
            .map(|network| {
                let expected = "expected a network such as 10.0.0.0/8";
                network.parse().with_context(|| format!("--allow-egress {network}: {expected}"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let election = if self.leader_elect {
            LeaderElection::Lease(lease_name(&self.lease_name)?)
        } else {
            LeaderElection::Off
        };
        let server_pods = self.server_pods(&allow_egress)?;
        Ok(Options {
            scopes,
            allow_egress,
            proxies: self.proxies.proxies()?,
            concurrency: self.concurrency,
            waits: Waits { deletion: self.deletion_patience.get(), failure: self.failure_patience.get() },
            metrics_address: self.metrics_address,
            election,
            server_pods,
        })
    }

    /// How pods are made in the place of a server. What the operator may not connect to, such a pod may not either.
    fn server_pods(&self, allow_egress: &[IpNet]) -> anyhow::Result<Option<ServerPods>> {
        if !self.server_pod_checks {
            return Ok(None);
        }
        let image = self.image.as_deref().map(str::trim).filter(|image| !image.is_empty());
        let image = image.context("--server-pod-checks needs --image, the operator's own image")?.to_owned();
        let allowed = allow_egress.iter().map(|network| format!("--allow-egress={network}"));
        Ok(Some(ServerPods {
            image,
            pull_secrets: given(self.image_pull_secret.clone()).collect(),
            patience: self.server_pod_patience.get(),
            arguments: std::iter::once("--enforce-egress".to_owned()).chain(allowed).collect(),
        }))
    }
}

fn given(items: Vec<String>) -> impl Iterator<Item = String> {
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty())
}

/// A name that a namespace can have: a DNS label (RFC 1123).
fn namespace(given: &str) -> anyhow::Result<String> {
    if given.len() > 63 || !is_label(given) {
        bail!(
            "--namespace {given}: expected at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
        );
    }
    Ok(given.to_owned())
}

/// A name that the API server takes for a Lease: a DNS subdomain (RFC 1123).
fn lease_name(given: &str) -> anyhow::Result<String> {
    let name = match given.trim() {
        "" => MANAGER,
        name => name,
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        bail!(
            "--lease-name {name}: expected at most 253 lower-case letters, digits, hyphens and dots, with a letter or digit at both ends of each part"
        );
    }
    Ok(name.to_owned())
}

fn is_label(label: &str) -> bool {
    let known = |each: char| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-';
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(known)
}

async fn stop_on_signal(stopping: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received; only a kill ends this process");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stopping.cancel();
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArguments,
    }

    fn options(arguments: &[&str]) -> anyhow::Result<Options> {
        Line::try_parse_from(std::iter::once(&"run").chain(arguments)).unwrap().run.options()
    }

    #[test]
    fn empty_and_repeated_items_do_not_count() {
        let scopes = options(&["--namespace", "a,a,", "--allow-egress", ""]).unwrap().scopes;
        assert_eq!(scopes, [WatchScope::Namespace("a".to_owned())]);
        assert_eq!(options(&["--namespace", ""]).unwrap().scopes, []);
        assert_eq!(options(&["--all-namespaces"]).unwrap().scopes, [WatchScope::Cluster]);
    }

    #[test]
    fn the_lease_has_the_name_that_was_given() {
        let election = |name: &str| options(&["--leader-elect", "--lease-name", name]).map(|it| it.election);
        for (given, name) in [("auth.team-1", "auth.team-1"), ("", MANAGER), (" a ", "a")] {
            assert_eq!(election(given).unwrap(), LeaderElection::Lease(name.to_owned()), "{given:?}");
        }
        assert_eq!(options(&["--leader-elect"]).unwrap().election, LeaderElection::Lease(MANAGER.to_owned()));
        for nonsense in ["Auth", "a_b", "a.", ".a", "a..b", "a-", "a b", &"a".repeat(254)] {
            let error = election(nonsense).unwrap_err();
            assert!(error.to_string().contains("expected at most 253"), "{error}");
        }
    }

    #[test]
    fn pods_like_a_servers_need_an_image_and_have_the_operators_egress() {
        assert_eq!(options(&[]).unwrap().server_pods, None);
        assert_eq!(options(&["--image", "a"]).unwrap().server_pods, None);
        assert!(options(&["--server-pod-checks", "--image", " "]).is_err());
        let arguments = ["--server-pod-checks", "--image", "a:1", "--allow-egress", "10.0.0.0/8"];
        let pods = options(&arguments).unwrap().server_pods.unwrap();
        assert_eq!(pods.arguments, ["--enforce-egress", "--allow-egress=10.0.0.0/8"]);
        assert_eq!((pods.image.as_str(), pods.pull_secrets.len()), ("a:1", 0));
    }

    #[test]
    fn contradictions_and_nonsense_are_told() {
        assert!(options(&["--all-namespaces", "--namespace", "a"]).is_err());
        for nonsense in ["Wandb", "a_b", "a.b", "-a", "a-", "a b", "*", "../a", &"a".repeat(64)] {
            let error = options(&[&format!("--namespace={nonsense}")]).unwrap_err();
            assert!(error.to_string().contains("expected at most 63"), "{error}");
        }
        let error = options(&["--allow-egress", "nonsense"]).unwrap_err();
        assert!(error.to_string().contains("expected a network"), "{error}");
    }
}
