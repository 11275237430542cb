//! The check `GroupAllowList`, and who is a member of what.
//!
//! Directories record membership in five ways, and W&B does not document which it reads: the
//! group lists DNs (`member`, `uniqueMember`) or login names (`memberUid`), or the person carries the
//! group (`memberOf`, the attribute of `spec.attributes.group`, or the number of a [`PrimaryGroup`]). Any of them counts. The
//! directory itself compares, so that a group of any size costs one small answer.

use ldap3::Scope;

use super::{
    Directory, Dn, GroupName,
    connection::{Connection, Query},
    entry::Entry,
    primary_group::{GROUP_ATTRIBUTES, PrimaryGroup},
    search::{ANYTHING, NO_ATTRIBUTES, all_of, any_of, equals, exists, find, list, look_up},
};
use crate::{api::Reason, engine::Checked, problem::Problem};

/// A name that more entries than this share is not looked into further.
const SAME_NAME_LIMIT: u16 = 10;

/// Finds groups that list anybody.
const HAS_MEMBERS: &str = "(|(member=*)(uniqueMember=*)(memberUid=*))";

/// A group that exists.
pub struct Group {
    /// Its entries; none when only people's attribute knows it.
    dns: Vec<Dn>,
    /// What people's group attribute may say of it: its DN, `cn` or `gidNumber`.
    values: Vec<String>,
    primary: PrimaryGroup,
}

/// Who is in a group, as far as the directory shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Members {
    Some,
    /// Only people whose primary group it is.
    OnlyPrimary,
    Unknown,
    None,
}

impl Group {
    /// Looks a group up by DN, by name, or by the attribute that people carry.
    pub async fn find(
        connection: &mut Connection,
        directory: &Directory,
        name: &GroupName,
    ) -> Result<Option<Self>, Problem> {
        let attributes = &[["cn", "gidNumber"].as_slice(), &GROUP_ATTRIBUTES].concat();
        let entries = match name {
            GroupName::Dn(dn) => {
                let class = directory.group_search.object_class.as_deref();
                let filter = class.map_or_else(|| ANYTHING.to_owned(), |class| equals("objectClass", class));
                look_up(connection, dn, &filter, attributes).await?.into_iter().collect()
            }
            GroupName::Name(name) => {
                let named = any_of(&[equals("cn", name), equals("gidNumber", name)]);
                let class = directory.groups_filter();
                let query = Query {
                    base: directory.group_base().as_str(),
                    scope: Scope::Subtree,
                    filter: &all_of(&[class, named]),
                    attributes,
                    limit: SAME_NAME_LIMIT,
                };
                find(connection, &query).await?.entries
            }
        };
        if !entries.is_empty() {
            return Ok(Some(Self::from_entries(&entries)));
        }
        let values = vec![name.as_str().to_owned()];
        let carried = Self { dns: Vec::new(), values, primary: PrimaryGroup::Never };
        Ok(carried.is_carried(connection, directory).await?.then_some(carried))
    }

    fn from_entries(entries: &[Entry]) -> Self {
        let values = entries.iter().flat_map(|entry| {
            let names = entry.values("cn").chain(entry.values("gidNumber"));
            names.chain([entry.dn.as_str()]).map(str::to_owned)
        });
        Self {
            values: values.collect(),
            primary: PrimaryGroup::of(entries),
            dns: entries.iter().filter_map(|entry| Dn::parse(&entry.dn).ok()).collect(),
        }
    }

    /// Who is a member.
    async fn members(&self, connection: &mut Connection, directory: &Directory) -> Result<Members, Problem> {
        for dn in &self.dns {
            if look_up(connection, dn, HAS_MEMBERS, NO_ATTRIBUTES).await?.is_some() {
                return Ok(Members::Some);
            }
        }
        if self.is_carried(connection, directory).await? {
            return Ok(Members::Some);
        }
        Ok(match self.primary.filter() {
            Some(filter) if is_anybody(connection, directory, &filter).await? => Members::OnlyPrimary,
            None if self.primary == PrimaryGroup::Unknown => Members::Unknown,
            Some(_) | None => Members::None,
        })
    }

    /// Whether any person's entry names the group.
    async fn is_carried(&self, connection: &mut Connection, directory: &Directory) -> Result<bool, Problem> {
        let attribute = &directory.attributes.group;
        let carried = self.values.iter().map(|value| equals(attribute, value));
        let member_of = self.dns.iter().map(|dn| equals("memberOf", dn.as_str()));
        is_anybody(connection, directory, &any_of(&carried.chain(member_of).collect::<Vec<_>>())).await
    }

