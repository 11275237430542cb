//! The checks `GroupsRead` and `LoginAllowed`: in which groups a person is, and which of them lets the person in.

use ldap3::Scope;

use crate::{
    api::Reason,
    engine::Checked,
    ldap::{
        Directory,
        connection::{AttributeSelection, Connection, Query},
        entry::Entry,
        groups::Group,
        membership::Membership,
        search::{NO_ATTRIBUTES, all_of, any_of, equals, find, list},
    },
    login::sorted,
    problem::{Problem, quote},
};

/// The most groups that are looked for.
const GROUPS: u16 = 100;

/// The most groups that a message names.
const SHOWN: usize = 10;

/// The groups that the entry names, and those that list the person.
pub(super) async fn read(
    connection: &mut Connection,
    directory: &Directory,
    person: &Entry,
) -> Result<Checked<Vec<String>>, Problem> {
    let attribute = &directory.attributes.group;
    let carried: Vec<_> = person.values_as_written(attribute).map(str::to_owned).collect();
    let listing = listing(connection, directory, person).await?;
    let member_of = person.values("memberOf").map(str::to_owned);
    let known = sorted(member_of.chain(listing));
    let seen = match known.as_slice() {
        [] => "No group of the directory is seen to list the person.".to_owned(),
        groups => format!("Groups of the directory list the person: {}.", shown(groups)),
    };
    let groups = sorted(carried.iter().cloned().chain(known));
    Ok(if carried.is_empty() {
        Checked::warning(
            groups,
            Reason::AttributeMissing,
            format!(
                "The entry has no {attribute} (spec.attributes.group), in which W&B Server looks for groups. {seen}"
            ),
        )
    } else {
        Checked::passed(groups, format!("W&B Server reads {} from {attribute}. {seen}", shown(&carried)))
    })
}

/// Names in a message; a DN has commas itself.
fn shown(names: &[String]) -> String {
    let more = if names.len() > SHOWN { " and more" } else { "" };
    let names: Vec<_> = names.iter().take(SHOWN).map(|name| quote(name)).collect();
    format!("{}{more}", names.join("; "))
}

/// The groups that list the person.
async fn listing(
    connection: &mut Connection,
    directory: &Directory,
    person: &Entry,
) -> Result<Vec<String>, Problem> {
    let mut listed = vec![equals("member", &person.dn), equals("uniqueMember", &person.dn)];
    listed.extend(person.values("uid").map(|uid| equals("memberUid", uid)));
    let query = Query {
        base: directory.group_base().as_str(),
        scope: Scope::Subtree,
        filter: &all_of(&[directory.groups_filter(), any_of(&listed)]),
        attributes: NO_ATTRIBUTES,
        limit: GROUPS,
        content: AttributeSelection::Values,
    };
    let found = find(connection, &query).await?;
    Ok(found.entries.into_iter().map(|entry| entry.dn).collect())
}

/// The groups of the allow list that the person is in.
pub(super) async fn allowed(
    connection: &mut Connection,
    directory: &Directory,
    person: &Entry,
) -> Result<Checked<Vec<String>>, Problem> {
    let (mut direct, mut nested, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for name in &directory.group_allow_list {
        let Some(group) = Group::find(connection, directory, name).await? else {
            missing.push(name);
            continue;
        };
        match group.membership(connection, directory, person).await? {
            Membership::Direct => direct.push(name.as_str().to_owned()),
            Membership::Nested => nested.push(name.as_str().to_owned()),
            Membership::None => {}
        }
    }
    if !direct.is_empty() {
        let message = format!("The person is in {} of spec.groupAllowList.", shown(&direct));
        return Ok(Checked::passed(direct, message));
    }
    if !nested.is_empty() {
        let message = format!(
            "The person is in {} of spec.groupAllowList only through another group, and W&B does not document whether it follows groups within groups. Put the person into the group itself, or name the inner group.",
            shown(&nested)
        );
        return Ok(Checked::warning(nested, Reason::NestedGroups, message));
    }
    let absent = match missing.as_slice() {
        [] => String::new(),
        missing => format!(" The directory does not have {}.", list(missing)),
    };
    Err(Problem::new(
        Reason::NotAllowed,
        format!(
            "The person is in no group of spec.groupAllowList ({}), so a server that reads the list refuses the login.{absent} Put the person into one of them in the directory, or change the list.",
            list(&directory.group_allow_list.iter().collect::<Vec<_>>())
        ),
    ))
}
