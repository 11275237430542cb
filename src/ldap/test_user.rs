//! The checks `TestUser/<n>`: whether a named person is found as the spec expects.

use ldap3::Scope;

use super::{
    Directory, ExpectedUser,
    connection::{Connection, Query},
    entry::Entry,
    groups::Group,
    primary_group::PERSONS_NUMBER,
    search::{all_of, equals, find},
};
use crate::{
    api::Reason,
    engine::Checked,
    problem::{Problem, quote},
};

/// Looks one person up.
pub async fn test_user(
    connection: &mut Connection,
    directory: &Directory,
    allowed: &[Group],
    expected: &ExpectedUser,
) -> Result<Checked, Problem> {
    let person = find_person(connection, directory, expected).await?;
    let dn = quote(&person.dn);
    let mut met = Vec::new();
    let mut unmet = Vec::new();
    let mut tell = |outcome: Result<String, String>| match outcome {
        Ok(text) => met.push(text),
        Err(text) => unmet.push(text),
    };

    tell(email(&person, &directory.attributes.email, expected.email.as_deref()));
    for name in &expected.groups {
        let text = quote(name.as_str());
        let group = Group::find(connection, directory, name).await?;
        tell(match group {
            None => Err(format!("is expected in the group {text}, which the directory does not have")),
            Some(group) if group.contains(connection, directory, &person).await? => {
                Ok(format!("is in the group {text}"))
            }
            Some(_) => Err(format!("is not in the group {text}")),
        });
    }
    if let Some(expectation) = expected.allowed {
        tell(match (is_allowed(connection, directory, allowed, &person).await?, expectation) {
            (true, true) => Ok("may log in".to_owned()),
            (false, false) => Ok("may not log in, as expected".to_owned()),
            (true, false) => Err("may log in, but is expected not to".to_owned()),
            (false, true) => Err("may not log in, being in no group of spec.groupAllowList".to_owned()),
        });
    }

    if unmet.is_empty() {
        Ok(Checked::passed((), format!("{dn} {}.", met.join(", "))))
    } else {
        Err(Problem::new(
            Reason::UnexpectedUser,
            format!("{dn} {}. Mend the entry in the directory, or the expectation.", unmet.join(", ")),
        ))
    }
}

async fn find_person(
    connection: &mut Connection,
    directory: &Directory,
    expected: &ExpectedUser,
) -> Result<Entry, Problem> {
    let class = directory.user_search.object_class.as_deref().map(|class| equals("objectClass", class));
    let filter =
        class.map_or_else(|| expected.filter.clone(), |class| all_of(&[class, expected.filter.clone()]));
    let base = directory.user_base();
    let query = Query {
        base: base.as_str(),
        scope: Scope::Subtree,
        filter: &filter,
        attributes: &[
            &directory.attributes.email,
            &directory.attributes.group,
            "memberOf",
            "uid",
            PERSONS_NUMBER,
        ],
        // The second one proves that the filter is not unique.
        limit: 2,
    };
    let mut people = find(connection, &query).await?.entries.into_iter();
    let (base, filter) = (quote(base.as_str()), quote(&filter));
    match (people.next(), people.next()) {
        (Some(person), None) => Ok(person),
        (None, _) => Err(Problem::new(
            Reason::UserNotFound,
            format!(
                "Nobody under {base} matches {filter}. Check the filter, and that the account may read the entry."
            ),
        )),
        (Some(_), Some(_)) => Err(Problem::new(
            Reason::UserNotUnique,
            format!("Several entries under {base} match {filter}. Make the filter find exactly one person."),
        )),
    }
}

/// Without the attribute W&B could not make the person an account, whatever is expected.
fn email(person: &Entry, attribute: &str, expected: Option<&str>) -> Result<String, String> {
    let mut found: Vec<_> = person.values(attribute).collect();
    // Servers may list values in any order.
    found.sort_unstable();
    let expectation =
        expected.map(|expected| format!(", but is expected to have {}", quote(expected))).unwrap_or_default();
    if found.is_empty() {
        return Err(format!("has no {attribute}{expectation}"));
    }
    let shown = quote(&found.join(", "));
    // Directories compare e-mail addresses without regard to case.
    if expected.is_none_or(|expected| found.iter().any(|value| value.eq_ignore_ascii_case(expected))) {
        Ok(format!("has {attribute} {shown}"))
    } else {
        Err(format!("has {attribute} {shown}{expectation}"))
    }
}

async fn is_allowed(
    connection: &mut Connection,
    directory: &Directory,
    allowed: &[Group],
    person: &Entry,
) -> Result<bool, Problem> {
    if directory.group_allow_list.is_empty() {
        return Ok(true);
    }
    for group in allowed {
        if group.contains(connection, directory, person).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
