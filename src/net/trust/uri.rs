//! Parses the URI of a certificate as Go's `net/url` does, and judges it as `crypto/x509` does. Pure.
//!
//! Go reads no certificate with a URI that it cannot parse, and its rules are not those of browsers: a host and
//! port without a scheme is not a URI, while nearly any text is a path.

use std::net::{IpAddr, Ipv6Addr};

use super::names::is_domain;

/// The part of a URI that decides whether a certificate may carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    /// The host and port with escapes decoded; empty if there are none.
    host: String,
}

const MALFORMED: &str = "one of its URIs is malformed";
const NO_DOMAIN: &str = "one of its URIs has a host that is no domain name";

impl Uri {
    /// Parses a URI in ASCII. The error says why Go cannot read a certificate with it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        if address.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(MALFORMED);
        }
        let (scheme, rest) = scheme(address)?;
        let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
        unescape(fragment, UriPart::Other)?;
        if !rest.starts_with('/') {
            // The text after a scheme is opaque if it does not begin with a slash.
            if scheme.is_some() {
                return Ok(Self { host: String::new() });
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err(MALFORMED);
            }
        }
        let has_authority = scheme.is_some() || !rest.starts_with("///");
        let authority = rest.strip_prefix("//").filter(|_| has_authority);
        let (host, path) = match authority {
            Some(authority) => {
                let end = authority.find('/').unwrap_or(authority.len());
                let (authority, path) = authority.split_at_checked(end).unwrap_or((authority, ""));
                (host_of(scheme, authority)?, path)
            }
            None => (String::new(), rest),
        };
        unescape(path, UriPart::Other)?;
        if is_domain(&host) { Ok(Self { host }) } else { Err(NO_DOMAIN) }
    }

    /// The domain with which constraints are compared. A URI without a host, or with an address as the host, has
    /// none.
    pub fn domain(&self) -> Option<&str> {
        let host = self.host.as_str();
        let domain = match host.rsplit_once(':') {
            Some((host, _port)) if !self.host.ends_with(']') => {
                Some(host).filter(|host| !host.contains([':', '[', ']']))
            }
            _ => Some(host).filter(|host| !host.is_empty() && !host.starts_with('[')),
        };
        domain.filter(|domain| domain.parse::<IpAddr>().is_err())
    }
}

/// The scheme, and the text after it.
fn scheme(text: &str) -> Result<(Option<&str>, &str), &'static str> {
    let Some((scheme, rest)) = text.split_once(':') else { return Ok((None, text)) };
    if scheme.is_empty() {
        return Err(MALFORMED);
    }
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    Ok(if is_scheme { (Some(scheme), rest) } else { (None, text) })
}

/// The host and port from the text between the slashes.
fn host_of(scheme: Option<&str>, authority: &str) -> Result<String, &'static str> {
    let Some((user, host)) = authority.rsplit_once('@') else { return host_and_port(scheme, authority) };
    let is_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(is_user) {
        return Err(MALFORMED);
    }
    unescape(user, UriPart::Other)?;
    host_and_port(scheme, host)
}

fn host_and_port(scheme: Option<&str>, text: &str) -> Result<String, &'static str> {
    match text.rsplit_once('[') {
        Some(("", literal)) => {
            let (address, port) = literal.rsplit_once(']').ok_or(MALFORMED)?;
            if !is_port(port) {
                return Err(MALFORMED);
            }
            return Ok(format!("[{}]{port}", scoped_address(address)?));
        }
        Some(_) => return Err(MALFORMED),
        None => {}
    }
    let is_web =
        scheme.is_some_and(|scheme| ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)));
    // Databases are addressed with several hosts and ports, so only the addresses of the web are limited to one.
    let colon = if is_web { text.find(':') } else { text.rfind(':') };
    if colon.and_then(|colon| text.get(colon..)).is_some_and(|port| !is_port(port)) {
        return Err(MALFORMED);
    }
    unescape(text, UriPart::Host)
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An IPv6 address, which may have a zone.
fn scoped_address(text: &str) -> Result<String, &'static str> {
    let (address, zone) = match text.find("%25").and_then(|at| text.split_at_checked(at)) {
        Some((address, zone)) => (address, unescape(zone, UriPart::Zone)?),
        None => (text, String::new()),
    };
    let has_name = zone.is_empty() || zone.len() > 1;
    if address.parse::<Ipv6Addr>().is_err() || !has_name {
        return Err(MALFORMED);
    }
    Ok(format!("{address}{zone}"))
}

#[derive(Clone, Copy, PartialEq)]
enum UriPart {
    /// Escapes may stand for characters outside of ASCII, or for a percent sign.
    Host,
    /// The zone of an address, where escapes may also stand for characters that a host may have.
    Zone,
    /// Escapes may stand for any character.
    Other,
}

/// The text with escapes decoded.
fn unescape(text: &str, part: UriPart) -> Result<String, &'static str> {
    let mut unescaped = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if part != UriPart::Other && !may_be_in_host(byte) {
                return Err(MALFORMED);
            }
            unescaped.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = digit().zip(digit()).ok_or(MALFORMED)?;
        let byte = u8::try_from(high * 16 + low).map_err(|_| MALFORMED)?;
        let is_allowed = match part {
            UriPart::Host => !byte.is_ascii() || byte == b'%',
            UriPart::Zone => b"% ".contains(&byte) || may_be_in_host(byte),
            UriPart::Other => true,
        };
        if !is_allowed {
            return Err(MALFORMED);
        }
        unescaped.push(byte);
    }
    Ok(String::from_utf8_lossy(&unescaped).into_owned())
}

fn may_be_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Which URIs are refused is tested in the table of chains, beside the verdict of Go.
    #[test]
    fn constraints_look_at_the_domain() {
        for (uri, expected) in [
            ("https://a.example/b", Some("a.example")),
            ("https://user:password@A.example:636?b", Some("A.example")),
            ("https://a.example:", Some("a.example")),
            ("//a.example", Some("a.example")),
            ("ldap://a:1:2", None),
            ("ldap://a]:1", None),
            ("https://127.0.0.1:636", None),
            ("https://[::1]", None),
            ("https://[::1]:636", None),
            ("///a.example", None),
            ("urn:a.example", None),
            ("a.example", None),
            ("", None),
        ] {
            assert_eq!(Uri::read(uri).unwrap().domain(), expected, "{uri}");
        }
    }

    /// These cases are not in that table, because Go answers them with a Go value instead of a message for
    /// people.
    #[test]
    fn brackets_hold_an_address_and_the_name_of_its_zone() {
        for uri in ["https://[localhost]/", "https://[fe80::1%25]/", "https://[]/"] {
            assert_eq!(Uri::read(uri), Err(MALFORMED), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_or_refused(text in "(https|:|/|//|\\[|\\]|::1|%25|%zz|%41|@|\\?|#|a|\\.){0,12}") {
            if let Ok(uri) = Uri::read(&text) {
                prop_assert!(uri.domain().is_none_or(|domain| !domain.contains(['/', '@', ':'])));
            }
        }
    }
}
