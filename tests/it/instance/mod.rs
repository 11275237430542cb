//! W&B Server as the operator talks to it: against the double of the server, and against servers that lie.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test's own helpers cannot do is a failure of the test"
)]

mod exchange;
mod keys;
mod refusals;
mod secrecy;
mod teams;

use test_support::Certificate;
use wandb_auth_operator::{
    api::InstanceSpec,
    instance::{ApiKey, BaseUrl, Credential, Instance, ServerRefusal},
    net::{CaBundle, EgressPolicy, HttpClient, Network, Trust},
};

/// A server and the way to it.
struct Way {
    base_url: BaseUrl,
    network: Network,
    trust: Trust,
}

impl Way {
    /// To a server without TLS.
    fn to(base_url: &str) -> Self {
        let allowed = vec!["127.0.0.1/32".parse().unwrap()];
        let network = Network::new(EgressPolicy::Enforced { allowed, api_server: Vec::new() });
        let spec = InstanceSpec { base_url: base_url.to_owned(), insecure_plaintext: true };
        Self { base_url: BaseUrl::parse(&spec).unwrap(), trust: network.system_trust.clone(), network }
    }

    fn trusting(mut self, certificate: &Certificate) -> Self {
        let reading = CaBundle::parse(certificate.authority_pem.as_bytes()).unwrap();
        self.trust = self.trust.with_bundle(&reading.bundle);
        self
    }

    fn instance(&self) -> Instance<'_> {
        let http = HttpClient { network: &self.network, trust: &self.trust };
        Instance { base_url: &self.base_url, http }
    }
}

/// A key as a credential.
fn credential(key: &str) -> Credential {
    Credential::Key(ApiKey::parse(&key.into()).unwrap_or_else(|problem| panic!("{}", problem.message)))
}

/// Why there is no result. The results themselves have no `Debug`, since they hold secrets.
#[track_caller]
fn refusal<T>(outcome: Result<T, ServerRefusal>) -> ServerRefusal {
    outcome.err().unwrap_or_else(|| panic!("the server did what was asked"))
}

/// The result.
#[track_caller]
fn granted<T>(outcome: Result<T, ServerRefusal>) -> T {
    outcome.unwrap_or_else(|refusal| panic!("{}", refusal.problem.message))
}
