//! The checks `BaseDnExists` and `AttributesPresent`: what stands where the spec says.

use ldap3::Scope;

use super::{
    Directory, Dn,
    connection::{Connection, Query},
    entry::Entry,
    search::{ANYTHING, Found, NO_ATTRIBUTES, all_of, exists, find, has},
};
use crate::{
    api::Reason,
    engine::Checked,
    problem::{Problem, quote},
};

/// How many people are looked at.
const SAMPLE_SIZE: u16 = 100;

/// Reads the base of every search.
pub async fn base_dn_exists(connection: &mut Connection, directory: &Directory) -> Result<Checked, Problem> {
    base_exists(connection, "spec.baseDN", &directory.base_dn)
        .await
        .map_err(|problem| with_hint(problem, directory))?;
    for (field, scope) in [
        ("spec.userSearch.baseDN", &directory.user_search),
        ("spec.groupSearch.baseDN", &directory.group_search),
    ] {
        if let Some(base) = &scope.base_dn {
            base_exists(connection, field, base).await?;
        }
    }
    Ok(Checked::passed((), format!("{} exists and can be read.", quote(directory.base_dn.as_str()))))
}

async fn base_exists(connection: &mut Connection, field: &str, base: &Dn) -> Result<(), Problem> {
    let query = Query {
        base: base.as_str(),
        scope: Scope::Base,
        filter: ANYTHING,
        attributes: NO_ATTRIBUTES,
        limit: 1,
    };
    let found = exists(connection, &query).await.map_err(|problem| match problem.reason {
        Reason::BaseDnNotFound => Problem::new(problem.reason, format!("{field}: {}", problem.message)),
        _ => problem,
    })?;
    if !found {
        return Err(Problem::new(
            Reason::NotReadable,
            format!(
                "{field}: the directory shows nothing at {}, which usually means that the account may not read it. Allow that in the directory, or check spec.bind.",
                quote(base.as_str())
            ),
        ));
    }
    Ok(())
}

/// The vendor's own example shows an attribute map where the base DN belongs, and it parses as a DN.
fn with_hint(problem: Problem, directory: &Directory) -> Problem {
    if looks_like_attribute_map(directory) {
        let message = format!(
            "{} spec.baseDN looks like an attribute map: put such pairs into spec.attributes, and a DN such as dc=example,dc=org here.",
            problem.message
        );
        return Problem::new(problem.reason, message);
    }
    problem
}

fn looks_like_attribute_map(directory: &Directory) -> bool {
    // Types that real DNs begin with, whatever the extra attributes are called.
    const USUAL_TYPES: &[&str] = &["dc", "ou", "o", "c", "l", "st", "cn", "uid"];
    directory.base_dn.attribute_types().any(|of_dn| {
        let extra = directory.attributes.extra.iter().map(|(name, _)| name.as_str());
        extra
            .filter(|name| !USUAL_TYPES.iter().any(|usual| usual.eq_ignore_ascii_case(name)))
            .chain(["email", "group"])
            .any(|name| name.eq_ignore_ascii_case(of_dn))
    })
}

/// Looks at some people and counts who carry the attributes.
pub async fn attributes_present(
    connection: &mut Connection,
    directory: &Directory,
) -> Result<Checked, Problem> {
    let filter = directory.people_filter();
    let base = directory.user_base();
    let email = directory.attributes.email.as_str();
    let group = directory.attributes.group.as_str();
    let query = Query {
        base: base.as_str(),
        scope: Scope::Subtree,
        filter: &filter,
        attributes: &[email, group],
        limit: SAMPLE_SIZE,
    };
    let Found { entries: people, refers_elsewhere } = find(connection, &query).await?;
    if people.is_empty() {
        let elsewhere =
            if refers_elsewhere { ", and the directory refers to other servers for more" } else { "" };
        return Err(Problem::new(
            Reason::NoUsersFound,
            format!(
                "No entry under {} matches {filter}{elsewhere}. Check spec.userSearch, and that the account may read people's entries.",
                quote(base.as_str())
            ),
        ));
    }
    let email_share = Share::of(connection, directory, &people, email).await?;
    let group_share = Share::of(connection, directory, &people, group).await?;
    judge(directory, &email_share, &group_share)
}

/// An attribute that nobody has fails; one that only others than the sampled people have is a warning.
fn judge(directory: &Directory, email: &Share<'_>, group: &Share<'_>) -> Result<Checked, Problem> {
    let Share { attribute, sampled, .. } = email;
    let entries = if *sampled == 1 { "entry" } else { "entries" };
    let seen = format!(
        "{} of {sampled} sampled {entries} carry {attribute}, {} carry {}",
        email.count, group.count, group.attribute
    );
    if email.others == Others::Without {
        return Err(Problem::new(
            Reason::AttributeMissing,
            format!(
                "{seen}. W&B needs the e-mail address: check spec.attributes.email, and that the account may read the attribute."
            ),
        ));
    }
    if group.others == Others::Without {
        let advice = "Check spec.attributes.group, and that the account may read the attribute";
        return if directory.group_allow_list.is_empty() {
            Ok(Checked::warning((), Reason::AttributeMissing, format!("{seen}. {advice}.")))
        } else {
            Err(Problem::new(
                Reason::AttributeMissing,
                format!("{seen}, but spec.groupAllowList needs it. {advice}."),
            ))
        };
    }
    let only_others: Vec<_> = [email, group]
        .iter()
        .filter(|share| share.others == Others::With)
        .map(|share| share.attribute)
        .collect();
    if only_others.is_empty() {
        return Ok(Checked::passed((), format!("{seen}.")));
    }
    Ok(Checked::warning(
        (),
        Reason::AttributeMissing,
        format!(
            "{seen}, although other entries carry {}. Set spec.userSearch so that it finds people only.",
            only_others.join(" and ")
        ),
    ))
}

/// How many of the sampled entries carry an attribute.
struct Share<'a> {
    attribute: &'a str,
    count: usize,
    sampled: usize,
    others: Others,
}

/// Whether entries beyond the sample carry the attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Somebody in the sample does, so that the rest does not matter.
    NotAsked,
    With,
    Without,
}

impl<'a> Share<'a> {
    /// Counts, and asks the directory for a single other entry where nobody counts: the first
    /// entries of a directory are often not typical of the rest.
    async fn of(
        connection: &mut Connection,
        directory: &Directory,
        people: &[Entry],
        attribute: &'a str,
    ) -> Result<Self, Problem> {
        let count = people.iter().filter(|person| person.values(attribute).next().is_some()).count();
        let others = match count {
            0 if somebody_carries(connection, directory, attribute).await? => Others::With,
            0 => Others::Without,
            _ => Others::NotAsked,
        };
        Ok(Self { attribute, count, sampled: people.len(), others })
    }
}

async fn somebody_carries(
    connection: &mut Connection,
    directory: &Directory,
    attribute: &str,
) -> Result<bool, Problem> {
    let query = Query {
        base: directory.user_base().as_str(),
        scope: Scope::Subtree,
        filter: &all_of(&[directory.people_filter(), has(attribute)]),
        attributes: NO_ATTRIBUTES,
        limit: 1,
    };
    exists(connection, &query).await
}
