//! Decides to which addresses the operator may connect.
//!
//! The author of a resource chooses the server to which the operator connects, and so could make it connect to
//! what only the operator can reach. Therefore connections to special addresses (cloud metadata, link-local,
//! loopback, unspecified, multicast and broadcast) and to the Kubernetes API server are refused, unless the
//! person who runs the operator lists their network (`--allow-egress`). Every other address is allowed. An IPv4
//! address that is written inside an IPv6 address is judged as that IPv4 address.
//!
//! A proxy looks names up itself, and may find another server than this process does. So both are judged: the addresses
//! that are known here, and the name, where it stands for special addresses wherever it is looked up. A Service called
//! `metadata` does not hide what the proxy knows by that name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// Which addresses are refused.
#[derive(Clone, Debug)]
pub enum EgressPolicy {
    /// Refuses special addresses and the API server, except for addresses in a listed network.
    Enforced {
        /// Networks to which connections are always allowed.
        allowed: Vec<IpNet>,
        /// The addresses and ports of the API server.
        api_server: Vec<SocketAddr>,
    },
    /// Refuses everything outside of the listed networks while the API server's addresses are not known, because
    /// any address could be one of them.
    Pending {
        /// Networks to which connections are always allowed.
        allowed: Vec<IpNet>,
    },
    /// Refuses nothing. A person who runs the checks has no more rights than their own.
    Unrestricted,
}

impl EgressPolicy {
    /// The reason to refuse the address in a few words; `None` if connecting is allowed.
    pub fn objection(&self, address: SocketAddr) -> Option<&'static str> {
        let (allowed, api_server) = match self {
            Self::Enforced { allowed, api_server } => (allowed, Some(api_server)),
            Self::Pending { allowed } => (allowed, None),
            Self::Unrestricted => return None,
        };
        let ip = address.ip().to_canonical();
        if allowed.iter().any(|network| network.contains(&ip)) {
            return None;
        }
        let Some(api_server) = api_server else {
            return Some(
                "possibly an address of the Kubernetes API server, whose addresses are not known yet",
            );
        };
        let meant = carried_v4(ip).map_or(ip, IpAddr::V4);
        let is_its =
            |server: &SocketAddr| server.port() == address.port() && server.ip().to_canonical() == meant;
        if api_server.iter().any(is_its) {
            return Some("the address of the Kubernetes API server");
        }
        match ip {
            IpAddr::V4(ip) => special_v4(ip),
            IpAddr::V6(ip) => special_v6(ip),
        }
    }

    /// The reason not to ask a proxy for a name, whatever is known here of its addresses; `None` if it may be asked.
    pub fn objection_to_name(&self, name: &str) -> Option<&'static str> {
        match self {
            Self::Enforced { .. } | Self::Pending { .. } => special_name(name),
            Self::Unrestricted => None,
        }
    }

    /// The reason not to ask a proxy for any other name whose addresses only the proxy knows.
    pub fn objection_to_unknown(&self) -> Option<&'static str> {
        match self {
            Self::Pending { .. } => {
                Some("possibly a name of the Kubernetes API server, whose addresses are not known yet")
            }
            Self::Enforced { .. } | Self::Unrestricted => None,
        }
    }
}

/// Names of cloud metadata: of Google and those that took it over, Amazon, Tencent, IBM and Equinix.
const METADATA: [&str; 8] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
    "api.metadata.cloud.ibm.com",
    "metadata.platformequinix.com",
];

/// What a name stands for that leads to a special address, or to the API server, wherever it is looked up.
fn special_name(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_or_is_below = |domain: &str| {
        name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let machine =
        ["localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"];
    let labels: Vec<_> = name.split('.').collect();
    if machine.into_iter().any(is_or_is_below) {
        return Some("a name of the machine itself");
    }
    // Regions of Amazon other than the first one have a domain of their own.
    if METADATA.contains(&name.as_str())
        || matches!(labels.as_slice(), ["instance-data", _, "compute", "internal"])
    {
        return Some("a name of cloud metadata");
    }
    let is_api_server = matches!(
        labels.as_slice(),
        ["kubernetes"] | ["kubernetes", "default"] | ["kubernetes", "default", "svc", ..]
    );
    is_api_server.then_some("a name of the Kubernetes API server")
}

fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        // Of most clouds, Alibaba, Azure, and the older Oracle cloud.
        [169, 254, 169, 254] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => {
            Some("a cloud metadata address")
        }
        [169, 254, ..] => Some("a link-local address"),
        [127, ..] => Some("a loopback address"),
        [0, ..] => Some("an unspecified address"),
        [224..=239, ..] => Some("a multicast address"),
        [255, 255, 255, 255] => Some("the broadcast address"),
        _ => None,
    }
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        // Amazon's services of a machine, among them the one that gives pods their credentials; then Google, Oracle and
        // Scaleway.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, _]
        | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
        | [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
        | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42] => Some("a cloud metadata address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        _ => special_v4(carried_v4(IpAddr::V6(ip))?),
    }
}

