//! What the result of a search means.

use ldap3::Scope;

use super::{
    Directory, Dn, GroupName,
    bind::{referred_to, said},
    connection::{AttributeSelection, Connection, Ending, Query, SearchAnswer},
    entry::Entry,
};
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// Finds every entry.
pub const ANYTHING: &str = "(objectClass=*)";

/// Asks for no attribute at all (RFC 4511 section 4.5.1.8).
pub const NO_ATTRIBUTES: &[&str] = &["1.1"];

/// Finds people, across products. In Active Directory a computer is a `person` and a `user`, and there
/// may be more of them; but it has no surname, which a `person` of any other directory must have.
/// OpenLDAP takes a class that it does not know for neither there nor not there, so that the exclusion
/// of `computer` may stand only beside `user`.
const ANY_PERSON: &str = "(|(&(objectClass=person)(sn=*))(objectClass=posixAccount)(objectClass=account)(&(objectClass=user)(!(objectClass=computer))))";

/// Classes that groups usually have, across products.
const USUAL_GROUP_CLASSES: [&str; 5] =
    ["groupOfNames", "groupOfUniqueNames", "groupOfMembers", "posixGroup", "group"];

/// The server's result code for a base that does not exist.
const NO_SUCH_OBJECT: u32 = 32;

// The server's result codes for a search that it ended before it was through.
const TIME_LIMIT_EXCEEDED: u32 = 3;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const ADMINISTRATIVE_LIMIT_EXCEEDED: u32 = 11;

/// What a search found.
pub struct SearchResult {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether the directory mentioned that others may have more. Active Directory does so in every
    /// search of a whole domain, so that this alone is no problem.
    pub refers_elsewhere: bool,
    /// The limit of the directory's own at which it ended the search, in its words.
    pub limit: Option<String>,
}

/// Whether something is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryPresence {
    /// It is.
    Found,
    /// It is not, as far as the account may see.
    NotFound,
    /// The directory ended the search at a limit of its own, in its words, before it found anything.
    Undecided(String),
}

impl SearchResult {
    /// Whether there is any entry.
    pub fn presence(self) -> EntryPresence {
        match self.limit {
            _ if !self.entries.is_empty() => EntryPresence::Found,
            Some(limit) => EntryPresence::Undecided(limit),
            None => EntryPresence::NotFound,
        }
    }
}

/// A search that found what it could; the problem of a search that could not.
pub async fn find(connection: &mut Connection, query: &Query<'_>) -> Result<SearchResult, Problem> {
    let answer = connection.search(query).await?;
    judge(answer, query)
}

/// Whether there is any such entry.
pub async fn exists(connection: &mut Connection, query: &Query<'_>) -> Result<EntryPresence, Problem> {
    Ok(find(connection, query).await?.presence())
}

/// A search that the directory ended at a limit of its own, so that something cannot be decided.
pub fn limited(limit: &str, undecided: &str) -> Problem {
    Problem::new(
        Reason::SearchLimited,
        format!(
            "The directory limits searches ({limit}), so the operator cannot see {undecided}. Raise the limit for the account or index the attributes in the directory, or name people in spec.testUsers who can be looked up instead."
        ),
    )
}

/// The entry of that name, if there is one.
pub async fn look_up(
    connection: &mut Connection,
    dn: &Dn,
    filter: &str,
    attributes: &[&str],
) -> Result<Option<Entry>, Problem> {
    look_up_with(connection, dn, filter, (attributes, AttributeSelection::Values)).await
}

/// The entry of that name with the names of those attributes that the account may read.
pub async fn look_up_names(
    connection: &mut Connection,
    dn: &Dn,
    filter: &str,
    attributes: &[&str],
) -> Result<Option<Entry>, Problem> {
    look_up_with(connection, dn, filter, (attributes, AttributeSelection::Names)).await
}

async fn look_up_with(
    connection: &mut Connection,
    dn: &Dn,
    filter: &str,
    (attributes, content): (&[&str], AttributeSelection),
) -> Result<Option<Entry>, Problem> {
    let query = Query { base: dn.as_str(), scope: Scope::Base, filter, attributes, limit: 1, content };
    let answer = connection.search(&query).await?;
    if let Ending::Result(result) = &answer.ending
        && result.rc == NO_SUCH_OBJECT
    {
        return Ok(None);
    }
    let found = judge(answer, &query)?;
    match (found.entries.into_iter().next(), found.limit) {
        (None, Some(limit)) => Err(limited(&limit, &format!("what {} is", quote(dn.as_str())))),
        (entry, _) => Ok(entry),
    }
}

