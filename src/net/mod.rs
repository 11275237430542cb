//! Connections to servers outside of the cluster's API: name resolution, egress policy, TLS trust and bounded
//! HTTP.
//!
//! Every connection takes the same steps in the same order, so that a failure names its step: `resolve → permit →
//! connect → encrypt`. A name is resolved once, and the connection goes to an address that the policy has judged;
//! nothing here resolves a second time or follows a redirect. Where a proxy is on the way to a server of HTTP, it makes the
//! connection, after the policy has judged what is known of the server.
//!
//! In reading order: `names` and `dial` (from a name to a TCP connection), `egress` (which addresses are
//! allowed), `tls`, `trust` and `client_certificate` (the handshake and its verdict), `http` (one request),
//! `proxy` and `connection` (the way through a proxy), `conversation` (a connection that is kept for the next request of the same run), `documents` and `shared` (answers
//! that several resources share), `memory` (the budget for answers), and `credentials` (refused ones are not sent
//! again).

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use url::Url;

use crate::problem::Problem;

mod client_certificate;
mod connection;
mod conversation;
mod credentials;
mod dial;
mod documents;
mod egress;
mod http;
mod memory;
mod names;
mod proxy;
mod shared;
mod tls;
mod trust;

use conversation::KeptConnection;
use dial::{LookupTerms, Lookups};
use documents::{Documents, documents};
use memory::AnswerMemory;
use names::Names;

pub use client_certificate::{Encrypted, ended_without_certificate};
pub use connection::HttpConnection;
pub use credentials::{Consent, Consequence, CredentialRefusal, Credentials, Login, Said, Terms, Usage};
pub use dial::{Duplex, Endpoint, Host, connect};
pub use documents::{Lasting, Recency, Sharing};
pub use egress::EgressPolicy;
pub use http::{BODY_LIMIT, HttpClient, HttpRequest, HttpResponse, RequestKey, endpoint_of, exchange};
pub use memory::{Meter, Metered};
pub use proxy::{
    HttpScheme, HttpServer, PROXY_VARIABLES, Proxies, Proxy, ProxyProtocol, ProxySettings, Route,
};
pub(crate) use proxy::{secure, tunnel, usable};
pub use shared::{Dated, Freshness, Shared};
pub use tls::{ServerCertificate, encrypt};
pub use trust::{
    BundleFault, BundleReading, CaBundle, CertificateSubject, ChainLink, Role, RootReading, RootSettings,
    Trust, VerifiedChain, certificate_fault, certificates_in, only_certificates,
};

/// How long is waited until it is known which addresses may be connected to.
const POLICY_PATIENCE: Duration = Duration::from_secs(3);

/// How long a name is looked up that a proxy looks up itself, once it has its turn. Behind a proxy, a cluster's DNS often knows no name of the
/// outside, and some take long to say so.
const PROXIED_LOOK_UP: Duration = Duration::from_secs(2);

/// What connections need beside their endpoint: made once per process.
pub struct SharedNetwork {
    /// The egress policy, as far as it is known now.
    egress: watch::Sender<Arc<EgressPolicy>>,
    /// The system's certificate authorities.
    pub system_trust: Trust,
    /// Public documents that several resources ask for.
    documents: Documents,
    /// What servers answered to credentials.
    pub credentials: Credentials,
    /// The memory that the answers to all runs may take together.
    memory: Arc<AnswerMemory>,
    /// The limit of names that are looked up at the same time.
    lookups: Lookups,
    /// The proxies, and who may vouch for them. They never change, so neither connections that are kept nor answers
    /// that are shared have to name the proxy that they came through.
    proxies: ProxySettings,
    proxy_trust: Trust,
}

impl SharedNetwork {
    /// A network with this egress policy and the system's certificate authorities.
    pub fn new(egress: EgressPolicy) -> Self {
        let (egress, _) = watch::channel(Arc::new(egress));
        let system_trust = Trust::system();
        Self {
            egress,
            proxies: ProxySettings::default(),
            proxy_trust: system_trust.clone(),
            system_trust,
            documents: documents(),
            credentials: Credentials::default(),
            memory: Arc::default(),
            lookups: Lookups::default(),
        }
    }

    /// The same network behind these proxies.
    #[must_use]
    pub fn behind(mut self, Proxies { settings, authorities }: Proxies) -> Self {
        if let Some(authorities) = authorities {
            self.proxy_trust = self.system_trust.with_bundle(&authorities);
        }
        Self { proxies: settings, ..self }
    }

