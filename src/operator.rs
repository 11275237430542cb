//! The long-running process: it starts from the address of a cluster, and runs the controllers.

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
        Context, Events, Kind, MANAGER, Registry, ServerPods, Waits, WatchScope, Watches, heartbeat,
        look_for_endings, look_for_namespace, metrics::Metrics, run_controller, watch_references,
        watch_targets,
    },
    leader::{Election, RELEASE_LIMIT},
    net::{EgressPolicy, Proxies, SharedNetwork},
    server::{self, Readiness},
    workloads::Target,
};

/// The settings of the operator process.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces whose resources are managed.
    pub scopes: Vec<WatchScope>,
    /// The networks to which connections are allowed, whatever addresses they contain.
    pub allow_egress: Vec<IpNet>,
    /// The proxies on the way to providers, issuers and W&B Server.
    pub proxies: Proxies,
    /// The number of concurrent runs of one kind, not counting those that have been waiting for an answer for more
    /// than a second.
    pub concurrency: u16,
    /// How long to wait for situations that may resolve themselves.
    pub waits: Waits,
    /// The address at which `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics_address: SocketAddr,
    /// Whether replicas elect a leader.
    pub election: LeaderElection,
    /// How pods are made that make checks in the place of a server, if they may be made.
    pub server_pods: Option<ServerPods>,
}

/// Whether replicas elect a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderElection {
    /// There is no election, because this is the only process.
    Off,
    /// They elect one by the Lease of this name in the operator's own namespace.
    Lease(String),
}

/// How long runs may take to end once the process is asked to stop.
const RUNS_END: Duration = Duration::from_millis(2500);

/// How long the HTTP server and the last events may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

// What may take time one after the other leaves a second of the five in which the process is to have ended.
const _: () =
    assert!(RUNS_END.as_millis() + RELEASE_LIMIT.as_millis() + SHUTDOWN_TIMEOUT.as_millis() <= 4_000);

/// Runs until the token is cancelled. An error means that the process could not start or lost its leadership.
pub async fn operate(config: Config, options: Options, stopping: CancellationToken) -> anyhow::Result<()> {
    let listener = server::listen(options.metrics_address).await?;
    let policy = EgressPolicy::Pending { allowed: options.allow_egress.clone() };
    let network = Arc::new(SharedNetwork::new(policy).behind(options.proxies.clone()));
    let namespace = config.default_namespace.clone();
    // The writes of runs are counted, because the Lease may be given up only when none of them can still be
    // performed.
    let writes = Writes::default();
    let unusable = "the cluster's address or credentials are not usable";
    let metrics = Arc::new(Metrics::default());
    let requests = metrics.api_requests();
    let client = api_server::client(config.clone(), &writes, requests).context(unusable)?;
    let beside = api_server::client(config.clone(), &Writes::default(), requests).context(unusable)?;
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
    // The wait is limited, so that a client that sent half a request, or an API server that accepts no event,
    // cannot keep the process from ending.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, tasks.wait()).await;
    match end {
        ControllersEnd::Orderly | ControllersEnd::CutShort { .. } => Ok(()),
        ControllersEnd::Lost => anyhow::bail!("lost the leadership; start again to stand by"),
    }
}

/// How the controllers ended.
enum ControllersEnd {
    /// They ended on request, and every run was over.
    Orderly,
    /// They ended on request, before every run was over.
    CutShort {
        /// The number of writes that were sent and may still be performed.
        unanswered: usize,
    },
    /// Another process leads, or the API server does not answer.
    Lost,
}

/// Renews the Lease while the controllers run, and gives it up when none of their writes can be performed any more.
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

/// What the controllers of all kinds share.
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

/// The controllers that are set up, and the tasks that run beside them.
#[derive(Default)]
struct Controllers {
    runs: Vec<BoxFuture<'static, ()>>,
    beside: Vec<BoxFuture<'static, ()>>,
}

impl Controllers {
    /// Sets up the controllers of one kind, for every scope.
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
        let context = context.with_runs(shared.options.concurrency);
        let context = Arc::new(context.with_server_pods(shared.options.server_pods.clone()));
        for scope in &shared.options.scopes {
            let run = run_controller(Arc::clone(&context), scope, &shared.watches);
            self.runs.push(run.boxed());
        }
        self
    }

    /// Watches what resources read and publish, so that they run again when it changes.
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

    /// Watches the targets, so that resources run again when a target changes.
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

    /// Watches whether the API server answers, and whether the namespaces exist and are not being deleted.
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

    /// Keeps resources from making the operator connect to the API server.
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

    /// Runs until all controllers have stopped, or the time for that has passed.
    async fn run(
        self,
        watches: Watches,
        readiness: Readiness,
        stopping: CancellationToken,
        writes: Writes,
    ) -> ControllersEnd {
        let answered = async {
            watches.answered_for().await;
            readiness.set_ready();
            tracing::info!("ready: the API server lists every kind");
        };
        let beside = async {
            futures::join!(answered, join_all(self.beside));
            std::future::pending::<()>().await;
        };
        let cut = async {
            stopping.cancelled().await;
            tokio::time::sleep(RUNS_END).await;
            // Dropped requests are not sent any more, but the API server may still perform those that were sent.
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

/// The name of the pod, if the environment contains it.
fn pod_name() -> Option<String> {
    std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).ok().filter(|name| !name.is_empty())
}

fn reporter() -> Reporter {
    Reporter { controller: MANAGER.to_owned(), instance: pod_name() }
}

/// A name for this process that also differs between restarts in the same pod.
fn identity() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}_{random:016x}", pod_name().unwrap_or_else(|| MANAGER.to_owned()))
}
