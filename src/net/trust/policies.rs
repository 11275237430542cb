//! Judges certificate policies as Go does (RFC 5280, section 6.1, with RFC 9618). Pure.

use std::collections::{BTreeMap, BTreeSet};

use x509_parser::extensions::{CertificatePolicies, PolicyMappings};

use super::{budget::Budget, certificate::Certificate, refusal::TrustRefusal};

/// What a certificate says about policies.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Policies {
    named: Vec<String>,
    mappings: Vec<(String, String)>,
    /// After how many certificates a policy is required.
    pub require_explicit: Option<u32>,
    /// After how many certificates policies may no longer be mapped.
    pub inhibit_mapping: Option<u32>,
    /// After how many certificates the policy `anyPolicy` no longer counts.
    pub inhibit_any: Option<u32>,
}

const ANY: &str = "2.5.29.32.0";

impl Policies {
    /// Reads the policies. The error says why Go cannot read a certificate with them.
    pub fn read_policies(&mut self, parsed: &CertificatePolicies<'_>) -> Result<(), &'static str> {
        self.named = parsed.iter().map(|policy| policy.policy_id.to_id_string()).collect();
        if self.named.iter().collect::<BTreeSet<_>>().len() < self.named.len() {
            return Err("it has the same certificate policy twice");
        }
        Ok(())
    }

    /// Reads which policies of the issuer are equivalent to which policies of the subject.
    pub fn read_mappings(&mut self, parsed: &PolicyMappings<'_>) {
        let pair = |mapping: &x509_parser::extensions::PolicyMapping<'_>| {
            (mapping.issuer_domain_policy.to_id_string(), mapping.subject_domain_policy.to_id_string())
        };
        self.mappings = parsed.mappings.iter().map(pair).collect();
    }
}

/// The policies that are valid so far, each with the policies of the next certificate that continue it.
type Frontier = BTreeMap<String, BTreeSet<String>>;

/// What `anyPolicy` stands for in a certificate.
#[derive(Clone, Copy, PartialEq)]
enum AnyPolicy {
    Everything,
    Nothing,
}

/// Whether policies may still be mapped to others.
#[derive(Clone, Copy, PartialEq)]
enum Mapping {
    Allowed,
    Inhibited,
}

/// Refuses a chain, the server's certificate first, that does not fulfil the policies that its authorities
/// require.
pub(super) fn check(chain: &[&Certificate], budget: &mut Budget) -> Result<(), TrustRefusal> {
    let Some((_anchor, below)) = chain.split_last() else { return Ok(()) };
    if below.is_empty() {
        return Ok(());
    }
    let mut counters = Counters::new(u32::try_from(below.len()).unwrap_or(u32::MAX));
    let mut frontier = Some(Frontier::from([(ANY.to_owned(), BTreeSet::from([ANY.to_owned()]))]));
    for (index, certificate) in below.iter().enumerate().rev() {
        let policies = &certificate.policies;
        let is_server = index == 0;
        let so_far =
            frontier.iter().flat_map(Frontier::values).map(BTreeSet::len).fold(0, usize::saturating_add);
        for comparisons in [so_far, policies.named.len(), policies.mappings.len()] {
            budget.spend(comparisons)?;
        }
        frontier = frontier.filter(|_| !policies.named.is_empty());
        if counters.explicit == 0 && frontier.is_none() {
            return Err(TrustRefusal::Policy);
        }
        if let Some(before) = frontier.take() {
            let takes_any = counters.any > 0 || !is_server && certificate.is_self_issued();
            let any = if takes_any { AnyPolicy::Everything } else { AnyPolicy::Nothing };
            let after = step(&before, &policies.named, any);
            let mapping = if counters.mapping > 0 { Mapping::Allowed } else { Mapping::Inhibited };
            frontier = Some(if is_server { after } else { map(after, &policies.mappings, mapping)? });
        }
        if !is_server {
            counters.go_on(certificate);
        }
    }
    let is_demanded = counters.explicit.saturating_sub(1) == 0
        || below.first().is_some_and(|server| server.policies.require_explicit == Some(0));
    if is_demanded && frontier.is_none_or(|frontier| frontier.is_empty()) {
        return Err(TrustRefusal::Policy);
    }
    Ok(())
}

fn step(before: &Frontier, policies: &[String], any: AnyPolicy) -> Frontier {
    let expected: BTreeSet<_> = before.values().flatten().collect();
    let continues = |policy: &String| expected.contains(policy) || before.contains_key(ANY);
    let named = policies.iter().filter(|policy| *policy != ANY && continues(policy)).cloned();
    let mut after: BTreeSet<String> = named.collect();
    if any == AnyPolicy::Everything && policies.iter().any(|policy| policy == ANY) {
        after.extend(expected.iter().map(|policy| (*policy).clone()));
    }
    after.into_iter().map(|policy| (policy.clone(), BTreeSet::from([policy]))).collect()
}

/// Applies the mappings. `anyPolicy` may not be mapped.
fn map(
    mut frontier: Frontier,
    mappings: &[(String, String)],
    mapping: Mapping,
) -> Result<Frontier, TrustRefusal> {
    if mapping == Mapping::Inhibited {
        for (from, _) in mappings {
            frontier.remove(from);
        }
        return Ok(frontier);
    }
    let mut mapped = Frontier::new();
    for (from, to) in mappings {
        if [from, to].into_iter().any(|policy| policy == ANY) {
            return Err(TrustRefusal::Policy);
        }
        mapped.entry(from.clone()).or_default().insert(to.clone());
    }
    mapped.retain(|from, _| frontier.contains_key(from) || frontier.contains_key(ANY));
    frontier.extend(mapped);
    Ok(frontier)
}

/// After how many more certificates each rule applies.
struct Counters {
    explicit: u32,
    mapping: u32,
    any: u32,
}

impl Counters {
    fn new(length: u32) -> Self {
        let never = length.saturating_add(1);
        Self { explicit: never, mapping: never, any: never }
    }

    fn go_on(&mut self, certificate: &Certificate) {
        let policies = &certificate.policies;
        let step = u32::from(!certificate.is_self_issued());
        for (counter, limit) in [
            (&mut self.explicit, policies.require_explicit),
            (&mut self.mapping, policies.inhibit_mapping),
            (&mut self.any, policies.inhibit_any),
        ] {
            let next = counter.saturating_sub(step);
            *counter = limit.map_or(next, |limit| next.min(limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use test_support::certificate_draft::{Critical, Draft, DraftKey, der};

    use super::*;

    #[test]
    fn policies_are_limited_for_a_whole_judgement() {
        let policies: Vec<_> =
            (0..2500).map(|number| der::sequence(&[der::oid(&format!("1.2.3.{number}"))])).collect();
        let certificate = |draft: Draft| {
            let draft = draft.extension("2.5.29.32", Critical::No, &der::sequence(&policies));
            Certificate::parse(&draft.self_signed(&DraftKey::p256().unwrap()).unwrap()).unwrap()
        };
        let [server, between, root] = ["Server", "Between", "Root"].map(|name| certificate(Draft::of(name)));
        let mut budget = Budget::default();
        let judged =
            (0..1000).take_while(|_| check(&[&server, &between, &root], &mut budget).is_ok()).count();
        assert_eq!(judged, 33, "each takes 7,501 of 250,000 comparisons");
        assert_eq!(check(&[&server, &between, &root], &mut budget), Err(TrustRefusal::TooManyComparisons));
    }
}
