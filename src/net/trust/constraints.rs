//! Enforces name constraints as Go does (RFC 5280, section 4.2.1.10). Pure.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints as Parsed};

use super::{
    budget::Budget,
    certificate::{AlternativeNames, Certificate},
    names::is_domain,
    refusal::TrustRefusal,
    uri::Uri,
};
use crate::problem::quote;

/// The names that the certificates below an authority may carry.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct NameConstraints {
    permitted: Subtrees,
    excluded: Subtrees,
}

/// The names and networks of one half of the constraints. Names are in small letters.
#[derive(Clone, Default, PartialEq, Eq)]
struct Subtrees {
    dns: Vec<String>,
    emails: Vec<Mailboxes>,
    uris: Vec<String>,
    networks: Vec<(Vec<u8>, Vec<u8>)>,
    kinds: NameKinds,
}

/// The mailboxes that a constraint covers.
#[derive(Clone, PartialEq, Eq)]
enum Mailboxes {
    /// One mailbox. Only its domain is in small letters.
    One { local: String, domain: String },
    /// Every mailbox of a domain.
    Of(String),
}

/// Whether Go knows all kinds of names in a set of constraints.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum NameKinds {
    #[default]
    Known,
    /// Go does not know some of them.
    SomeUnknown,
}

impl NameConstraints {
    /// Reads the extension. The error says why Go cannot read the certificate.
    pub fn read(parsed: &Parsed<'_>) -> Result<Self, &'static str> {
        let [permitted, excluded] = [&parsed.permitted_subtrees, &parsed.excluded_subtrees]
            .map(|subtrees| subtrees.as_deref().unwrap_or_default());
        if permitted.is_empty() && excluded.is_empty() {
            return Err("its name constraints are empty");
        }
        Ok(Self { permitted: Subtrees::read(permitted)?, excluded: Subtrees::read(excluded)? })
    }

    /// Whether Go knows all kinds of names in the constraints.
    pub fn is_understood(&self) -> bool {
        [&self.permitted, &self.excluded].iter().all(|subtrees| subtrees.kinds == NameKinds::Known)
    }

    /// How many comparisons are needed to judge the names.
    fn comparisons(&self, names: &AlternativeNames) -> usize {
        let [permitted, excluded] = [&self.permitted, &self.excluded].map(|subtrees| {
            [subtrees.networks.len(), subtrees.dns.len(), subtrees.uris.len(), subtrees.emails.len()]
        });
        let names = [names.addresses.len(), names.dns.len(), names.uris.len(), names.emails.len()];
        let product = |((names, permitted), excluded): ((usize, usize), usize)| {
            names.saturating_mul(permitted.saturating_add(excluded).saturating_add(1))
        };
        names.into_iter().zip(permitted).zip(excluded).map(product).fold(0, usize::saturating_add)
    }

    /// The first name that these constraints forbid.
    fn forbidden(&self, names: &AlternativeNames) -> Option<String> {
        let judge = |shown: &str, permitted: ConstraintVerdict, excluded: ConstraintVerdict| {
            let allowed = permitted != ConstraintVerdict::Outside && excluded != ConstraintVerdict::Within;
            (!allowed).then(|| quote(shown))
        };
        let address = |address: &IpAddr| {
            let [permitted, excluded] = [&self.permitted, &self.excluded]
                .map(|subtrees| verdict(&subtrees.networks, |network| contains(network, *address)));
            judge(&address.to_string(), permitted, excluded)
        };
        let name = |permitted: &[String], excluded: &[String], domain: &str| {
            let excluded_by = |constraint: &String| {
                is_below(domain, constraint)
                    || domain.starts_with("*.") && covers_wildcard(domain, constraint)
            };
            let permitted = verdict(permitted, |constraint| is_below(domain, constraint));
            if is_domain(domain) {
                judge(domain, permitted, verdict(excluded, excluded_by))
            } else {
                Some(quote(domain))
            }
        };
        let dns = |dns: &String| name(&self.permitted.dns, &self.excluded.dns, dns);
        let uri = |uri: &Uri| match uri.domain() {
            Some(domain) => name(&self.permitted.uris, &self.excluded.uris, domain),
            None => Some("a URI without a host name".to_owned()),
        };
        let email = |email: &String| {
            let Some((local, domain)) = email.rsplit_once('@').filter(|(local, _)| !local.is_empty()) else {
                return Some(quote(email));
            };
            let covers = |constraint: &Mailboxes| match constraint {
                Mailboxes::One { local: only, domain: at } => {
                    only == local && at.eq_ignore_ascii_case(domain)
                }
                Mailboxes::Of(constraint) => is_below(domain, constraint),
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

/// Refuses a chain with a name that an authority above it forbids.
pub(super) fn check(chain: &[&Certificate], budget: &mut Budget) -> Result<(), TrustRefusal> {
    for (index, certificate) in chain.iter().enumerate() {
        let Some(names) = &certificate.names else { continue };
        for above in chain.iter().skip(index + 1) {
            let Some(constraints) = &above.constraints else { continue };
            budget.spend(constraints.comparisons(names))?;
            if let Some(name) = constraints.forbidden(names) {
                return Err(TrustRefusal::Constraint(above.subject_name.clone(), name));
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum ConstraintVerdict {
    /// There are no constraints for this kind of name.
    Unconstrained,
    Within,
    Outside,
}

fn verdict<T>(constraints: &[T], covers: impl Fn(&T) -> bool) -> ConstraintVerdict {
    match constraints {
        [] => ConstraintVerdict::Unconstrained,
        _ if constraints.iter().any(covers) => ConstraintVerdict::Within,
        _ => ConstraintVerdict::Outside,
    }
}

impl Subtrees {
    fn read(subtrees: &[GeneralSubtree<'_>]) -> Result<Self, &'static str> {
        let mut read = Self::default();
        let malformed = "its name constraints are malformed";
        for GeneralSubtree { base } in subtrees {
            match base {
                GeneralName::DNSName(name) if is_constraint(name) => read.dns.push(name.to_ascii_lowercase()),
                GeneralName::RFC822Name(name) => read.emails.push(mailboxes(name).ok_or(malformed)?),
                GeneralName::URI(name) if is_constraint(name) && name.parse::<IpAddr>().is_err() => {
                    read.uris.push(name.to_ascii_lowercase());
                }
                GeneralName::IPAddress(bytes) => read.networks.push(network(bytes).ok_or(malformed)?),
                GeneralName::DNSName(_) | GeneralName::URI(_) | GeneralName::Invalid(..) => {
                    return Err(malformed);
                }
                _ => read.kinds = NameKinds::SomeUnknown,
            }
        }
        Ok(read)
    }
}

fn mailboxes(constraint: &str) -> Option<Mailboxes> {
    match constraint.rsplit_once('@') {
        Some((local, domain)) => {
            Some(Mailboxes::One { local: local.to_owned(), domain: domain.to_ascii_lowercase() })
        }
        None => is_constraint(constraint).then(|| Mailboxes::Of(constraint.to_ascii_lowercase())),
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

/// Whether the name is the constraint's name or below it. A constraint that begins with a dot covers only names
/// below it. The constraint must be in small letters.
fn is_below(name: &str, constraint: &str) -> bool {
    let Some(rest) = name.len().checked_sub(constraint.len()) else { return false };
    name.as_bytes().split_at_checked(rest).is_some_and(|(rest, end)| {
        let is_whole_label = constraint.is_empty() || constraint.starts_with('.') || rest.is_empty();
        (is_whole_label || rest.ends_with(b".")) && end.eq_ignore_ascii_case(constraint.as_bytes())
    })
}

/// Whether an excluded name is among the names that a wildcard covers.
fn covers_wildcard(wildcard: &str, constraint: &str) -> bool {
    let parents = wildcard.split_once('.').zip(constraint.split_once('.'));
    parents.is_some_and(|((_, ours), (_, theirs))| ours.eq_ignore_ascii_case(theirs))
}

fn is_constraint(name: &str) -> bool {
    is_domain(name.strip_prefix('.').unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use test_support::certificate_draft::{Draft, DraftKey, host_name};

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
            ("a.exampl", "example", false),
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

    fn certificate(draft: &Draft) -> Certificate {
        Certificate::parse(&draft.self_signed(&DraftKey::p256().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn comparisons_are_limited_for_a_whole_judgement() {
        let names: Vec<_> = (0..100).map(|number| format!("a{number}.example")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let excluded: Vec<_> = (0..99).map(|number| host_name(&format!("b{number}.example"))).collect();
        let server = certificate(&Draft::of("server").alternative_names(&names));
        let root = certificate(&Draft::authority("Root").name_constraints(&[], &excluded));
        let mut budget = Budget::default();
        let judged = (0..1000).take_while(|_| check(&[&server, &root], &mut budget).is_ok()).count();
        assert_eq!(judged, 25, "each takes 10,000 of 250,000 comparisons");
        assert_eq!(check(&[&server, &root], &mut budget), Err(TrustRefusal::TooManyComparisons));
    }

    #[test]
    fn long_names_are_cut() {
        let long = format!("{}.example", "a".repeat(1000));
        let server = certificate(&Draft::of("server").alternative_names(&[&long]));
        let root = certificate(&Draft::authority("Root").name_constraints(&[], &[host_name("example")]));
        let refusal = check(&[&server, &root], &mut Budget::default()).unwrap_err();
        assert!(
            matches!(&refusal, TrustRefusal::Constraint(_, name) if name.chars().count() == 201),
            "{refusal:?}"
        );
    }
}