    /// Whether a person is a member.
    pub async fn contains(
        &self,
        connection: &mut Connection,
        directory: &Directory,
        person: &Entry,
    ) -> Result<bool, Problem> {
        let is_value = |value: &str| self.values.iter().any(|own| own.eq_ignore_ascii_case(value));
        let is_dn = |value: &str| Dn::parse(value).is_ok_and(|dn| self.dns.contains(&dn));
        if person.values(&directory.attributes.group).any(|value| is_value(value) || is_dn(value))
            || person.values("memberOf").any(is_dn)
            || self.primary.contains(person)
        {
            return Ok(true);
        }
        let mut listed = vec![equals("member", &person.dn), equals("uniqueMember", &person.dn)];
        listed.extend(person.values("uid").map(|uid| equals("memberUid", uid)));
        let listed = any_of(&listed);
        for dn in &self.dns {
            if look_up(connection, dn, &listed, NO_ATTRIBUTES).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether any person is found by a filter.
async fn is_anybody(
    connection: &mut Connection,
    directory: &Directory,
    filter: &str,
) -> Result<bool, Problem> {
    let query = Query {
        base: directory.user_base().as_str(),
        scope: Scope::Subtree,
        filter: &all_of(&[directory.people_filter(), filter.to_owned()]),
        attributes: NO_ATTRIBUTES,
        limit: 1,
    };
    exists(connection, &query).await
}

/// Looks every group of the allow list up, and whether somebody is in it.
pub async fn group_allow_list(
    connection: &mut Connection,
    directory: &Directory,
) -> Result<Checked<Vec<Group>>, Problem> {
    let names = &directory.group_allow_list;
    let (mut groups, mut members, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        match Group::find(connection, directory, name).await? {
            None => missing.push(name),
            Some(group) => {
                members.push((name, group.members(connection, directory).await?));
                groups.push(group);
            }
        }
    }
    if !missing.is_empty() {
        return Err(Problem::new(
            Reason::GroupNotFound,
            format!(
                "The directory has no group {}. Check spec.groupAllowList, spec.groupSearch, and that the account may read groups.",
                list(&missing)
            ),
        ));
    }
    if members.iter().all(|(_, members)| *members == Members::None) {
        return Err(Problem::new(
            Reason::NobodyAllowed,
            "No group of spec.groupAllowList has a member, so nobody could log in. Add people to one of the groups in the directory, or allow the account to read who is in them.",
        ));
    }
    Ok(judge(groups, &members))
}

/// Groups that exist: says what is doubtful about them.
fn judge(groups: Vec<Group>, members: &[(&GroupName, Members)]) -> Checked<Vec<Group>> {
    let with = |wanted: Members| {
        let names: Vec<_> =
            members.iter().filter(|(_, members)| *members == wanted).map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| list(&names))
    };
    let mut remarks = Vec::new();
    remarks
        .extend(with(Members::None).map(|names| format!("Nobody is a member of {names}; check the list.")));
    remarks.extend(with(Members::OnlyPrimary).map(|names| {
        format!(
            "People are in {names} only as their primary group, which W&B may not see: try a login, or name a group that lists its members."
        )
    }));
    remarks.extend(with(Members::Unknown).map(|names| {
        format!(
            "It cannot be told who is in {names}: nobody is listed, but it may be people's primary group. Allow the account to read primaryGroupToken, or name a group that lists its members."
        )
    }));
    let reason = if remarks.is_empty() { Reason::AmbiguousSeparator } else { Reason::GroupEmpty };
    let ambiguous: Vec<_> =
        members.iter().map(|(name, _)| *name).filter(|name| name.as_str().contains(',')).collect();
    if !ambiguous.is_empty() {
        remarks.push(format!(
            "The list is published separated by commas, and W&B does not document how it reads names that contain one ({}): try a login, or name the group by its cn.",
            list(&ambiguous)
        ));
    }
    match (remarks.is_empty(), groups.len()) {
        (false, _) => Checked::warning(groups, reason, remarks.join(" ")),
        (true, 1) => Checked::passed(groups, "The group exists and has members."),
        (true, count) => Checked::passed(groups, format!("All {count} groups exist and have members.")),
    }
}
