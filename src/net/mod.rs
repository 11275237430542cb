//! Connections to the outside: name resolution, egress policy, TLS trust and bounded HTTP.
//!
//! Every connection goes the same way, one step after the other, so that a failure names its step:
//! `resolve → permit → connect → encrypt`. A name is resolved once, and the connection goes to an
//! address that the policy has seen; nothing here resolves a second time or follows a redirect.

mod dial;
mod egress;
mod http;
mod tls;

pub use dial::{Duplex, Endpoint, Host, connect, permit, resolve};
pub use egress::EgressPolicy;
pub use http::{BODY_LIMIT, HttpClient, HttpRequest, HttpResponse, endpoint_of, exchange};
pub use tls::{Certificate, Trust, encrypt};

/// What connections need beside their endpoint: made once per process.
pub struct Network {
    /// Which addresses may be connected to.
    pub egress: EgressPolicy,
    /// The system's certificate authorities.
    pub system_trust: Trust,
}

impl Network {
    /// A network with the system's certificate authorities.
    pub fn new(egress: EgressPolicy) -> Self {
        Self { egress, system_trust: Trust::system() }
    }
}
