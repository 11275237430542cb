//! Looks for the one entry of a person.

use ldap3::Scope;

use super::{
    Directory,
    connection::{AttributeSelection, Connection, Query},
    entry::Entry,
    primary_group::PERSONS_NUMBER,
    search::{all_of, equals, find},
};
use crate::problem::Problem;

/// A person who was looked up.
pub struct FoundPerson {
    /// The entry, with the attributes that tell groups and e-mail address.
    pub entry: Entry,
    /// The limit at which the directory ended the search, so that others may match, too.
    pub doubt: Option<String>,
}

/// Whom a filter finds.
pub enum PersonSearch {
    /// Exactly one person.
    One(FoundPerson),
    /// Nobody; with the limit at which the directory ended the search, if it did.
    Nobody(Option<String>),
    /// Several entries, of which these are the names of some.
    Several(Vec<String>),
}

/// Looks for a person as W&B Server would: under the base of people, and among entries of the spec's class. The text is
/// the filter as it was sent.
pub async fn look_for(
    connection: &mut Connection,
    directory: &Directory,
    filter: &str,
    further: &[&str],
) -> Result<(PersonSearch, String), Problem> {
    let class = directory.user_search.object_class.as_deref().map(|class| equals("objectClass", class));
    let filter = class.map_or_else(|| filter.to_owned(), |class| all_of(&[class, filter.to_owned()]));
    let usual: [&str; 5] =
        [&directory.attributes.email, &directory.attributes.group, "memberOf", "uid", PERSONS_NUMBER];
    let mut attributes = [usual.as_slice(), further].concat();
    attributes.sort_unstable();
    attributes.dedup();
    let query = Query {
        base: directory.user_base().as_str(),
        scope: Scope::Subtree,
        filter: &filter,
        attributes: &attributes,
        // The second one proves that the filter is not unique.
        limit: 2,
        content: AttributeSelection::Values,
    };
    let found = find(connection, &query).await?;
    let mut people = found.entries;
    let search = match people.pop() {
        None => PersonSearch::Nobody(found.limit),
        Some(entry) if people.is_empty() => PersonSearch::One(FoundPerson { entry, doubt: found.limit }),
        Some(last) => {
            people.push(last);
            PersonSearch::Several(people.into_iter().map(|entry| entry.dn).collect())
        }
    };
    Ok((search, filter))
}
