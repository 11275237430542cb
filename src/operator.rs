//! The long-running process: from a cluster's address to running controllers.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use ipnet::IpNet;
use kube::{Client, Config, runtime::events::Reporter};
use tokio::net::lookup_host;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider, ServiceAccount},
    engine::{Context, Kind, MANAGER, Registry, Scope, Waits, control, watch_targets},
    leader::{Election, Leadership},
    metrics::Metrics,
    net::{EgressPolicy, SharedNetwork},
    server::{self, Readiness},
    target::Target,
};

/// How the operator is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces that are looked after.
    pub scopes: Vec<Scope>,
    /// Networks that may be connected to whatever they are.
    pub allow_egress: Vec<IpNet>,
    /// Runs of one kind and namespace at a time.
    pub concurrency: u16,
    /// How long is waited for what may still come right.
    pub waits: Waits,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics_address: SocketAddr,
    /// Whether replicas agree on one leader.
    pub election: LeaderElection,
}

/// Whether replicas agree on one leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderElection {
    /// This is the only process.
    Off,
    /// By the Lease of that name in the operator's own namespace.
    Lease(String),
}

/// How long the HTTP server may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs until the token is cancelled; an error means that it could not start or lost its leadership.
pub async fn operate(config: Config, options: Options, stopping: CancellationToken) -> anyhow::Result<()> {
    let listener = server::listen(options.metrics_address).await?;
    let network = Arc::new(SharedNetwork::new(EgressPolicy::Enforced {
        allowed: options.allow_egress.clone(),
        api_server: api_server_addresses(&config).await,
    }));
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).context("the cluster's address or credentials are not usable")?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    let tasks = TaskTracker::new();
    tracing::info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let served = CancellationToken::new();
    tasks.spawn(server::serve(listener, readiness.clone(), Arc::clone(&metrics), served.clone()));

    let mut election = match &options.election {
        LeaderElection::Off => None,
        LeaderElection::Lease(name) => Some(Election::new(client.clone(), &namespace, name, identity())),
    };
    if let Some(election) = &mut election {
        tracing::info!("waiting to become the leader");
        tokio::select! {
            () = election.win(&readiness) => tracing::info!("became the leader"),
            () = stopping.cancelled() => return Ok(()),
        }
    }
    metrics.leads(true);

    let registry = Arc::new(Registry::default());
    let shared = Shared {
        reporter: reporter(),
        client,
        network,
        metrics: Arc::clone(&metrics),
        registry,
        options: &options,
        stopping,
    };
    let controllers = Controllers::default()
        .watch_targets(&shared)
        .add::<LdapConfig>(&shared)
        .add::<OidcProvider>(&shared)
        .add::<JwtIssuer>(&shared)
        .add::<ServiceAccount>(&shared);
    let running = controllers.run(readiness);
    let leadership = match &mut election {
        None => {
            running.await;
            Leadership::Released
        }
        Some(election) => lead(election, running).await,
    };
    metrics.leads(false);
    served.cancel();
    tasks.close();
    // A client that sent half a request must not keep the process.
    let _ = tokio::time::timeout(FAREWELL, tasks.wait()).await;
    match leadership {
        Leadership::Released => Ok(()),
        Leadership::Lost => anyhow::bail!("lost the leadership; start again to stand by"),
    }
}

/// Keeps the Lease while the controllers run, and gives it up only after they have stopped.
async fn lead(election: &mut Election, running: impl Future<Output = ()>) -> Leadership {
    let stopped = CancellationToken::new();
    let running = async {
        running.await;
        stopped.cancel();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        leadership = election.keep(&stopped) => leadership,
        never = running => match never {},
    }
}

/// What the controllers of every kind share.
struct Shared<'a> {
    client: Client,
    network: Arc<SharedNetwork>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    reporter: Reporter,
    options: &'a Options,
    stopping: CancellationToken,
}

/// Controllers that are set up, and what tells that each has listed its resources.
#[derive(Default)]
struct Controllers {
    runs: Vec<BoxFuture<'static, ()>>,
    listings: Vec<BoxFuture<'static, ()>>,
}

impl Controllers {
    /// Sets one kind up in every scope.
    fn add<K: Kind>(mut self, shared: &Shared<'_>) -> Self {
        let context = Arc::new(Context::<K>::new(
            shared.client.clone(),
            Arc::clone(&shared.network),
            Arc::clone(&shared.metrics),
            shared.reporter.clone(),
            shared.options.waits,
            shared.stopping.clone(),
            Arc::clone(&shared.registry),
        ));
        for scope in &shared.options.scopes {
            let (store, run) = control(Arc::clone(&context), scope, shared.options.concurrency);
            self.runs.push(run.boxed());
            self.listings.push(async move { store.wait_until_ready().await.unwrap_or(()) }.boxed());
        }
        self
    }

    /// Has resources run again when what they deliver to changes.
    fn watch_targets(mut self, shared: &Shared<'_>) -> Self {
        for scope in &shared.options.scopes {
            for kind in Target::KINDS {
                let registry = Arc::clone(&shared.registry);
                let watched = watch_targets(
                    shared.client.clone(),
                    scope.clone(),
                    kind,
                    registry,
                    shared.stopping.clone(),
                );
                self.runs.push(watched.boxed());
            }
        }
        self
    }

    /// Runs until all have stopped.
    async fn run(self, readiness: Readiness) {
        let listed = async {
            join_all(self.listings).await;
            readiness.set_ready();
            tracing::info!("ready: every resource is listed");
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            _ = join_all(self.runs) => {}
            never = listed => match never {},
        }
    }
}

/// Where the API server listens, as far as names and environment tell.
async fn api_server_addresses(config: &Config) -> Vec<SocketAddr> {
    let url = &config.cluster_url;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
    let mut addresses: Vec<_> = lookup_host((host, port)).await.into_iter().flatten().collect();
    let service = (
        std::env::var("KUBERNETES_SERVICE_HOST").ok().and_then(|host| host.parse().ok()),
        std::env::var("KUBERNETES_SERVICE_PORT").ok().and_then(|port| port.parse().ok()),
    );
    if let (Some(host), Some(port)) = service {
        addresses.push(SocketAddr::new(host, port));
    }
    addresses
}

/// The pod's name, where the pod tells it.
fn pod_name() -> Option<String> {
    std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).ok().filter(|name| !name.is_empty())
}

fn reporter() -> Reporter {
    Reporter { controller: MANAGER.to_owned(), instance: pod_name() }
}

/// Tells this process from its own restarts, too.
fn identity() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}_{random:016x}", pod_name().unwrap_or_else(|| MANAGER.to_owned()))
}
