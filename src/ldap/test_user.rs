//! The checks `TestUser/<n>`: whether a named person is found as the spec expects.

use super::{
    Directory, ExpectedUser,
    connection::Connection,
    entry::Entry,
    groups::Group,
    hints::HintTime,
    membership::Membership,
    person::{FoundPerson, PersonSearch, look_for},
    search::limited,
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
    let FoundPerson { entry: person, doubt } = find_person(connection, directory, expected).await?;
    let dn = quote(&person.dn);
    let mut met = Vec::new();
    let mut unmet = Vec::new();
    let mut tell = |outcome: Result<String, String>| match outcome {
        Ok(text) => met.push(text),
        Err(text) => unmet.push(text),
    };
    let mut nested = false;

    let attribute = &directory.attributes.email;
    let (mut hints, mut time) = (Vec::new(), HintTime::default());
    if person.values(attribute).next().is_none() {
        hints.extend(time.attributes_there(connection, &person, "email", attribute).await);
    }
    tell(email(&person, attribute, expected.email.as_deref()));
    for name in &expected.groups {
        let text = quote(name.as_str());
        let Some(group) = Group::find(connection, directory, name).await? else {
            hints.extend(time.similar_groups(connection, directory, name).await);
            tell(Err(format!("is expected in the group {text}, which the directory does not have")));
            continue;
        };
        tell(match group.membership(connection, directory, &person).await? {
            Membership::Direct => Ok(format!("is in the group {text}")),
            Membership::Nested => {
                nested = true;
                Ok(format!("is in the group {text} through another group"))
            }
            Membership::None => Err(format!("is not in the group {text}")),
        });
    }
    if let Some(expectation) = expected.allowed {
        tell(match (allowance(connection, directory, allowed, &person).await?, expectation) {
            (Membership::Direct, true) => Ok("may log in".to_owned()),
            (Membership::None, false) => Ok("may not log in, as expected".to_owned()),
            (Membership::Direct, false) => Err("may log in, but is expected not to".to_owned()),
            (Membership::None, true) => {
                Err("may not log in, being in no group of spec.groupAllowList".to_owned())
            }
            (Membership::Nested, true) => {
                nested = true;
                Ok("may log in only if W&B follows groups within groups".to_owned())
            }
            (Membership::Nested, false) => {
                nested = true;
                Ok("may not log in unless W&B follows groups within groups".to_owned())
            }
        });
    }

    if !unmet.is_empty() {
        return Err(Problem::new(
            Reason::UnexpectedUser,
            [
                vec![format!("{dn} {}.", unmet.join(", "))],
                hints,
                vec!["Correct the entry in the directory, or the expectation.".to_owned()],
            ]
            .concat()
            .join(" "),
        ));
    }
    let mut remarks = Vec::new();
    if nested {
        remarks.push((Reason::NestedGroups, NESTED.to_owned()));
    }
    if let Some(limit) = doubt {
        let message = format!(
            "The directory limits searches ({limit}), so the operator cannot see whether the filter finds others, too."
        );
        remarks.push((Reason::SearchLimited, message));
    }
    let message = format!("{dn} {}.", met.join(", "));
    Ok(match remarks.first() {
        None => Checked::passed((), message),
        Some((reason, _)) => {
            let texts = remarks.iter().map(|(_, text)| text.as_str());
            Checked::warning(
                (),
                *reason,
                [message.as_str()].into_iter().chain(texts).collect::<Vec<_>>().join(" "),
            )
        }
    })
}

/// What a person must know who is in a group only through another one.
const NESTED: &str = "W&B does not document whether it follows groups within groups, and it may not: try a login, or put the person into the group itself.";

/// The people of `spec.testUsers`, who are looked up once a run at most, and only where a search for
/// everybody tells nothing.
#[derive(Default)]
pub struct KnownPeople(Option<Vec<Entry>>);

impl KnownPeople {
    /// The ones who can be found.
    pub async fn get(&mut self, connection: &mut Connection, directory: &Directory) -> &[Entry] {
        if self.0.is_none() {
            let mut people = Vec::new();
            for expected in &directory.test_users {
                // Why somebody is not found is what the check of that person says.
                people.extend(find_person(connection, directory, expected).await.map(|person| person.entry));
            }
            self.0 = Some(people);
        }
        self.0.as_deref().unwrap_or_default()
    }
}

/// The one person of the filter.
async fn find_person(
    connection: &mut Connection,
    directory: &Directory,
    expected: &ExpectedUser,
) -> Result<FoundPerson, Problem> {
    let (search, filter) = look_for(connection, directory, &expected.filter, &[]).await?;
    let (base, filter) = (quote(directory.user_base().as_str()), quote(&filter));
    match search {
        PersonSearch::One(person) => Ok(person),
        PersonSearch::Nobody(Some(limit)) => {
            Err(limited(&limit, &format!("whether anybody under {base} matches {filter}")))
        }
        PersonSearch::Nobody(None) => Err(Problem::new(
            Reason::UserNotFound,
            format!(
                "Nobody under {base} matches {filter}. Check the filter, and that the account may read the entry."
            ),
        )),
        PersonSearch::Several(_) => Err(Problem::new(
            Reason::UserNotUnique,
            format!("Several entries under {base} match {filter}. Make the filter find exactly one person."),
        )),
    }
}

/// Without the attribute W&B could not make the person an account, whatever is expected.
fn email(person: &Entry, attribute: &str, expected: Option<&str>) -> Result<String, String> {
    let mut found: Vec<_> = person.values_as_written(attribute).collect();
    // Servers may list values in any order.
    found.sort_unstable();
    let expectation =
        expected.map(|expected| format!(", but is expected to have {}", quote(expected))).unwrap_or_default();
    if found.is_empty() {
        let elsewhere = match person.values(attribute).next() {
            Some(_) => ", only under another spelling of that name, by which W&B does not find it",
            None => "",
        };
        return Err(format!("has no {attribute} that the account may read{elsewhere}{expectation}"));
    }
    let shown = quote(&found.join(", "));
    // Directories compare e-mail addresses without regard to case.
    if expected.is_none_or(|expected| found.iter().any(|value| value.eq_ignore_ascii_case(expected))) {
        Ok(format!("has {attribute} {shown}"))
    } else {
        Err(format!("has {attribute} {shown}{expectation}"))
    }
}

/// How the allow list lets a person in.
async fn allowance(
    connection: &mut Connection,
    directory: &Directory,
    allowed: &[Group],
    person: &Entry,
) -> Result<Membership, Problem> {
    if directory.group_allow_list.is_empty() {
        return Ok(Membership::Direct);
    }
    let mut best = Membership::None;
    for group in allowed {
        best = best.max(group.membership(connection, directory, person).await?);
        if best == Membership::Direct {
            break;
        }
    }
    Ok(best)
}
