//! The operator itself, in this process, so that it reaches the servers on this machine's loopback.

use std::{fs::File, path::PathBuf, sync::Mutex, time::Duration};

use anyhow::{Context, Error, Result, anyhow};
use kube::Config;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};
use wandb_auth_operator::{
    engine::{Waits, WatchScope},
    net::Proxies,
    operator::{LeaderElection, Options, operate},
};

use crate::step;

/// A running operator, which stops when this is dropped.
pub struct InProcessOperator {
    task: JoinHandle<Result<()>>,
    log: PathBuf,
    _stopped_on_drop: DropGuard,
}

impl InProcessOperator {
    /// Starts it on one namespace, with its log in a file beside this program.
    pub fn start(mut config: Config, namespace: &str) -> Result<Self> {
        let log = std::env::current_exe()?.with_extension("log");
        write_log_to(&log)?;
        step(&format!("Running the operator; its log is {}", log.display()));
        namespace.clone_into(&mut config.default_namespace);
        let options = Options {
            scopes: vec![WatchScope::Namespace(namespace.to_owned())],
            // Without this it would refuse to connect to loopback addresses.
            allow_egress: vec!["127.0.0.0/8".parse()?],
            proxies: Proxies::default(),
            concurrency: 64,
            waits: Waits { deletion: Duration::from_mins(10), failure: Duration::from_mins(1) },
            metrics_address: ([127, 0, 0, 1], 0).into(),
            election: LeaderElection::Off,
            server_pods: None,
        };
        let stopping = CancellationToken::new();
        let task = tokio::spawn(operate(config, options, stopping.clone()));
        Ok(Self { task, log, _stopped_on_drop: stopping.drop_guard() })
    }

    /// Waits for its end, which is a failure as long as nobody stopped it.
    pub async fn end(&mut self) -> Error {
        let log = self.log.display();
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow!("the operator stopped by itself; its log is {log}"),
            Ok(Err(error)) => error.context(format!("the operator could not run; its log is {log}")),
            Err(_) => anyhow!("the operator panicked; its log is {log}"),
        }
    }
}

fn write_log_to(path: &PathBuf) -> Result<()> {
    let file = File::create(path).with_context(|| format!("the log {} cannot be written", path.display()))?;
    let levels: Targets = "info,kube_client=warn,kube_runtime=warn".parse()?;
    let lines = fmt::layer().with_ansi(false).with_target(false).with_writer(Mutex::new(file));
    registry()
        .with(levels)
        .with(lines)
        .try_init()
        .map_err(|error| anyhow!("logging cannot be set up: {error}"))
}
