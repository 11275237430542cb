//! Groups within groups: who is in a group only through another one.
//!
//! Active Directory and others let groups be members of groups. W&B does not document whether it follows
//! them, and W&B Server's own search shows only direct members, so such a membership is told apart.

use ldap3::Scope;

use super::{
    Directory, Dn,
    connection::{AttributeSelection, Connection, Query},
    entry::Entry,
    primary_group::{GROUP_ATTRIBUTES, PrimaryGroup},
    search::{NO_ATTRIBUTES, all_of, any_of, equals, find, look_up},
};
use crate::problem::Problem;

/// How a person is in a group; the stronger way is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// Not at all.
    None,
    /// Only through another group.
    Nested,
    /// Directly.
    Direct,
}

/// How many groups within groups are followed: more are seldom, and each costs a search.
const DEEPEST_NESTING: usize = 5;

/// The most groups and people that are looked at in one step.
const STEP_LIMIT: u16 = 100;

/// An answer on which only a remark depends. Directories refuse searches that they have no index for, or
/// that the account may not make; then the answer is not known, and there is no remark.
fn if_known(connection: &Connection, answer: Result<bool, Problem>) -> Result<bool, Problem> {
    match answer {
        Err(_) if !connection.is_over() => Ok(false),
        answer => answer,
    }
}

/// Whether a person is known to be in one of these groups through others.
pub async fn is_nested(
    connection: &mut Connection,
    directory: &Directory,
    groups: &[Dn],
    person: &Entry,
) -> Result<bool, Problem> {
    if groups.is_empty() {
        return Ok(false);
    }
    let by_primary_group = is_by_primary_group(connection, directory, groups, person).await;
    if if_known(connection, by_primary_group)? {
        return Ok(true);
    }
    let by_listing = is_listed(connection, directory, groups, person).await;
    if_known(connection, by_listing)
}

/// Whether one of the groups lists a group that lists the person, and so on.
async fn is_listed(
    connection: &mut Connection,
    directory: &Directory,
    groups: &[Dn],
    person: &Entry,
) -> Result<bool, Problem> {
    let mut members = vec![person.dn.clone()];
    let mut known: Vec<Dn> = Vec::new();
    let mut found: Vec<Dn> = person.values("memberOf").filter_map(|dn| Dn::parse(dn).ok()).collect();
    for _ in 0..DEEPEST_NESTING {
        let listing = all_of(&[directory.groups_filter(), list_any(&members)]);
        found.extend(names(connection, directory.group_base(), &listing).await?);
        found.retain(|group| !known.contains(group));
        if found.is_empty() {
            return Ok(false);
        }
        if found.iter().any(|group| groups.contains(group)) {
            return Ok(true);
        }
        members = found.iter().map(|group| group.as_str().to_owned()).collect();
        known.append(&mut found);
    }
    Ok(false)
}

/// Whether the person's primary group, which lists nobody, is a member of one of the groups.
async fn is_by_primary_group(
    connection: &mut Connection,
    directory: &Directory,
    groups: &[Dn],
    person: &Entry,
) -> Result<bool, Problem> {
    let filter = all_of(&[directory.groups_filter(), is_member_of_any(groups)]);
    let query = Query {
        base: directory.group_base().as_str(),
        scope: Scope::Subtree,
        filter: &filter,
        attributes: &GROUP_ATTRIBUTES,
        limit: STEP_LIMIT,
        content: AttributeSelection::Values,
    };
    let inner = find(connection, &query).await?.entries;
    Ok(inner.into_iter().any(|group| PrimaryGroup::of(&[group]).contains(person)))
}

/// Whether a group that lists members is known to list groups only, as it seems.
pub async fn holds_only_groups(
    connection: &mut Connection,
    directory: &Directory,
    group: &Dn,
) -> Result<bool, Problem> {
    let answer = seems_to_hold_only_groups(connection, directory, group).await;
    if_known(connection, answer)
}

/// Whether a group that lists members seems to list groups only. In a directory whose people do not
/// carry `memberOf`, some groups and some people stand for all.
async fn seems_to_hold_only_groups(
    connection: &mut Connection,
    directory: &Directory,
    group: &Dn,
) -> Result<bool, Problem> {
    let own = std::slice::from_ref(group);
    let groups = all_of(&[directory.groups_filter(), is_member_of_any(own)]);
    let people = all_of(&[directory.people_filter(), is_member_of_any(own)]);
    if !names(connection, directory.user_base(), &people).await?.is_empty() {
        return Ok(false);
    }
    if names(connection, directory.group_base(), &groups).await?.is_empty() {
        let groups = names(connection, directory.group_base(), &directory.groups_filter()).await?;
        if !lists_any(connection, group, &groups).await? {
            return Ok(false);
        }
    }
    let people = names(connection, directory.user_base(), &directory.people_filter()).await?;
    let by_name = look_up(connection, group, "(memberUid=*)", NO_ATTRIBUTES).await?.is_some();
    Ok(!by_name && !lists_any(connection, group, &people).await?)
}

async fn lists_any(connection: &mut Connection, group: &Dn, members: &[Dn]) -> Result<bool, Problem> {
    if members.is_empty() {
        return Ok(false);
    }
    let members: Vec<_> = members.iter().map(|dn| dn.as_str().to_owned()).collect();
    Ok(look_up(connection, group, &list_any(&members), NO_ATTRIBUTES).await?.is_some())
}

/// The names of some entries.
async fn names(connection: &mut Connection, base: &Dn, filter: &str) -> Result<Vec<Dn>, Problem> {
    let query = Query {
        base: base.as_str(),
        scope: Scope::Subtree,
        filter,
        attributes: NO_ATTRIBUTES,
        limit: STEP_LIMIT,
        content: AttributeSelection::Values,
    };
    let entries = find(connection, &query).await?.entries;
    Ok(entries.iter().filter_map(|entry| Dn::parse(&entry.dn).ok()).collect())
}

/// Finds entries that list any of these.
fn list_any(members: &[String]) -> String {
    let listed = members.iter().flat_map(|dn| [equals("member", dn), equals("uniqueMember", dn)]);
    any_of(&listed.collect::<Vec<_>>())
}

/// Finds entries that say that they are in any of these groups.
fn is_member_of_any(groups: &[Dn]) -> String {
    any_of(&groups.iter().map(|dn| equals("memberOf", dn.as_str())).collect::<Vec<_>>())
}
