//! The long-running process: from a cluster's address to running controllers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use ipnet::IpNet;
use kube::{Client, Config, runtime::events::Reporter};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider, ServiceAccount},
    api_server::{self, Cluster, Writes, addresses::keep_current},
    engine::{
        Context, Events, Kind, MANAGER, Registry, Waits, WatchScope, Watches, heartbeat, look_for_endings,
        look_for_namespace, metrics::Metrics, run_controller, watch_references, watch_targets,
    },
    leader::Election,
    net::{EgressPolicy, SharedNetwork},
    server::{self, Readiness},
    workloads::Target,
};

/// How the operator is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces that are looked after.
    pub scopes: Vec<WatchScope>,
    /// Networks that may be connected to whatever they are.
    pub allow_egress: Vec<IpNet>,
    /// Runs of one kind at a time, without those that wait for an answer longer than a second.
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

/// How long runs may take to end once the process is to stop. Together with the release of the Lease and the end of
/// the HTTP server it stays below five seconds.
const RUNS_END: Duration = Duration::from_millis(2500);

/// How long the HTTP server and the last events may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs until the token is cancelled; an error means that it could not start or lost its leadership.
pub async fn operate(config: Config, options: Options, stopping: CancellationToken) -> anyhow::Result<()> {
    let listener = server::listen(options.metrics_address).await?;
    let network =
        Arc::new(SharedNetwork::new(EgressPolicy::Pending { allowed: options.allow_egress.clone() }));
    let namespace = config.default_namespace.clone();
    // What runs write is counted: the Lease is given up only when nothing of it can still be done.
    let writes = Writes::default();
    let unusable = "the cluster's address or credentials are not usable";
    let client = api_server::client(config.clone(), &writes).context(unusable)?;
    let beside = api_server::client(config.clone(), &Writes::default()).context(unusable)?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    let watches = Watches::default();
    let tasks = TaskTracker::new();
    tracing::info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let served = CancellationToken::new();
    tasks.spawn(server::serve(
        listener,
        readiness.clone(),
        watches.clone(),
        Arc::clone(&metrics),
        served.clone(),
    ));

    let mut election = match &options.election {
        LeaderElection::Off => None,
        LeaderElection::Lease(name) => Some(Election::new(beside.clone(), &namespace, name, identity())),
    };
    if let Some(election) = &mut election {
        tracing::info!("waiting to become the leader");
        tokio::select! {
            () = election.win(&readiness) => tracing::info!("became the leader"),
            () = stopping.cancelled() => return Ok(()),
        }
    }
    metrics.leads(true);

    let (events, written) = Events::start(beside.clone(), reporter());
    tasks.spawn(written);
    let shared = SharedContext {
        cluster: Cluster::new(client, config.clone()).with_load(writes.load().clone()),
        network,
        metrics: Arc::clone(&metrics),
        registry: Arc::new(Registry::default()),
        watches,
        events,
        options: &options,
        stopping: stopping.clone(),
    };
    let controllers = Controllers::default()
        .watch_references(&shared)
        .watch_targets(&shared)
        .add::<LdapConfig>(&shared)
        .add::<OidcProvider>(&shared)
        .add::<JwtIssuer>(&shared)
        .add::<ServiceAccount>(&shared)
        .look_around(&shared, &beside)
        .keep_out_of_the_api_server(&shared, config, &beside);
    let running = controllers.run(shared.watches.clone(), readiness, stopping, writes);
    drop(shared);
    let end = match &mut election {
        None => running.await,
        Some(election) => lead(election, running).await,
    };
    metrics.leads(false);
    served.cancel();
    tasks.close();
    // A client that sent half a request, or an API server that takes no event, must not keep the process.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, tasks.wait()).await;
    match end {
        ControllersEnd::Orderly | ControllersEnd::CutShort { .. } => Ok(()),
        ControllersEnd::Lost => anyhow::bail!("lost the leadership; start again to stand by"),
    }
}

/// How the controllers ended.
enum ControllersEnd {
    /// On request; every run is over.
    Orderly,
    /// On request, before every run was over.
    CutShort {
        /// Writes that were sent and may still be performed.
        unanswered: usize,
    },
    /// Somebody else leads, or the API server does not answer.
    Lost,
}

