//! The check `GroupAllowList`, and who is a member of what.
//!
//! Directories record membership in four ways, and W&B does not document which it reads: the
//! group lists DNs (`member`, `uniqueMember`) or login names (`memberUid`), or the person carries the
//! group (`memberOf`, or the attribute of `spec.attributes.group`). Any of them counts. The
//! directory itself compares, so that a group of any size costs one small answer.

use ldap3::Scope;

use super::{
    Directory, Dn, GroupName,
    connection::{Connection, Query},
    entry::Entry,
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
}

impl Group {
    /// Looks a group up by DN, by name, or by the attribute that people carry.
    pub async fn find(
        connection: &mut Connection,
        directory: &Directory,
        name: &GroupName,
    ) -> Result<Option<Self>, Problem> {
        let attributes = &["cn", "gidNumber"];
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
        let carried = Self { dns: Vec::new(), values: vec![name.as_str().to_owned()] };
        Ok(carried.is_carried(connection, directory).await?.then_some(carried))
    }

    fn from_entries(entries: &[Entry]) -> Self {
        let values = entries.iter().flat_map(|entry| {
            let names = entry.values("cn").chain(entry.values("gidNumber"));
            names.chain([entry.dn.as_str()]).map(str::to_owned)
        });
        Self {
            values: values.collect(),
            dns: entries.iter().filter_map(|entry| Dn::parse(&entry.dn).ok()).collect(),
        }
    }

    /// Whether anybody is a member.
    async fn has_members(&self, connection: &mut Connection, directory: &Directory) -> Result<bool, Problem> {
        for dn in &self.dns {
            if look_up(connection, dn, HAS_MEMBERS, NO_ATTRIBUTES).await?.is_some() {
                return Ok(true);
            }
        }
        self.is_carried(connection, directory).await
    }

    /// Whether any person's entry names the group.
    async fn is_carried(&self, connection: &mut Connection, directory: &Directory) -> Result<bool, Problem> {
        let attribute = &directory.attributes.group;
        let carried = self.values.iter().map(|value| equals(attribute, value));
        let member_of = self.dns.iter().map(|dn| equals("memberOf", dn.as_str()));
        let class = directory.people_filter();
        let query = Query {
            base: directory.user_base().as_str(),
            scope: Scope::Subtree,
            filter: &all_of(&[class, any_of(&carried.chain(member_of).collect::<Vec<_>>())]),
            attributes: NO_ATTRIBUTES,
            limit: 1,
        };
        exists(connection, &query).await
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

/// Looks every group of the allow list up, and whether somebody is in it.
pub async fn group_allow_list(
    connection: &mut Connection,
    directory: &Directory,
) -> Result<Checked<Vec<Group>>, Problem> {
    let names = &directory.group_allow_list;
    let (mut groups, mut missing, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        match Group::find(connection, directory, name).await? {
            None => missing.push(name),
            Some(group) => {
                if !group.has_members(connection, directory).await? {
                    empty.push(name);
                }
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
    if empty.len() == names.len() {
        return Err(Problem::new(
            Reason::NobodyAllowed,
            "No group of spec.groupAllowList has a member, so nobody could log in. Add people to one of the groups in the directory, or allow the account to read who is in them.",
        ));
    }
    Ok(judge(directory, groups, &empty))
}

fn judge(directory: &Directory, groups: Vec<Group>, empty: &[&GroupName]) -> Checked<Vec<Group>> {
    let ambiguous: Vec<_> =
        directory.group_allow_list.iter().filter(|name| name.as_str().contains(',')).collect();
    let mut remarks = Vec::new();
    if !empty.is_empty() {
        remarks.push(format!("Nobody is a member of {}; check the list.", list(empty)));
    }
    if !ambiguous.is_empty() {
        remarks.push(format!(
            "The list is published separated by commas, and W&B does not document how it reads names that contain one ({}): try a login, or name the group by its cn.",
            list(&ambiguous)
        ));
    }
    let reason = if empty.is_empty() { Reason::AmbiguousSeparator } else { Reason::GroupEmpty };
    match (remarks.is_empty(), groups.len()) {
        (false, _) => Checked::warning(groups, reason, remarks.join(" ")),
        (true, 1) => Checked::passed(groups, "The group exists and has members."),
        (true, count) => Checked::passed(groups, format!("All {count} groups exist and have members.")),
    }
}
