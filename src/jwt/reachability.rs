//! Checks whether W&B Server can reach the keys if it runs in another network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::Url;

use crate::{
    api::Reason,
    engine::Checked,
    net::{self, Endpoint, Host, HttpScheme, Network},
    problem::{Problem, quote},
};

/// Judges the host of the key set's URL. It is unknown where W&B Server runs, so this check only warns.
pub(super) async fn check(url: &Url, network: &Network) -> Checked {
    let shown = quote(url.host_str().unwrap_or_default());
    let endpoint = match net::endpoint_of(url) {
        Ok(endpoint) => endpoint,
        Err(problem) => return Checked::warning((), problem.reason, problem.message),
    };
    let what = match &endpoint.host {
        Host::Name(name) if is_cluster_name(name) => Some("a name that only the cluster's own DNS knows"),
        // The message names only the kind of address, because the addresses themselves may change with each
        // look-up.
        Host::Name(_) | Host::Address(_) => match addresses(url, &endpoint, network).await {
            Ok(Some(addresses)) => addresses.iter().find_map(|address| private(address.ip())),
            Ok(None) => {
                return Checked::passed(
                    (),
                    format!(
                        "{shown} is not known to the cluster's DNS; the keys came through a proxy, so it is known elsewhere."
                    ),
                );
            }
            Err(problem) => return Checked::warning((), problem.reason, problem.message),
        },
    };
    let Some(what) = what else {
        return Checked::passed((), format!("{shown} is not an address of a private network."));
    };
    Checked::warning(
        (),
        Reason::PrivateAddress,
        format!(
            "The document's jwks_uri is at {shown}, {what}, as with the issuer of an EKS cluster seen from inside. That is enough if W&B Server runs in the same network; otherwise publish the keys at a public address."
        ),
    )
}

/// The addresses of the key set's host; `None` if only the proxy knows them.
async fn addresses(
    url: &Url,
    endpoint: &Endpoint,
    network: &Network,
) -> Result<Option<Vec<SocketAddr>>, Problem> {
    match network.proxy_for(HttpScheme::of(url), endpoint)? {
        Some(_) => Ok(network.look_up_for_proxy(endpoint).await),
        None => network.resolve(endpoint).await.map(Some),
    }
}

/// Whether the name is that of a Service, or one that only a search list completes.
fn is_cluster_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match name.rsplit('.').take(2).collect::<Vec<_>>().as_slice() {
        [last, before] => *last == "svc" || [*last, *before] == ["local", "cluster"],
        _ => true,
    }
}

/// Describes the address if it cannot be reached from other networks.
fn private(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => private_v4(address),
        IpAddr::V6(address) => private_v6(address),
    }
}

fn private_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [100, 64..=127, ..] => Some("a shared address (RFC 6598)"),
        _ if address.is_private() => Some("a private address (RFC 1918)"),
        _ => None,
    }
}

fn private_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if address.is_unique_local() {
        Some("a unique local address (RFC 4193)")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_addresses_that_do_not_leave_a_network() {
        for (address, what) in [
            ("127.0.0.1", Some("loopback")),
            ("10.100.0.1", Some("RFC 1918")),
            ("172.20.0.1", Some("RFC 1918")),
            ("192.168.1.1", Some("RFC 1918")),
            ("169.254.1.1", Some("link-local")),
            ("100.64.0.1", Some("RFC 6598")),
            ("100.128.0.1", None),
            ("172.32.0.1", None),
            ("8.8.8.8", None),
            ("::1", Some("loopback")),
            ("fe80::1", Some("link-local")),
            ("fd00::1", Some("RFC 4193")),
            ("::ffff:10.0.0.1", Some("RFC 1918")),
            ("2001:4860:4860::8888", None),
        ] {
            let seen = private(address.parse().unwrap());
            assert_eq!(seen.is_some(), what.is_some(), "{address}: {seen:?}");
            assert!(seen.unwrap_or_default().contains(what.unwrap_or_default()), "{address}: {seen:?}");
        }
    }

    #[test]
    fn knows_names_of_the_cluster() {
        for (name, is_one) in [
            ("kubernetes.default.svc", true),
            ("kubernetes.default.svc.cluster.local", true),
            ("Kubernetes.default.svc.Cluster.Local.", true),
            ("keycloak", true),
            ("oidc.eks.eu-west-1.amazonaws.com", false),
            ("svc.example.com", false),
        ] {
            assert_eq!(is_cluster_name(name), is_one, "{name}");
        }
    }
}
