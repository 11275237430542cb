//! A directory in memory that answers the way Active Directory does.

use lber::structure::{PL, StructureTag};
use test_support::hostile::TcpServer;
use wandb_auth_operator::engine::{Finding, Findings};

use super::{
    Scenario,
    scripted::{
        BIND, BIND_RESPONSE, ENTRY, REFERENCE, SEARCH, SEARCH_DONE, directory, is_base_search, result,
        sequence, text,
    },
    show,
};

const SUCCESS: u8 = 0;
const SIZE_LIMIT_EXCEEDED: u8 = 4;
const NO_SUCH_OBJECT: u8 = 32;

/// The entries of a domain.
pub struct Domain {
    entries: Vec<Entry>,
    /// Which searches it refuses, and how.
    refusal: Option<(u8, &'static str)>,
}

struct Entry {
    dn: String,
    attributes: Vec<(String, String)>,
}

impl Domain {
    /// A domain with nothing in it but its root.
    pub fn empty() -> Self {
        Self { entries: Vec::new(), refusal: None }.with("dc=example,dc=org", &[("objectClass", "domainDNS")])
    }

    /// Alice, in the group `wandb`, and the group `nobody` without a member.
    pub fn company() -> Self {
        let alice = ("member", "cn=alice,cn=users,dc=example,dc=org");
        let empty = [("primaryGroupToken", "1105")];
        Self::empty().with_person("alice", "513").with_group("wandb", &[alice]).with_group("nobody", &empty)
    }

    /// One more entry.
    pub fn with(mut self, dn: &str, attributes: &[(&str, &str)]) -> Self {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.entries.push(Entry { dn: dn.to_owned(), attributes: attributes.collect() });
        self
    }

    /// One more person, with an e-mail address and in no group but a primary one.
    pub fn with_person(self, name: &str, primary_group: &str) -> Self {
        self.with(
            &format!("cn={name},cn=users,dc=example,dc=org"),
            &[
                ("objectClass", "person"),
                ("objectClass", "user"),
                ("cn", name),
                ("mail", &format!("{name}@example.org")),
                ("primaryGroupID", primary_group),
            ],
        )
    }

    /// So many computers, which in Active Directory are users, too.
    pub fn with_computers(self, count: usize) -> Self {
        (0..count).fold(self, |domain, number| {
            let classes = [("objectClass", "person"), ("objectClass", "user"), ("objectClass", "computer")];
            domain.with(&format!("cn=pc{number},cn=computers,dc=example,dc=org"), &classes)
        })
    }

    /// One more group.
    pub fn with_group(self, name: &str, more: &[(&str, &str)]) -> Self {
        let common =
            [("objectClass", "group"), ("cn", name), ("sAMAccountName", name), ("groupType", "-2147483646")];
        self.with(&format!("cn={name},cn=users,dc=example,dc=org"), &[&common, more].concat())
    }

    /// Refuses with this code to search below the root for what has this attribute, as directories do that have
    /// no index for it.
    pub fn without_index(self, code: u8, attribute: &'static str) -> Self {
        Self { refusal: Some((code, attribute)), ..self }
    }

    /// Serves it, with the references to other parts of the forest that every search below the root gets.
    pub fn serve(self) -> TcpServer {
        directory(move |operation, arguments| match operation {
            BIND => vec![(BIND_RESPONSE, result(SUCCESS, ""))],
            SEARCH => self.search(arguments),
            _ => Vec::new(),
        })
    }

    fn search(&self, arguments: &[StructureTag]) -> Vec<(u64, Vec<StructureTag>)> {
        let (base, filter, requested) = (string(&arguments[0]), &arguments[6], strings(&arguments[7]));
        let is_base = is_base_search(arguments);
        if let Some((code, attribute)) = self.refusal
            && !is_base
            && names(filter, attribute)
        {
            return vec![(SEARCH_DONE, result(code, "unindexed"))];
        }
        let in_scope = |entry: &&Entry| {
            let (dn, base) = (entry.dn.to_lowercase(), base.to_lowercase());
            dn == base || (!is_base && dn.ends_with(&format!(",{base}")))
        };
        if !self.entries.iter().any(|entry| entry.dn.eq_ignore_ascii_case(&base)) {
            return vec![(SEARCH_DONE, result(NO_SUCH_OBJECT, "0000208D: NameErr"))];
        }
        let found: Vec<_> =
            self.entries.iter().filter(in_scope).filter(|entry| entry.matches(filter)).collect();
        let limit = number(&arguments[3]);
        let mut answers: Vec<_> = found.iter().take(limit).map(|entry| entry.answer(&requested)).collect();
        if !is_base {
            answers.extend(["ForestDnsZones", "DomainDnsZones"].map(|part| {
                let url = format!("ldap://{part}.example.org/DC={part},DC=example,DC=org");
                (REFERENCE, vec![text(&url)])
            }));
        }
        let code = if found.len() > limit { SIZE_LIMIT_EXCEEDED } else { SUCCESS };
        answers.push((SEARCH_DONE, result(code, "")));
        answers
    }
}

impl Entry {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.attributes.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str())
    }

    fn matches(&self, filter: &StructureTag) -> bool {
        let PL::C(parts) = &filter.payload else {
            // The presence of an attribute.
            let name = string(filter);
            return name.eq_ignore_ascii_case("objectClass") || self.values(&name).next().is_some();
        };
        match filter.id {
            0 => parts.iter().all(|part| self.matches(part)),
            1 => parts.iter().any(|part| self.matches(part)),
            2 => !self.matches(&parts[0]),
            3 => self.values(&string(&parts[0])).any(|value| value.eq_ignore_ascii_case(&string(&parts[1]))),
            _ => false,
        }
    }

    fn answer(&self, requested: &[String]) -> (u64, Vec<StructureTag>) {
        let attributes = self
            .attributes
            .iter()
            .filter(|(name, _)| requested.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)));
        let attributes =
            attributes.map(|(name, value)| sequence(vec![text(name), sequence(vec![text(value)])]));
        (ENTRY, vec![text(&self.dn), sequence(attributes.collect())])
    }
}

/// What the checks find in a domain, with these fields in the spec.
pub async fn findings(domain: Domain, fields: &str) -> Findings {
    let server = domain.serve();
    Scenario::hostile(server.address()).with(fields).findings().await
}

/// The first check that fails.
pub async fn failure(domain: Domain, fields: &str) -> Finding {
    let findings = findings(domain, fields).await;
    findings.failure().cloned().unwrap_or_else(|| panic!("nothing failed: {}", show(&findings)))
}

/// Whether a filter compares an attribute.
fn names(filter: &StructureTag, attribute: &str) -> bool {
    const EQUALITY: u64 = 3;
    match &filter.payload {
        PL::C(parts) if filter.id == EQUALITY => string(&parts[0]).eq_ignore_ascii_case(attribute),
        PL::C(parts) => parts.iter().any(|part| names(part, attribute)),
        PL::P(_) => false,
    }
}

fn string(tag: &StructureTag) -> String {
    let PL::P(bytes) = &tag.payload else { panic!("not a text: {tag:?}") };
    String::from_utf8(bytes.clone()).unwrap()
}

fn strings(tag: &StructureTag) -> Vec<String> {
    let PL::C(elements) = &tag.payload else { panic!("not a list: {tag:?}") };
    elements.iter().map(string).collect()
}

fn number(tag: &StructureTag) -> usize {
    let PL::P(bytes) = &tag.payload else { panic!("not a number: {tag:?}") };
    bytes.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte))
}
