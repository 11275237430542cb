//! Connections to the outside: name resolution, egress policy, TLS trust and bounded HTTP.
//!
//! Every connection goes the same way, one step after the other, so that a failure names its step:
//! `resolve → permit → connect → encrypt`. A name is resolved once, and the connection goes to an
//! address that the policy has seen; nothing here resolves a second time or follows a redirect.

use std::time::Duration;

mod client_certificate;
mod dial;
mod egress;
mod http;
mod shared;
mod tls;
mod trust;

pub use client_certificate::{Encrypted, certificate_demanded};
pub use dial::{Duplex, Endpoint, Host, connect, permit, resolve};
pub use egress::EgressPolicy;
pub use http::{BODY_LIMIT, HttpClient, HttpRequest, HttpResponse, RequestKey, endpoint_of, exchange};
pub use shared::Shared;
pub use tls::{Certificate, encrypt};
pub use trust::{
    BundleFault, BundleReading, CaBundle, ChainLink, Role, Subject, Trust, VerifiedChain, certificates_in,
    only_certificates,
};

/// How long an answer counts as the answer to a request that was made a little later.
const SHARE_ANSWERS_FOR: Duration = Duration::from_secs(1);

/// What connections need beside their endpoint: made once per process.
pub struct Network {
    /// Which addresses may be connected to.
    pub egress: EgressPolicy,
    /// The system's certificate authorities.
    pub system_trust: Trust,
    /// Public documents that several resources ask for at the same time.
    pub documents: Shared<RequestKey, HttpResponse>,
}

impl Network {
    /// A network with the system's certificate authorities.
    pub fn new(egress: EgressPolicy) -> Self {
        Self { egress, system_trust: Trust::system(), documents: Shared::new(SHARE_ANSWERS_FOR) }
    }
}
