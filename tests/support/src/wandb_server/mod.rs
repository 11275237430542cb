//! A double of the W&B server, which speaks its GraphQL and its token exchange and nothing else.

mod account;
mod call;
mod caller;
mod exchange;
mod fault;
mod graphql;
mod operations;
mod schema;
mod serving;
mod setup;
mod state;
#[cfg(test)]
mod tests;

pub use account::Key;
pub use call::{Call, Phase};
pub use fault::Fault;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;

use self::serving::Serving;
use crate::certificates::Certificate;
use crate::hostile::HttpServer;

/// A double of the W&B server on 127.0.0.1, ended on drop.
///
/// Its GraphQL knows the fields that the operator and the `wandb` package ask for, and refuses any
/// other like the real server does. Accounts are made by the test, as a person makes them in the
/// web UI; whatever happens after that can be watched and broken here.
#[derive(Debug)]
pub struct WandbServer {
    http: HttpServer,
    serving: Arc<Serving>,
}

/// A server to be started, made by [`WandbServer::builder`].
#[derive(Debug, Clone)]
pub struct WandbServerBuilder {
    address: SocketAddr,
    certificate: Option<Certificate>,
    key_prefix: String,
    lists_whole_keys: bool,
}

impl WandbServer {
    /// The longest list of keys that an account may have.
    pub const KEYS_PER_ACCOUNT: usize = 100;

    /// A server that serves http and shows a key's secret once.
    pub fn builder() -> WandbServerBuilder {
        WandbServerBuilder {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            certificate: None,
            key_prefix: String::new(),
            lists_whole_keys: false,
        }
    }

    /// What clients take as `WANDB_BASE_URL`.
    pub fn base_url(&self) -> String {
        self.http.url("")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// How many connections it has had, with those that came to no request.
    pub fn connections(&self) -> usize {
        self.http.connections()
    }
}

impl WandbServerBuilder {
    /// Serves https with this certificate.
    #[must_use]
    pub fn certificate(self, certificate: &Certificate) -> Self {
        Self { certificate: Some(certificate.clone()), ..self }
    }

    /// Listens where a Service of a pod expects it: on every address, with the port of https.
    #[must_use]
    pub fn in_pod(self) -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)), ..self }
    }

    /// Makes keys that begin with this word and a `-`, as `local-…` do.
    #[must_use]
    pub fn key_prefix(self, prefix: &str) -> Self {
        Self { key_prefix: format!("{prefix}-"), ..self }
    }

    /// Shows whole keys in every listing, as servers older than 0.77 do.
    #[must_use]
    pub fn lists_whole_keys(self) -> Self {
        Self { lists_whole_keys: true, ..self }
    }

    /// Starts the server.
    pub fn start(self) -> Result<WandbServer> {
        let serving = Arc::new(Serving::new(self.key_prefix, self.lists_whole_keys));
        let answering = serving.clone();
        let certificate = self.certificate.as_ref();
        let http = HttpServer::start_on(self.address, certificate, move |request| answering.answer(request))?;
        Ok(WandbServer { http, serving })
    }
}
