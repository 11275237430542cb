//! Certificate policies as Go judges them (RFC 5280, section 6.1, with RFC 9618). Pure.

use std::collections::{BTreeMap, BTreeSet};

use x509_parser::extensions::{CertificatePolicies, PolicyMappings};

use super::certificate::Certificate;

/// What a certificate says of policies.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Policies {
    named: Vec<String>,
    mappings: Vec<(String, String)>,
    /// After how many certificates a policy is demanded.
    pub require_explicit: Option<u32>,
    /// After how many certificates policies may no longer be mapped.
    pub inhibit_mapping: Option<u32>,
    /// After how many certificates the policy for everything no longer counts.
    pub inhibit_any: Option<u32>,
}

const ANY: &str = "2.5.29.32.0";

impl Policies {
    /// Reads the policies. The error says why Go reads no certificate with them.
    pub fn read_policies(&mut self, parsed: &CertificatePolicies<'_>) -> Result<(), &'static str> {
        self.named = parsed.iter().map(|policy| policy.policy_id.to_id_string()).collect();
        if self.named.iter().collect::<BTreeSet<_>>().len() < self.named.len() {
            return Err("it has the same certificate policy twice");
        }
        Ok(())
    }

    /// Reads which policies of the issuer equal which of the subject.
    pub fn read_mappings(&mut self, parsed: &PolicyMappings<'_>) {
        let pair = |mapping: &x509_parser::extensions::PolicyMapping<'_>| {
            (mapping.issuer_domain_policy.to_id_string(), mapping.subject_domain_policy.to_id_string())
        };
        self.mappings = parsed.mappings.iter().map(pair).collect();
    }
}

/// The valid policies so far, and which policies of the next certificate continue each.
type Frontier = BTreeMap<String, BTreeSet<String>>;

/// Whether the chain, the server's certificate first, satisfies what its authorities demand of policies.
pub(super) fn are_satisfied(chain: &[&Certificate]) -> bool {
    let Some((_anchor, below)) = chain.split_last() else { return true };
    if below.is_empty() {
        return true;
    }
    let mut counters = Counters::new(u32::try_from(below.len()).unwrap_or(u32::MAX));
    let mut frontier = Some(Frontier::from([(ANY.to_owned(), BTreeSet::from([ANY.to_owned()]))]));
    for (index, certificate) in below.iter().enumerate().rev() {
        let policies = &certificate.policies;
        let is_server = index == 0;
        frontier = frontier.filter(|_| !policies.named.is_empty());
        if counters.explicit == 0 && frontier.is_none() {
            return false;
        }
        if let Some(before) = frontier.take() {
            let takes_any = counters.any > 0 || !is_server && certificate.is_self_issued();
            let mut after = step(&before, &policies.named, takes_any);
            if !is_server && !map(&mut after, &policies.mappings, counters.mapping > 0) {
                return false;
            }
            frontier = Some(after);
        }
        if !is_server {
            counters.go_on(certificate);
        }
    }
    let is_demanded = counters.explicit.saturating_sub(1) == 0
        || below.first().is_some_and(|server| server.policies.require_explicit == Some(0));
    !is_demanded || frontier.is_some_and(|frontier| !frontier.is_empty())
}

fn step(before: &Frontier, policies: &[String], takes_any: bool) -> Frontier {
    let continues = |policy: &String| {
        before.values().any(|expected| expected.contains(policy)) || before.contains_key(ANY)
    };
    let named = policies.iter().filter(|policy| *policy != ANY && continues(policy)).cloned();
    let mut after: BTreeSet<String> = named.collect();
    if takes_any && policies.iter().any(|policy| policy == ANY) {
        after.extend(before.values().flatten().cloned());
    }
    after.into_iter().map(|policy| (policy.clone(), BTreeSet::from([policy]))).collect()
}

/// Applies the mappings; false where one is not allowed at all.
fn map(frontier: &mut Frontier, mappings: &[(String, String)], is_allowed: bool) -> bool {
    if !is_allowed {
        for (from, _) in mappings {
            frontier.remove(from);
        }
        return true;
    }
    let mut mapped = Frontier::new();
    for (from, to) in mappings {
        if [from, to].into_iter().any(|policy| policy == ANY) {
            return false;
        }
        mapped.entry(from.clone()).or_default().insert(to.clone());
    }
    mapped.retain(|from, _| frontier.contains_key(from) || frontier.contains_key(ANY));
    frontier.extend(mapped);
    true
}

/// How many certificates later each rule begins.
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
