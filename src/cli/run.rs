//! `run`: the controller.

use std::net::SocketAddr;

use clap::Args;
use ipnet::IpNet;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::cluster;
use crate::{
    engine::Scope,
    operator::{LeaderElection, Options, operate},
    telemetry::{self, LogFormat},
};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Namespace to look after; may be repeated. Default: the pod's own, or the context's.
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "WANDB_AUTH_NAMESPACE",
        value_delimiter = ',',
        conflicts_with = "all_namespaces"
    )]
    namespace: Vec<String>,

    /// Look after every namespace.
    #[arg(long, env = "WANDB_AUTH_ALL_NAMESPACES")]
    all_namespaces: bool,

    /// Network that may be connected to although it is loopback, link-local or otherwise special; may be repeated.
    #[arg(long, value_name = "CIDR", env = "WANDB_AUTH_ALLOW_EGRESS", value_delimiter = ',')]
    allow_egress: Vec<IpNet>,

    /// Resources of one kind and namespace that are worked on at a time.
    #[arg(long, value_name = "N", env = "WANDB_AUTH_CONCURRENCY", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, value_name = "ADDRESS", env = "WANDB_AUTH_METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    metrics_address: SocketAddr,

    /// Agree with other replicas on one leader, by a Lease.
    #[arg(long, env = "WANDB_AUTH_LEADER_ELECT")]
    leader_elect: bool,

    /// How log lines are written.
    #[arg(long, value_enum, env = "WANDB_AUTH_LOG_FORMAT", default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

/// Runs the controller until SIGTERM or SIGINT.
pub(super) async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    telemetry::start(arguments.log_format);
    let config = cluster::current().await?;
    let options = arguments.options(&config.default_namespace);
    let stopping = CancellationToken::new();
    tokio::spawn(stop_on_signal(stopping.clone()));
    operate(config, options, stopping).await
}

impl RunArguments {
    fn options(self, own_namespace: &str) -> Options {
        let scopes = if self.all_namespaces {
            vec![Scope::Cluster]
        } else if self.namespace.is_empty() {
            vec![Scope::Namespace(own_namespace.to_owned())]
        } else {
            self.namespace.into_iter().map(Scope::Namespace).collect()
        };
        Options {
            scopes,
            allow_egress: self.allow_egress,
            concurrency: self.concurrency,
            metrics_address: self.metrics_address,
            election: if self.leader_elect { LeaderElection::Lease } else { LeaderElection::Off },
        }
    }
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