    /// The same network with other authorities of the system, for proxies as well.
    #[must_use]
    pub fn trusting(self, system_trust: Trust) -> Self {
        Self { proxy_trust: system_trust.clone(), system_trust, ..self }
    }

    /// The settings of the proxies.
    pub fn proxies(&self) -> &ProxySettings {
        &self.proxies
    }

    /// The egress policy, as far as it is known now.
    pub fn egress(&self) -> Arc<EgressPolicy> {
        Arc::clone(&self.egress.borrow())
    }

    /// Sets the egress policy from now on.
    pub fn set_egress(&self, policy: EgressPolicy) {
        self.egress.send_replace(Arc::new(policy));
    }

    /// The addresses to which connections are allowed; a problem if there are none.
    pub async fn permit(
        &self,
        endpoint: &Endpoint,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Problem> {
        dial::permit(&*self.known_egress().await, endpoint, addresses)
    }

    /// Whether a proxy may be asked for a connection to the server. The proxy chooses the address, so the name and all
    /// addresses that are known must be allowed.
    pub async fn permit_by_proxy(
        &self,
        server: &Endpoint,
        known: Option<Vec<SocketAddr>>,
    ) -> Result<(), Problem> {
        let policy = self.known_egress().await;
        dial::permit_proxied(&policy, server, known.as_deref())
    }

    async fn known_egress(&self) -> Arc<EgressPolicy> {
        let mut policy = self.egress.subscribe();
        let known = policy.wait_for(|policy| !matches!(**policy, EgressPolicy::Pending { .. }));
        // Right after the start, the policy is about to become known. If that takes too long, the pending policy
        // decides.
        let _ = tokio::time::timeout(POLICY_PATIENCE, known).await;
        self.egress()
    }

    /// The network as this process itself sees it.
    pub fn seen_from_here(self: &Arc<Self>) -> Network {
        Network::of(Arc::clone(self), Names::default(), "")
    }

    /// The network as the pods of this namespace see it.
    pub fn seen_from(self: &Arc<Self>, namespace: &str) -> Network {
        Network::of(Arc::clone(self), Names::of_namespace(namespace), namespace)
    }
}

/// The network as the pods of one namespace see it, for one run of the checks: host names are looked up in the
/// same way as in those pods.
pub struct Network {
    shared: Arc<SharedNetwork>,
    names: Names,
    /// The terms on which the run may send credentials that were refused before.
    terms: Terms,
    usage: Mutex<Usage>,
    /// How many parts of the run wait for the answer that another run gets to the same credentials, and have sent
    /// nothing.
    awaiting_others: AtomicUsize,
    /// How the run shares answers with those of other resources, if it does.
    sharing: Option<Sharing>,
    /// Connections that wait for the next request.
    kept: Mutex<Vec<KeptConnection>>,
    /// The addresses that the run has seen.
    resolved: Mutex<HashMap<Endpoint, Vec<SocketAddr>>>,
    /// The servers whose names only a proxy knows.
    unknown: Mutex<HashSet<Endpoint>>,
    meter: Meter,
}

impl Network {
    /// The network as this process itself sees it.
    pub fn new(egress: EgressPolicy) -> Self {
        Self::of(Arc::new(SharedNetwork::new(egress)), Names::default(), "")
    }

    fn of(shared: Arc<SharedNetwork>, names: Names, namespace: &str) -> Self {
        let meter = Meter::new(Arc::clone(&shared.memory), namespace);
        Self {
            shared,
            names,
            terms: Terms::default(),
            usage: Mutex::default(),
            awaiting_others: AtomicUsize::new(0),
            sharing: None,
            kept: Mutex::default(),
            resolved: Mutex::default(),
            unknown: Mutex::default(),
            meter,
        }
    }

    /// The memory that this run has taken for answers.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether the run has not sent its credentials yet, because it waits for the answer that another run gets to
    /// them.
    pub fn awaits_others(&self) -> bool {
        self.awaiting_others.load(Ordering::Relaxed) > 0
    }

    fn kept(&self) -> MutexGuard<'_, Vec<KeptConnection>> {
        // A panic elsewhere leaves the list whole: every change to it is a single call.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every address of the endpoint, sorted, so that equal answers lead to an equal status.
    pub async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Problem> {
        self.resolve_within(endpoint, Duration::MAX).await
    }

