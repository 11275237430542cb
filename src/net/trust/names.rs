//! Decides whether a certificate is for a host, as Go's `VerifyHostname` does. Pure.

use std::net::IpAddr;

use rustls::pki_types::ServerName;

use super::certificate::{AlternativeNames, Certificate};

/// Whether the certificate is for this name. The common name does not count.
pub(super) fn carries(certificate: &Certificate, wanted: &ServerName<'_>) -> bool {
    let Some(names) = &certificate.names else { return false };
    match wanted {
        ServerName::IpAddress(address) => {
            let wanted = IpAddr::from(*address).to_canonical();
            names.addresses.iter().any(|address| address.to_canonical() == wanted)
        }
        name => names.dns.iter().any(|pattern| matches(pattern, &name.to_str())),
    }
}

/// Whether the address is among the host names, where it does not count.
pub(super) fn carries_as_text(names: &AlternativeNames, address: IpAddr) -> bool {
    names.dns.iter().any(|name| name.parse() == Ok(address))
}

fn matches(pattern: &str, host: &str) -> bool {
    if !is_host(host.strip_suffix('.').unwrap_or(host), Wildcard::Forbidden)
        || !is_host(pattern, Wildcard::Allowed)
    {
        // Names that are not host names are compared as they are.
        return !["", "."].contains(&host) && pattern.eq_ignore_ascii_case(host);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let (pattern, host): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    pattern.len() == host.len()
        && pattern.iter().zip(&host).enumerate().all(|(index, (pattern, host))| {
            index == 0 && *pattern == "*" || pattern.eq_ignore_ascii_case(host)
        })
}

#[derive(Clone, Copy, PartialEq)]
enum Wildcard {
    Allowed,
    Forbidden,
}

fn is_host(name: &str, wildcard: Wildcard) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name != "*"
        && name.split('.').enumerate().all(|(index, label)| {
            is_label(label) || wildcard == Wildcard::Allowed && index == 0 && label == "*"
        })
}

/// Whether Go accepts the text as a domain. It may be empty.
pub(super) fn is_domain(name: &str) -> bool {
    !name.ends_with('.')
        && (name.is_empty() || name.split('.').all(|label| !label.is_empty()))
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, host, expected) in [
            ("a.example", "a.example", true),
            ("A.example", "a.EXAMPLE", true),
            ("a.example", "a.example.", true),
            ("a.example.", "a.example", false),
            ("*.example", "a.example", true),
            ("*.example", "b.a.example", false),
            ("*.example", "example", false),
            ("a*.example", "ab.example", false),
            ("*", "localhost", false),
            ("a.*", "a.b", false),
            ("a_b.example", "a_b.example", true),
            ("-a.example", "-a.example", true),
            ("", "", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