/// The IPv4 address that an IPv6 address contains: NAT64 (RFC 6052 and 8215), SIIT (RFC 7915), 6to4 (RFC 3056)
/// and the old IPv4-compatible form.
fn carried_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    match ip.segments() {
        [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str]) -> EgressPolicy {
        EgressPolicy::Enforced {
            allowed: allowed.iter().map(|network| network.parse().unwrap()).collect(),
            api_server: vec!["10.0.0.1:443".parse().unwrap()],
        }
    }

    #[test]
    fn refuses_special_addresses_in_every_spelling() {
        for address in [
            "169.254.169.254:80",
            "169.254.1.1:80",
            "127.0.0.1:636",
            "127.9.9.9:636",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "100.100.100.200:80",
            "[::1]:80",
            "[::]:80",
            "[fe80::1]:80",
            "[ff02::1]:80",
            "[fd00:ec2::254]:80",
            "[fd00:ec2::23]:80",
            "[fd20:ce::254]:80",
            "[fd00:c1::a9fe:a9fe]:80",
            "[fd00:42::42]:80",
            "192.0.0.192:80",
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:7f00:1::]:80",
            "[64:ff9b:1::a9fe:a9fe]:80",
            "[::ffff:0:a9fe:a9fe]:80",
            "[::7f00:1]:80",
            "10.0.0.1:443",
            "[::ffff:10.0.0.1]:443",
            "[64:ff9b::10.0.0.1]:443",
        ] {
            assert!(policy(&[]).objection(address.parse().unwrap()).is_some(), "{address}");
        }
    }

    #[test]
    fn refuses_names_that_mean_special_addresses_everywhere() {
        for name in [
            "localhost",
            "a.Localhost.",
            "metadata",
            "Metadata.google.internal.",
            "metadata.tencentyun.com",
            "instance-data",
            "instance-data.eu-west-1.compute.internal",
            "kubernetes",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ] {
            for policy in [policy(&[]), EgressPolicy::Pending { allowed: Vec::new() }] {
                assert!(policy.objection_to_name(name).is_some(), "{name}");
            }
            assert_eq!(EgressPolicy::Unrestricted.objection_to_name(name), None, "{name}");
        }
        let pending = EgressPolicy::Pending { allowed: Vec::new() };
        for name in ["login.example.com", "kubernetes.example.com", "mylocalhost", "metadata.example.com"] {
            assert_eq!(policy(&[]).objection_to_name(name), None, "{name}");
            assert_eq!(pending.objection_to_name(name), None, "{name}");
        }
        assert_eq!(policy(&[]).objection_to_unknown(), None);
        assert!(pending.objection_to_unknown().is_some());
    }

    #[test]
    fn nothing_but_listed_addresses_is_open_while_the_api_servers_are_unknown() {
        let pending = EgressPolicy::Pending { allowed: vec!["10.1.0.0/16".parse().unwrap()] };
        assert!(pending.objection("192.0.2.1:443".parse().unwrap()).is_some());
        assert_eq!(pending.objection("10.1.2.3:443".parse().unwrap()), None);
    }

    #[test]
    fn allows_ordinary_and_listed_addresses() {
        for address in ["10.0.0.1:636", "10.1.2.3:443", "192.168.0.7:389", "8.8.8.8:443", "[2001:db8::1]:443"]
        {
            assert_eq!(policy(&[]).objection(address.parse().unwrap()), None, "{address}");
        }
        assert_eq!(policy(&["127.0.0.0/8"]).objection("127.0.0.1:636".parse().unwrap()), None);
        assert_eq!(policy(&["127.0.0.0/8"]).objection("[::ffff:127.0.0.1]:636".parse().unwrap()), None);
        assert!(policy(&["127.0.0.0/8"]).objection("[::1]:636".parse().unwrap()).is_some());
        assert_eq!(EgressPolicy::Unrestricted.objection("127.0.0.1:1".parse().unwrap()), None);
    }
}