    async fn resolve_within(&self, endpoint: &Endpoint, limit: Duration) -> Result<Vec<SocketAddr>, Problem> {
        let found = dial::resolve(&self.names, endpoint, self.lookup_terms(limit)).await?;
        self.resolved().insert(endpoint.clone(), found.clone());
        Ok(found)
    }

    fn lookup_terms(&self, limit: Duration) -> LookupTerms<'_> {
        LookupTerms { lookups: &self.lookups, namespace: self.meter.namespace(), limit }
    }

    /// The same, as this run has seen them last, if it has.
    pub async fn resolve_once(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Problem> {
        let known = self.resolved().get(endpoint).cloned();
        match known {
            Some(known) => Ok(known),
            None => self.resolve(endpoint).await,
        }
    }

    /// The addresses of a server to which a proxy connects, as far as they are known here. The proxy looks the name up
    /// itself, so a name that is not known, or not soon, is no failure; it is asked for once a run.
    pub async fn look_up_for_proxy(&self, server: &Endpoint) -> Option<Vec<SocketAddr>> {
        let unknown = || self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown().contains(server) {
            return None;
        }
        let known = self.resolved().get(server).cloned();
        let found = match known {
            Some(known) => Some(known),
            None => self.resolve_within(server, PROXIED_LOOK_UP).await.ok(),
        };
        if found.is_none() {
            unknown().insert(server.clone());
        }
        found
    }

    /// The proxy on the way to a server, if there is one.
    pub fn proxy_for(&self, scheme: HttpScheme, server: &Endpoint) -> Result<Option<Arc<Proxy>>, Problem> {
        match self.shared.proxies.route(scheme, server) {
            Route::Direct => Ok(None),
            Route::Through(proxy) => Ok(Some(proxy)),
            Route::Refused => Err(proxy::answer::ambiguous()),
        }
    }

    /// Whether requests to the URL may be sent, by whichever way they go: its name must be known to whoever connects,
    /// and the egress policy must allow it.
    pub async fn admit(&self, url: &Url) -> Result<(), Problem> {
        let server = endpoint_of(url)?;
        if self.proxy_for(HttpScheme::of(url), &server)?.is_some() {
            let known = self.look_up_for_proxy(&server).await;
            return self.permit_by_proxy(&server, known).await;
        }
        let addresses = self.resolve_once(&server).await?;
        self.permit(&server, addresses).await.map(drop)
    }

    /// Connects to the server of a URL by the way that the settings say, and encrypts the connection where the URL wants
    /// that. The egress policy is asked first.
    async fn open(&self, url: &Url, trust: Option<&Trust>) -> Result<HttpConnection, Problem> {
        let server = endpoint_of(url)?;
        let scheme = HttpScheme::of(url);
        let connection = if let Some(proxy) = self.proxy_for(scheme, &server)? {
            let known = self.look_up_for_proxy(&server).await;
            self.permit_by_proxy(&server, known).await?;
            self.connect_through(&proxy, scheme, &server).await?
        } else {
            let addresses = self.permit(&server, self.resolve(&server).await?).await?;
            HttpConnection::to_server(connect(&server, &addresses, self.meter()).await?)
        };
        let Some(trust) = trust else { return Ok(connection) };
        let name = server.host.server_name().ok_or_else(|| http::no_host(url))?;
        Ok(HttpConnection::to_server(encrypt(connection.into_stream(), &name, trust).await?.0))
    }

    fn resolved(&self) -> MutexGuard<'_, HashMap<Endpoint, Vec<SocketAddr>>> {
        // A panic elsewhere leaves the map whole: every change to it is a single call.
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The full name to which the host's name was resolved in this run; the name itself if that is not known.
    pub fn full_name(&self, host: &Host) -> String {
        match host {
            Host::Name(name) => self.names.known(name).unwrap_or_else(|| name.clone()),
            Host::Address(_) => host.to_string(),
        }
    }

    /// A text that differs for hosts with the same short name in different namespaces.
    pub fn identity(&self, host: &Host) -> String {
        match host {
            Host::Name(name) => self.names.identity(name),
            Host::Address(_) => host.to_string(),
        }
    }
}

impl Deref for Network {
    type Target = SharedNetwork;

    fn deref(&self) -> &SharedNetwork {
        &self.shared
    }
}