/// Keeps the Lease while the controllers run, and gives it up once they write no more.
async fn lead(election: &mut Election, running: impl Future<Output = ControllersEnd>) -> ControllersEnd {
    let end = tokio::select! {
        end = running => end,
        () = election.keep() => ControllersEnd::Lost,
    };
    match end {
        ControllersEnd::Orderly | ControllersEnd::CutShort { unanswered: 0 } => election.release().await,
        ControllersEnd::CutShort { unanswered } => tracing::warn!(
            unanswered,
            "the Lease is left to expire, since the API server may still perform writes that it has not answered"
        ),
        ControllersEnd::Lost => {}
    }
    end
}

/// What the controllers of every kind share.
struct SharedContext<'a> {
    cluster: Cluster,
    network: Arc<SharedNetwork>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    watches: Watches,
    events: Events,
    options: &'a Options,
    stopping: CancellationToken,
}

/// Controllers that are set up, and what goes on beside them.
#[derive(Default)]
struct Controllers {
    runs: Vec<BoxFuture<'static, ()>>,
    beside: Vec<BoxFuture<'static, ()>>,
}

impl Controllers {
    /// Sets one kind up in every scope.
    fn add<K: Kind>(mut self, shared: &SharedContext<'_>) -> Self {
        let context = Context::<K>::new(
            shared.cluster.clone(),
            Arc::clone(&shared.network),
            Arc::clone(&shared.metrics),
            shared.events.clone(),
            shared.options.waits,
            shared.stopping.clone(),
            Arc::clone(&shared.registry),
        );
        let context = Arc::new(context.with_runs(shared.options.concurrency));
        for scope in &shared.options.scopes {
            let run = run_controller(Arc::clone(&context), scope, &shared.watches);
            self.runs.push(run.boxed());
        }
        self
    }

    /// Has resources run again when what they read or publish changes.
    fn watch_references(mut self, shared: &SharedContext<'_>) -> Self {
        for scope in &shared.options.scopes {
            let client = &shared.cluster.client;
            self.runs.extend(watch_references(
                client,
                scope,
                &shared.registry,
                &shared.watches,
                &shared.stopping,
            ));
        }
        self
    }

    /// Has resources run again when what they deliver to changes.
    fn watch_targets(mut self, shared: &SharedContext<'_>) -> Self {
        for scope in &shared.options.scopes {
            for kind in Target::KINDS {
                let registry = Arc::clone(&shared.registry);
                let watched = watch_targets(
                    shared.cluster.client.clone(),
                    scope.clone(),
                    kind,
                    registry,
                    shared.watches.clone(),
                    shared.stopping.clone(),
                );
                self.runs.push(watched.boxed());
            }
        }
        self
    }

    /// Looks whether the API server answers, and whether the namespaces exist and stay.
    fn look_around(mut self, shared: &SharedContext<'_>, client: &Client) -> Self {
        for scope in &shared.options.scopes {
            if let WatchScope::Namespace(namespace) = scope {
                let looking = look_for_namespace(client.clone(), namespace.clone(), shared.watches.clone());
                self.beside.push(looking.boxed());
            }
        }
        let (beside, registry) = (client.clone(), Arc::clone(&shared.registry));
        self.beside.push(async move { look_for_endings(beside, &registry).await }.boxed());
        if let Some(scope) = shared.options.scopes.first() {
            let beating = heartbeat(client.clone(), scope.clone(), shared.watches.clone());
            self.beside.push(beating.boxed());
        }
        self
    }

    /// Keeps resources from leading the operator to the API server.
    fn keep_out_of_the_api_server(
        mut self,
        shared: &SharedContext<'_>,
        config: Config,
        client: &Client,
    ) -> Self {
        let allowed = shared.options.allow_egress.clone();
        let network = Arc::clone(&shared.network);
        self.beside.push(keep_current(config, client.clone(), network, allowed).boxed());
        self
    }

    /// Runs until all have stopped, or have had their time to.
    async fn run(
        self,
        watches: Watches,
        readiness: Readiness,
        stopping: CancellationToken,
        writes: Writes,
    ) -> ControllersEnd {
        let listed = async {
            watches.listed().await;
            readiness.set_ready();
            tracing::info!("ready: every resource is listed");
        };
        let beside = async {
            futures::join!(listed, join_all(self.beside));
            std::future::pending::<()>().await;
        };
        let cut = async {
            stopping.cancelled().await;
            tokio::time::sleep(RUNS_END).await;
            // What is dropped from here on is not sent any more, but what was sent may be performed.
            writes.unanswered()
        };
        tokio::select! {
            _ = join_all(self.runs) => ControllersEnd::Orderly,
            unanswered = cut => {
                tracing::warn!(unanswered, "runs were cut short, since they did not end in time");
                ControllersEnd::CutShort { unanswered }
            }
            () = beside => ControllersEnd::Orderly,
        }
    }
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
