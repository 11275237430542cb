//! The address of a directory.

use std::fmt;

use crate::net::{Endpoint, Host};

/// How an address begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `ldap://`: plain, or encrypted later by StartTLS.
    Ldap,
    /// `ldaps://`: encrypted from the first byte.
    Ldaps,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Ldap => "ldap",
            Self::Ldaps => "ldaps",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Ldap => 389,
            Self::Ldaps => 636,
        }
    }
}

/// An address such as `ldaps://ldap.example.com:636`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapUrl {
    /// Encrypted or not.
    pub scheme: Scheme,
    /// Host and port.
    pub endpoint: Endpoint,
}

impl LdapUrl {
    /// Reads `ldap[s]://host[:port]` and nothing more: what a server would ignore, it may also misread.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://")? {
            ("ldap", rest) => (Scheme::Ldap, rest),
            ("ldaps", rest) => (Scheme::Ldaps, rest),
            _ => return None,
        };
        let (host, port) = split_port(rest)?;
        let port = match port {
            None => scheme.default_port(),
            Some(digits) => parse_port(digits)?,
        };
        Some(Self { scheme, endpoint: Endpoint { host: parse_host(host)?, port } })
    }
}

/// Separates the port from the host; only a host in brackets may itself contain colons.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let (host, after) = text.split_at(text.find(']')? + 1);
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

fn parse_host(text: &str) -> Option<Host> {
    let host = Host::parse(text)?;
    // Brackets and IPv6 addresses come together or not at all.
    let is_v6 = matches!(&host, Host::Address(address) if address.is_ipv6());
    (is_v6 == text.starts_with('[')).then_some(host)
}

impl fmt::Display for LdapUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_port_in() {
        for (text, full) in [
            ("ldaps://ldap.example.com", "ldaps://ldap.example.com:636"),
            ("ldap://ldap.example.com", "ldap://ldap.example.com:389"),
            ("ldap://10.0.0.1:3389", "ldap://10.0.0.1:3389"),
            ("ldaps://[2001:db8::1]", "ldaps://[2001:db8::1]:636"),
            ("ldaps://[::1]:1636", "ldaps://[::1]:1636"),
        ] {
            assert_eq!(LdapUrl::parse(text).unwrap().to_string(), full);
        }
    }

    #[test]
    fn rejects_everything_else() {
        for text in [
            "",
            "ldap.example.com",
            "LDAP://host",
            "ldapi:///socket",
            "ldap://",
            "ldap:///dc=example",
            "ldap://host/",
            "ldap://host/dc=example",
            "ldap://user@host",
            "ldap://host:",
            "ldap://host:0",
            "ldap://host:65536",
            "ldap://host:+636",
            "ldap://::1",
            "ldap://[10.0.0.1]",
            "ldap://[::1]636",
            "ldap://a b",
            "https://host",
        ] {
            assert_eq!(LdapUrl::parse(text), None, "{text}");
        }
    }
}
