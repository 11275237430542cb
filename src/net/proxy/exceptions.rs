//! `NO_PROXY`: what is reached without a proxy, as Go reads it (`golang.org/x/net/http/httpproxy`).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::net::{Endpoint, Host};

/// The servers that are reached without a proxy. This machine itself is one of them in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    Network(IpNet),
    Address {
        ip: IpAddr,
        port: String,
    },
    /// Every name that ends with the suffix, which begins with a dot.
    Domain {
        suffix: String,
        port: String,
        itself: Itself,
    },
}

/// Whether a domain stands for itself or only for what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Itself {
    Included,
    Excluded,
}

impl Exceptions {
    /// Reads the items between commas. Go ignores those that make no sense, and so does this.
    pub(super) fn parse(text: &str) -> Self {
        let mut exceptions = Vec::new();
        for item in text.split(',').map(|item| item.trim().to_lowercase()).filter(|item| !item.is_empty()) {
            if item == "*" {
                return Self(vec![Exception::Everything]);
            }
            exceptions.extend(network(&item).map(Exception::Network).or_else(|| host(&item)));
        }
        Self(exceptions)
    }

    /// Whether the server is reached without a proxy.
    pub(super) fn contain(&self, server: &Endpoint) -> bool {
        let is_on = |port: &str| port.is_empty() || port == server.port.to_string();
        match &server.host {
            Host::Name(name) if name == "localhost" => true,
            Host::Name(name) => {
                let name = name.to_lowercase();
                self.0.iter().any(|exception| match exception {
                    Exception::Everything => true,
                    Exception::Domain { suffix, port, itself } => {
                        let is_itself =
                            *itself == Itself::Included && suffix.strip_prefix('.') == Some(&name);
                        (name.ends_with(suffix) || is_itself) && is_on(port)
                    }
                    Exception::Network(_) | Exception::Address { .. } => false,
                })
            }
            Host::Address(address) => {
                let address = address.to_canonical();
                address.is_loopback()
                    || self.0.iter().any(|exception| match exception {
                        Exception::Everything => true,
                        Exception::Network(network) => network.contains(&address),
                        Exception::Address { ip, port } => *ip == address && is_on(port),
                        Exception::Domain { .. } => false,
                    })
            }
        }
    }
}

/// A network in the notation of RFC 4632, such as `10.0.0.0/8`.
fn network(item: &str) -> Option<IpNet> {
    let (address, length) = item.split_once('/')?;
    let length = length.bytes().all(|digit| digit.is_ascii_digit()).then(|| length.parse::<u8>().ok())??;
    let address: IpAddr = address.parse().ok()?;
    match (address.to_canonical(), address) {
        (IpAddr::V4(carried), IpAddr::V6(_)) if length >= 96 => {
            Some(Ipv4Net::new(carried, length.saturating_sub(96)).ok()?.into())
        }
        _ => IpNet::new(address, length).ok(),
    }
}

/// An address or a domain, with or without a port.
fn host(item: &str) -> Option<Exception> {
    let (host, port) = split_port(item).unwrap_or((item, ""));
    let port = port.to_owned();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Exception::Address { ip: ip.to_canonical(), port });
    }
    let host = if host.starts_with("*.") { host.get(1..)? } else { host };
    let itself = match host.chars().next()? {
        '.' => Itself::Excluded,
        _ => Itself::Included,
    };
    let bare = host.strip_prefix('.').unwrap_or(host);
    Some(Exception::Domain { suffix: format!(".{}", in_ascii(bare)), port, itself })
}

/// A name in the form that DNS and URLs have (RFC 5891); unchanged if it has none.
fn in_ascii(name: &str) -> String {
    if name.is_ascii() {
        return name.to_owned();
    }
    match url::Host::parse(name) {
        Ok(url::Host::Domain(ascii)) => ascii,
        _ => name.to_owned(),
    }
}

/// Splits a host and a port as Go's `net.SplitHostPort` does; `None` if there is no port, or more than one.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let has_bracket = |text: &str| text.contains(['[', ']']);
    (!has_bracket(host) && !has_bracket(port)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_exempt(exceptions: &str, server: &str) -> bool {
        let (host, port) = server.rsplit_once(':').unwrap();
        let server = Endpoint { host: Host::parse(host).unwrap(), port: port.parse().unwrap() };
        Exceptions::parse(exceptions).contain(&server)
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        for (server, expected) in [
            ("localhost:443", true),
            ("127.0.0.1:443", true),
            ("127.9.9.9:80", true),
            ("[::1]:443", true),
            ("[::ffff:127.0.0.1]:443", true),
            ("localhost.:443", false),
            ("a.localhost:443", false),
            ("10.0.0.1:443", false),
        ] {
            assert_eq!(is_exempt("", server), expected, "{server}");
        }
    }

    #[test]
    fn domains_addresses_and_networks_are_matched() {
        for (exceptions, server, expected) in [
            ("example.com", "example.com:443", true),
            ("example.com", "a.example.com:443", true),
            ("example.com", "anexample.com:443", false),
            (".example.com", "a.example.com:443", true),
            (".example.com", "example.com:443", false),
            ("*.example.com", "example.com:443", false),
            ("*.example.com", "a.b.example.com:443", true),
            ("EXAMPLE.com", "example.com:443", true),
            ("example.com:443", "example.com:443", true),
            ("example.com:80", "example.com:443", false),
            ("example.com:", "example.com:443", true),
            ("example.com:https", "example.com:443", false),
            ("bücher.example", "xn--bcher-kva.example:443", true),
            ("a.example,*", "b.example:443", true),
            (" a.example , b.example ", "b.example:443", true),
            ("a.example b.example", "b.example:443", false),
            ("10.0.0.1", "10.0.0.1:443", true),
            ("10.0.0.1:80", "10.0.0.1:443", false),
            ("10.0.0.0/8", "10.1.2.3:443", true),
            ("10.0.0.0/8", "11.1.2.3:443", false),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:443", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3:443", true),
            ("::/0", "10.1.2.3:443", false),
            ("2001:db8::1", "[2001:db8::1]:443", true),
            ("[2001:db8::1]", "[2001:db8::1]:443", false),
            ("[2001:db8::1]:443", "[2001:db8::1]:443", true),
            ("2001:db8::/32", "[2001:db8::1]:443", true),
            ("10.0.0.0/33,:80,,/8,.", "10.0.0.1:443", false),
        ] {
            assert_eq!(is_exempt(exceptions, server), expected, "{exceptions} {server}");
        }
    }
}
