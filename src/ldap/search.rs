//! What the result of a search means.

use ldap3::Scope;

use super::{
    Directory, Dn, GroupName,
    bind::{referred_to, said},
    connection::{Answer, Connection, Query},
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

/// What a search found.
pub struct Found {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether the directory mentioned that others may have more. Active Directory does so in every
    /// search of a whole domain, so that this alone is no problem.
    pub refers_elsewhere: bool,
}

/// A search that found what it could; the problem of a search that could not.
pub async fn find(connection: &mut Connection, query: &Query<'_>) -> Result<Found, Problem> {
    let answer = connection.search(query).await?;
    judge(answer, query)
}

/// Whether there is any such entry.
pub async fn exists(connection: &mut Connection, query: &Query<'_>) -> Result<bool, Problem> {
    Ok(!find(connection, query).await?.entries.is_empty())
}

/// The entry of that name, if there is one.
pub async fn look_up(
    connection: &mut Connection,
    dn: &Dn,
    filter: &str,
    attributes: &[&str],
) -> Result<Option<Entry>, Problem> {
    let query = Query { base: dn.as_str(), scope: Scope::Base, filter, attributes, limit: 1 };
    let answer = connection.search(&query).await?;
    if answer.result.rc == NO_SUCH_OBJECT {
        return Ok(None);
    }
    Ok(judge(answer, &query)?.entries.into_iter().next())
}

fn judge(answer: Answer, query: &Query<'_>) -> Result<Found, Problem> {
    let Answer { entries, refers_elsewhere, result } = answer;
    let base = quote(query.base);
    let said = said(&result);
    let (reason, message) = match result.rc {
        // Limits of the server's (3, 4, 11) do not matter when something was found.
        0 | 3 | 4 | 11 if !entries.is_empty() => return Ok(Found { entries, refers_elsewhere }),
        0 if refers_elsewhere && query.scope == Scope::Base => (
            Reason::Referral,
            format!("The directory says that {base} is on another server. Use that server's address."),
        ),
        0 => return Ok(Found { entries, refers_elsewhere }),
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
                "The account may not read {base} ({said}). Allow that in the directory, or set spec.bind to another account."
            ),
        ),
        8 | 13 => (
            Reason::AnonymousRefused,
            format!(
                "The directory wants a stronger bind before it lets anybody read {base} ({said}). Set spec.bind, and use encryption."
            ),
        ),
        51 | 52 => (
            Reason::ServerUnavailable,
            format!("The directory is busy or unavailable ({said}). The operator tries it again."),
        ),
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
