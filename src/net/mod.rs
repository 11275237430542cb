//! Connections to the outside: name resolution, egress policy, TLS trust and bounded HTTP.
//!
//! Every connection goes the same way, one step after the other, so that a failure names its step:
//! `resolve → permit → connect → encrypt`. A name is resolved once, and the connection goes to an
//! address that the policy has seen; nothing here resolves a second time or follows a redirect.

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::problem::Problem;

mod client_certificate;
mod credentials;
mod dial;
mod egress;
mod http;
mod memory;
mod names;
mod shared;
mod tls;
mod trust;

use dial::Lookups;
use memory::AnswerMemory;
use names::Names;

pub use client_certificate::{Encrypted, ended_without_certificate};
pub use credentials::{Consent, Consequence, CredentialRefusal, Credentials, Login, Said, Terms, Usage};
pub use dial::{Duplex, Endpoint, Host, connect};
pub use egress::EgressPolicy;
pub use http::{BODY_LIMIT, HttpClient, HttpRequest, HttpResponse, RequestKey, endpoint_of, exchange};
pub use memory::{Meter, Metered};
pub use shared::Shared;
pub use tls::{ServerCertificate, encrypt};
pub use trust::{
    BundleFault, BundleReading, CaBundle, CertificateSubject, ChainLink, Role, Trust, VerifiedChain,
    certificate_fault, certificates_in, only_certificates,
};

/// How long an answer counts as the answer to a request that was made a little later.
const SHARE_ANSWERS_FOR: Duration = Duration::from_secs(1);

/// How long is waited until it is known which addresses may be connected to.
const POLICY_PATIENCE: Duration = Duration::from_secs(3);

/// The largest body that is kept for those who come later: what is kept is in nobody's share of the memory.
const SHARED_BODY: usize = 64 * 1024;

/// What connections need beside their endpoint: made once per process.
pub struct SharedNetwork {
    /// Which addresses may be connected to, as far as is known now.
    egress: watch::Sender<Arc<EgressPolicy>>,
    /// The system's certificate authorities.
    pub system_trust: Trust,
    /// Public documents that several resources ask for at the same time.
    documents: Shared<RequestKey, HttpResponse>,
    /// What servers answered to credentials.
    pub credentials: Credentials,
    /// The memory that answers may take together.
    memory: Arc<AnswerMemory>,
    /// The names that are looked up at a time.
    lookups: Lookups,
}

impl SharedNetwork {
    /// A network with the system's certificate authorities.
    pub fn new(egress: EgressPolicy) -> Self {
        let (egress, _) = watch::channel(Arc::new(egress));
        Self {
            egress,
            system_trust: Trust::system(),
            documents: Shared::new(SHARE_ANSWERS_FOR, |answer| answer.body.len() <= SHARED_BODY),
            credentials: Credentials::default(),
            memory: Arc::default(),
            lookups: Lookups::default(),
        }
    }

    /// Which addresses may be connected to, as far as is known now.
    pub fn egress(&self) -> Arc<EgressPolicy> {
        Arc::clone(&self.egress.borrow())
    }

    /// Sets which addresses may be connected to from now on.
    pub fn set_egress(&self, policy: EgressPolicy) {
        self.egress.send_replace(Arc::new(policy));
    }

    /// The addresses that may be connected to; a problem when there are none.
    pub async fn permit(
        &self,
        endpoint: &Endpoint,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Problem> {
        let mut policy = self.egress.subscribe();
        let known = policy.wait_for(|policy| !matches!(**policy, EgressPolicy::Pending { .. }));
        // Right after the start, an answer is on its way. Without one, the policy says what it is.
        let _ = tokio::time::timeout(POLICY_PATIENCE, known).await;
        dial::permit(&self.egress(), endpoint, addresses)
    }

    /// The network as the pods of a namespace see it.
    pub fn seen_from(self: &Arc<Self>, namespace: &str) -> Network {
        Network::of(Arc::clone(self), Names::of_namespace(namespace), namespace)
    }
}

/// The network as the pods of one namespace see it, for one run of the checks: host names are looked up as
/// theirs are.
pub struct Network {
    shared: Arc<SharedNetwork>,
    names: Names,
    /// On which terms the run may send credentials that were refused before.
    terms: Terms,
    usage: Mutex<Usage>,
    /// How many parts of the run wait for what others learn of the same credentials, and have sent nothing.
    awaiting_others: AtomicUsize,
    meter: Meter,
}

impl Network {
    /// The network as this process sees it.
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
            meter,
        }
    }

    /// What this run has taken of the memory for answers.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether the run has not sent its credentials yet, since it waits for what others learn of them.
    pub fn awaits_others(&self) -> bool {
        self.awaiting_others.load(Ordering::Relaxed) > 0
    }

    /// A public document, which `request` fetches unless another run is about to or just did.
    pub async fn document(
        &self,
        key: RequestKey,
        request: impl Future<Output = Result<HttpResponse, Problem>>,
    ) -> Result<Arc<HttpResponse>, Problem> {
        let host = key.url.authority().to_owned();
        let making = AtomicBool::new(false);
        let request = async {
            making.store(true, Ordering::Relaxed);
            request.await
        };
        let answer = self.documents.get(key, request).await?;
        if !making.load(Ordering::Relaxed) {
            http::permit_parsing(&self.meter, &host, &answer.body).await?;
        }
        Ok(answer)
    }

    /// Every address of the endpoint, sorted, so that equal answers look equal.
    pub async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Problem> {
        dial::resolve(&self.names, endpoint, (&self.lookups, self.meter.namespace())).await
    }

    /// The full name that answered to the host's name in this run; the host itself where none is known.
    pub fn full_name(&self, host: &Host) -> String {
        match host {
            Host::Name(name) => self.names.known(name).unwrap_or_else(|| name.clone()),
            Host::Address(_) => host.to_string(),
        }
    }

    /// What tells the host apart from another one of the same short name in another namespace.
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
