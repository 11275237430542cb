//! Name constraints as Go enforces them (RFC 5280, section 4.2.1.10). Pure.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints as Parsed};

use super::certificate::{AlternativeNames, Certificate};

/// Which names the certificates below an authority may carry.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct NameConstraints {
    permitted: Subtrees,
    excluded: Subtrees,
    /// Whether all kinds of names are ones that Go knows.
    pub is_understood: bool,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Subtrees {
    dns: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
    networks: Vec<(Vec<u8>, Vec<u8>)>,
}

impl NameConstraints {
    /// Reads the extension. The error says why Go reads no certificate with it.
    pub fn read(parsed: &Parsed<'_>) -> Result<Self, &'static str> {
        let mut is_understood = true;
        let [permitted, excluded] = [&parsed.permitted_subtrees, &parsed.excluded_subtrees]
            .map(|subtrees| subtrees.as_deref().unwrap_or_default());
        if permitted.is_empty() && excluded.is_empty() {
            return Err("its name constraints are empty");
        }
        let permitted = Subtrees::read(permitted, &mut is_understood)?;
        let excluded = Subtrees::read(excluded, &mut is_understood)?;
        Ok(Self { permitted, excluded, is_understood })
    }

    /// The first name that these constraints forbid.
    fn forbidden(&self, names: &AlternativeNames) -> Option<String> {
        let judge = |shown: &str, permitted: Verdict, excluded: Verdict| {
            let allowed = permitted != Verdict::Outside && excluded != Verdict::Within;
            (!allowed).then(|| shown.to_owned())
        };
        let address = |address: &IpAddr| {
            let [permitted, excluded] = [&self.permitted, &self.excluded]
                .map(|subtrees| verdict(&subtrees.networks, |network| contains(network, *address)));
            judge(&address.to_string(), permitted, excluded)
        };
        let name = |permitted: &[String], excluded: &[String], shown: &str, domain: &str| {
            let excluded_by = |constraint: &String| {
                is_below(domain, constraint)
                    || domain.starts_with("*.") && covers_wildcard(domain, constraint)
            };
            let permitted = verdict(permitted, |constraint| is_below(domain, constraint));
            if is_domain(domain) {
                judge(shown, permitted, verdict(excluded, excluded_by))
            } else {
                Some(shown.to_owned())
            }
        };
        let dns = |dns: &String| name(&self.permitted.dns, &self.excluded.dns, dns, dns);
        let uri = |host: &Option<String>| match host {
            Some(host) if host.parse::<IpAddr>().is_err() && !host.starts_with('[') => {
                name(&self.permitted.uris, &self.excluded.uris, host, host)
            }
            _ => Some("a URI without a host name".to_owned()),
        };
        let email = |email: &String| {
            let Some((local, domain)) = email.rsplit_once('@').filter(|(local, _)| !local.is_empty()) else {
                return Some(email.clone());
            };
            let covers = |constraint: &String| match constraint.rsplit_once('@') {
                Some((only, at)) => only == local && at.eq_ignore_ascii_case(domain),
                None => is_below(domain, constraint),
            };
            let [permitted, excluded] =
                [&self.permitted, &self.excluded].map(|subtrees| verdict(&subtrees.emails, covers));
            judge(email, permitted, excluded)
        };
        (names.addresses.iter().find_map(address))
            .or_else(|| names.dns.iter().find_map(dns))
            .or_else(|| names.uris.iter().find_map(uri))
            .or_else(|| names.emails.iter().find_map(email))
    }
}

/// The first name of a chain that an authority above it forbids, with that authority.
pub(super) fn violation<'a>(chain: &[&'a Certificate]) -> Option<(&'a Certificate, String)> {
    chain.iter().enumerate().find_map(|(index, certificate)| {
        let names = certificate.names.as_ref()?;
        chain.iter().skip(index + 1).find_map(|above| {
            let name = above.constraints.as_ref()?.forbidden(names)?;
            Some((*above, name))
        })
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    /// There are no constraints for this kind of name.
    Unconstrained,
    Within,
    Outside,
}

fn verdict<T>(constraints: &[T], covers: impl Fn(&T) -> bool) -> Verdict {
    match constraints {
        [] => Verdict::Unconstrained,
        _ if constraints.iter().any(covers) => Verdict::Within,
        _ => Verdict::Outside,
    }
}

impl Subtrees {
    fn read(subtrees: &[GeneralSubtree<'_>], is_understood: &mut bool) -> Result<Self, &'static str> {
        let mut read = Self::default();
        let malformed = "its name constraints are malformed";
        for GeneralSubtree { base } in subtrees {
            match base {
                GeneralName::DNSName(name) if is_constraint(name) => read.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) if name.contains('@') || is_constraint(name) => {
                    read.emails.push((*name).to_owned());
                }
                GeneralName::URI(name) if is_constraint(name) && name.parse::<IpAddr>().is_err() => {
                    read.uris.push((*name).to_owned());
                }
                GeneralName::IPAddress(bytes) => read.networks.push(network(bytes).ok_or(malformed)?),
                GeneralName::DNSName(_)
                | GeneralName::RFC822Name(_)
                | GeneralName::URI(_)
                | GeneralName::Invalid(..) => return Err(malformed),
                _ => *is_understood = false,
            }
        }
        Ok(read)
    }
}

fn network(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if ![8, 32].contains(&bytes.len()) {
        return None;
    }
    let (address, mask) = bytes.split_at(bytes.len() / 2);
    let ones: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
    let set: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let is_prefix = ones == set && mask.windows(2).all(|pair| matches!(pair, [0xff, _] | [_, 0]));
    is_prefix.then(|| (address.to_vec(), mask.to_vec()))
}

fn contains((network, mask): &(Vec<u8>, Vec<u8>), address: IpAddr) -> bool {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    bytes.len() == network.len()
        && bytes.iter().zip(network).zip(mask).all(|((byte, network), mask)| byte & mask == network & mask)
}

/// Whether the name is the constraint's or below it; one that begins with a dot means only what is below.
fn is_below(name: &str, constraint: &str) -> bool {
    let (name, constraint) = (name.to_ascii_lowercase(), constraint.to_ascii_lowercase());
    name.strip_suffix(&constraint).is_some_and(|rest| {
        constraint.is_empty() || constraint.starts_with('.') || rest.is_empty() || rest.ends_with('.')
    })
}

/// Whether an excluded name is among those that a wildcard stands for.
fn covers_wildcard(wildcard: &str, constraint: &str) -> bool {
    let parent = |name: &str| name.split_once('.').map(|(_, parent)| parent.to_ascii_lowercase());
    parent(constraint).is_some() && parent(wildcard) == parent(constraint)
}

fn is_domain(name: &str) -> bool {
    !name.ends_with('.')
        && (name.is_empty() || name.split('.').all(|label| !label.is_empty()))
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_constraint(name: &str) -> bool {
    is_domain(name.strip_prefix('.').unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_below_a_constraint() {
        for (name, constraint, expected) in [
            ("a.example", "example", true),
            ("example", "example", true),
            ("aexample", "example", false),
            ("a.example", ".example", true),
            ("example", ".example", false),
            ("A.EXAMPLE", "example", true),
            ("a.example", "", true),
        ] {
            assert_eq!(is_below(name, constraint), expected, "{name} {constraint}");
        }
        assert!(covers_wildcard("*.example", "a.example"));
        assert!(!covers_wildcard("*.example", "a.b.example"));
    }

    #[test]
    fn networks_have_a_mask_that_is_a_prefix() {
        assert!(network(&[10, 0, 0, 0, 255, 0, 0, 0]).is_some());
        assert!(network(&[10, 0, 0, 0, 255, 128, 0, 0]).is_some());
        for bytes in [&[10, 0, 0, 0, 0, 255, 0, 0][..], &[10, 0, 0, 0, 255, 1, 0, 0], &[10, 0, 0, 0]] {
            assert!(network(bytes).is_none(), "{bytes:?}");
        }
        let ten = network(&[10, 0, 0, 0, 255, 0, 0, 0]).unwrap();
        assert!(contains(&ten, [10, 1, 2, 3].into()) && !contains(&ten, [11, 1, 2, 3].into()));
    }
}