fn judge(answer: SearchAnswer, query: &Query<'_>) -> Result<SearchResult, Problem> {
    let SearchAnswer { entries, refers_elsewhere, ending } = answer;
    let result = match ending {
        Ending::Result(result) => result,
        Ending::Left => return Ok(SearchResult { entries, refers_elsewhere, limit: None }),
    };
    let base = quote(query.base);
    let said = said(&result);
    let (reason, message) = match result.rc {
        0 if entries.is_empty() && refers_elsewhere && query.scope == Scope::Base => (
            Reason::Referral,
            format!("The directory says that {base} is on another server. Use that server's address."),
        ),
        0 => return Ok(SearchResult { entries, refers_elsewhere, limit: None }),
        // The limit that this search asked for itself.
        SIZE_LIMIT_EXCEEDED if entries.len() >= usize::from(query.limit) => {
            return Ok(SearchResult { entries, refers_elsewhere, limit: None });
        }
        TIME_LIMIT_EXCEEDED | SIZE_LIMIT_EXCEEDED | ADMINISTRATIVE_LIMIT_EXCEEDED => {
            return Ok(SearchResult { entries, refers_elsewhere, limit: Some(said) });
        }
        NO_SUCH_OBJECT => (Reason::BaseDnNotFound, not_found(&base, &result.matched)),
        10 => (
            Reason::Referral,
            format!(
                "The directory says that {base} is on another server ({}). Use that server's address.",
                referred_to(&result)
            ),
        ),
        34 => (
            Reason::BaseDnNotFound,
            format!(
                "The directory cannot have an entry {base} ({said}). Check the attribute names in the DN."
            ),
        ),
        // Active Directory answers 1 to searches without a bind.
        1 | 50 => (
            Reason::NotReadable,
            format!(
                "The account is not allowed to read {base} ({said}). Allow that in the directory, or set spec.bind to another account."
            ),
        ),
        8 | 13 => (
            Reason::AnonymousRefused,
            format!(
                "The directory requires a stronger bind before anybody can read {base} ({said}). Set spec.bind, and use encryption."
            ),
        ),
        51 | 52 => (Reason::ServerUnavailable, format!("The directory is busy or unavailable ({said}).")),
        _ => (
            Reason::OperationRefused,
            format!("The directory refused to search {base} ({said}). Check its log."),
        ),
    };
    Err(Problem::new(reason, message))
}

fn not_found(base: &str, matched: &str) -> String {
    let closest = if matched.is_empty() {
        "nothing above it exists either".to_owned()
    } else {
        format!("the closest entry that does is {}", quote(matched))
    };
    format!("There is no entry {base}; {closest}. Check the DN, and that the account may read it.")
}

/// `(&(a)(b))` of all filters, or the only one.
pub fn all_of(filters: &[String]) -> String {
    combine('&', filters)
}

/// `(|(a)(b))` of all filters, or the only one.
pub fn any_of(filters: &[String]) -> String {
    combine('|', filters)
}

fn combine(operator: char, filters: &[String]) -> String {
    match filters {
        [only] => only.clone(),
        _ => format!("({operator}{})", filters.concat()),
    }
}

/// `(attribute=*)`.
pub fn has(attribute: &str) -> String {
    format!("({attribute}=*)")
}

/// `(attribute=value)` with the value escaped.
pub fn equals(attribute: &str, value: &str) -> String {
    format!("({attribute}={})", ldap3::ldap_escape(value))
}

impl Directory {
    /// Finds people: entries of the spec's object class, or of any of the usual ones.
    pub fn people_filter(&self) -> String {
        let class = self.user_search.object_class.as_deref();
        class.map_or_else(|| ANY_PERSON.to_owned(), |class| equals("objectClass", class))
    }

    /// Finds groups: entries of the spec's object class, or of any of the usual ones.
    pub fn groups_filter(&self) -> String {
        match &self.group_search.object_class {
            Some(class) => equals("objectClass", class),
            None => any_of(&USUAL_GROUP_CLASSES.map(|class| equals("objectClass", class))),
        }
    }
}

/// Names for a message, in the order given.
pub fn list(names: &[&GroupName]) -> String {
    let names: Vec<_> = names.iter().map(|name| quote(name.as_str())).collect();
    names.join("; ")
}
