//! Keeps the addresses of the API server current for the egress policy. The operator can connect there with rights
//! that the author of a resource does not have, so no resource may make it connect there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use kube::{Client, Config};
use tokio::net::lookup_host;

use crate::net::{EgressPolicy, SharedNetwork};

/// The time between two look-ups.
const LOOK: Duration = Duration::from_secs(10);

/// The time between two look-ups while an address is still unknown.
const FIRST_LOOKS: Duration = Duration::from_millis(500);

/// How long an address counts that an API server reported as its own. If there are several API servers, each
/// reports only its own address, and a request reaches only one of them.
const REMEMBERED: Duration = Duration::from_hours(1);

/// What is known about the addresses of the API server.
#[derive(Debug, Default)]
struct Known {
    /// The addresses of the host name that the operator uses, as they were resolved last.
    resolved: Option<BTreeSet<SocketAddr>>,
    /// Whether an API server has answered, with or without addresses.
    is_answered: bool,
    /// The addresses that API servers reported as their own, and when each was reported last.
    reported: BTreeMap<SocketAddr, Instant>,
}

impl Known {
    /// Records the resolved addresses of the host name. A failed look-up changes nothing.
    fn resolve(&mut self, addresses: Option<BTreeSet<SocketAddr>>) {
        self.resolved = addresses.filter(|addresses| !addresses.is_empty()).or(self.resolved.take());
    }

    /// Records the addresses that an API server reports as its own.
    fn report(&mut self, addresses: BTreeSet<SocketAddr>, now: Instant) {
        self.is_answered = true;
        self.reported.extend(addresses.into_iter().map(|address| (address, now)));
        self.reported.retain(|_, last| now.duration_since(*last) < REMEMBERED);
    }

    /// The resulting egress policy. It allows no connection before the addresses are known.
    fn policy(&self, service: Option<SocketAddr>, allowed: &[IpNet]) -> EgressPolicy {
        let allowed = allowed.to_vec();
        match &self.resolved {
            Some(resolved) if self.is_answered => {
                let addresses: BTreeSet<_> = resolved.iter().chain(self.reported.keys()).copied().collect();
                EgressPolicy::Enforced { allowed, api_server: addresses.into_iter().chain(service).collect() }
            }
            _ => EgressPolicy::Pending { allowed },
        }
    }
}

/// Updates the network's policy with the current addresses of the API server. This never returns.
pub async fn keep_current(config: Config, client: Client, network: Arc<SharedNetwork>, allowed: Vec<IpNet>) {
    let service = service();
    // Behind a proxy, the name may be known to the proxy only: no resource leads there directly then.
    let resolved = config.proxy_url.as_ref().map(|_| BTreeSet::new());
    let mut known = Known { resolved, ..Known::default() };
    loop {
        known.resolve(resolve(&config).await);
        match client.list_core_api_versions().await {
            Ok(versions) => {
                let servers = versions.server_address_by_client_cidrs;
                let mut addresses = BTreeSet::new();
                for server in servers {
                    addresses.extend(lookup_host(server.server_address).await.into_iter().flatten());
                }
                known.report(addresses, Instant::now());
            }
            // The operator is not allowed to read this, or something in front of the API server does not pass it on.
            Err(kube::Error::Api(answer)) if answer.is_forbidden() || answer.is_not_found() => {
                known.report(BTreeSet::new(), Instant::now());
            }
            Err(_) => {}
        }
        let policy = known.policy(service, &allowed);
        let is_pending = matches!(policy, EgressPolicy::Pending { .. });
        network.set_egress(policy);
        tokio::time::sleep(if is_pending { FIRST_LOOKS } else { LOOK }).await;
    }
}

/// The addresses of the host name by which the operator reaches the API server.
async fn resolve(config: &Config) -> Option<BTreeSet<SocketAddr>> {
    let url = &config.cluster_url;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
    Some(lookup_host((host, port)).await.ok()?.collect())
}

/// The address of the API server's Service, which Kubernetes passes to every container in environment variables.
fn service() -> Option<SocketAddr> {
    let host: IpAddr = std::env::var("KUBERNETES_SERVICE_HOST").ok()?.parse().ok()?;
    let port = std::env::var("KUBERNETES_SERVICE_PORT").ok()?.parse().ok()?;
    Some(SocketAddr::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> BTreeSet<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn forbidden(known: &Known) -> Option<BTreeSet<SocketAddr>> {
        match known.policy(None, &[]) {
            EgressPolicy::Enforced { api_server, .. } => Some(api_server.into_iter().collect()),
            EgressPolicy::Pending { .. } | EgressPolicy::Unrestricted => None,
        }
    }

    #[test]
    fn nothing_is_open_before_the_addresses_are_known() {
        let now = Instant::now();
        let mut known = Known::default();
        assert_eq!(forbidden(&known), None);
        known.resolve(None);
        known.report(addresses(&["10.0.0.5:6443"]), now);
        assert_eq!(forbidden(&known), None, "its name is not resolved");
        known.resolve(Some(addresses(&["10.96.0.1:443"])));
        assert_eq!(forbidden(&known), Some(addresses(&["10.96.0.1:443", "10.0.0.5:6443"])));
        let mut unanswered = Known::default();
        unanswered.resolve(Some(addresses(&["10.96.0.1:443"])));
        assert_eq!(forbidden(&unanswered), None, "no API server answered yet");
    }

    #[test]
    fn addresses_are_kept_current() {
        let start = Instant::now();
        let mut known = Known::default();
        known.resolve(Some(addresses(&["10.0.0.1:443"])));
        known.report(addresses(&["10.0.0.5:6443"]), start);
        // The API server moved, and another API server of the cluster answered.
        known.resolve(Some(addresses(&["10.0.0.2:443"])));
        known.report(addresses(&["10.0.0.6:6443"]), start + LOOK);
        assert_eq!(forbidden(&known), Some(addresses(&["10.0.0.2:443", "10.0.0.5:6443", "10.0.0.6:6443"])));
        // A failed look-up keeps the known addresses.
        known.resolve(None);
        known.resolve(Some(BTreeSet::new()));
        known.report(addresses(&["10.0.0.6:6443"]), start + REMEMBERED);
        assert_eq!(forbidden(&known), Some(addresses(&["10.0.0.2:443", "10.0.0.6:6443"])));
    }
}
