//! Groups, and who is a member of what.
//!
//! Directories record membership in five ways, and W&B does not document which it reads: the
//! group lists DNs (`member`, `uniqueMember`) or login names (`memberUid`), or the person carries the
//! group (`memberOf`, the attribute of `spec.attributes.group`, or the number of a [`PrimaryGroup`]). Any of them counts. The
//! directory itself compares, so that a group of any size costs one small answer.

use ldap3::Scope;

use super::{
    Directory, Dn, GroupName,
    connection::{AttributeSelection, Connection, Query},
    entry::Entry,
    membership::{Membership, holds_only_groups, is_nested},
    primary_group::{GROUP_ATTRIBUTES, PrimaryGroup},
    search::{
        ANYTHING, EntryPresence, NO_ATTRIBUTES, all_of, any_of, equals, exists, find, limited, look_up,
        look_up_names,
    },
};
use crate::problem::{Problem, quote};

/// A name that more entries than this share is not looked into further.
const SAME_NAME_LIMIT: u16 = 10;

/// Finds groups that list anybody.
const HAS_MEMBERS: &str = "(|(member=*)(uniqueMember=*)(memberUid=*))";

/// The attributes in which groups list their members.
const MEMBERS: &[&str] = &["member", "uniqueMember", "memberUid"];

/// A group that exists, or of which the directory does not let it be told.
pub struct Group {
    /// Its entries; none when only people's attribute knows it.
    dns: Vec<Dn>,
    /// What people's group attribute may say of it: its DN, `cn` or `gidNumber`.
    values: Vec<String>,
    primary: PrimaryGroup,
    /// The limit of the directory's own at which it ended the search for the group.
    limit: Option<String>,
}

/// Who is in a group, as far as the directory shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Somebody.
    Some,
    /// Only people whose primary group it is.
    OnlyPrimary,
    /// Only other groups.
    OnlyGroups,
    /// Somebody, but the account may only search for who it is.
    Hidden,
    /// Nobody is listed, but it may be people's primary group.
    Unknown,
    /// The directory ended the search for that at a limit of its own.
    Undecided(String),
    /// Nobody.
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
        let mut limit = None;
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
                    content: AttributeSelection::Values,
                };
                let found = find(connection, &query).await?;
                limit = found.limit;
                found.entries
            }
        };
        if !entries.is_empty() {
            return Ok(Some(Self::from_entries(&entries)));
        }
        let values = vec![name.as_str().to_owned()];
        let carried = Self { dns: Vec::new(), values, primary: PrimaryGroup::Never, limit };
        Ok(match carried.is_carried(connection, directory).await? {
            EntryPresence::Found => Some(Self { limit: None, ..carried }),
            EntryPresence::Undecided(limit) => Some(Self { limit: Some(limit), ..carried }),
            EntryPresence::NotFound => carried.limit.is_some().then_some(carried),
        })
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
            limit: None,
        }
    }

    /// Who is a member.
    pub async fn members(
        &self,
        connection: &mut Connection,
        directory: &Directory,
    ) -> Result<Members, Problem> {
        if let Some(limit) = &self.limit {
            return Ok(Members::Undecided(limit.clone()));
        }
        for dn in &self.dns {
            let Some(entry) = look_up_names(connection, dn, HAS_MEMBERS, MEMBERS).await? else { continue };
            if holds_only_groups(connection, directory, dn).await? {
                return Ok(Members::OnlyGroups);
            }
            return Ok(if entry.mentions(MEMBERS) { Members::Some } else { Members::Hidden });
        }
        match self.is_carried(connection, directory).await? {
            EntryPresence::Found => return Ok(Members::Some),
            EntryPresence::Undecided(limit) => return Ok(Members::Undecided(limit)),
            EntryPresence::NotFound => {}
        }
        let Some(filter) = self.primary.filter() else {
            let is_unknown = self.primary == PrimaryGroup::Unknown;
            return Ok(if is_unknown { Members::Unknown } else { Members::None });
        };
        Ok(match is_anybody(connection, directory, &filter).await? {
            EntryPresence::Found => Members::OnlyPrimary,
            EntryPresence::Undecided(limit) => Members::Undecided(limit),
            EntryPresence::NotFound => Members::None,
        })
    }

    /// Whether any person's entry names the group.
    async fn is_carried(
        &self,
        connection: &mut Connection,
        directory: &Directory,
    ) -> Result<EntryPresence, Problem> {
        let attribute = &directory.attributes.group;
        let carried = self.values.iter().map(|value| equals(attribute, value));
        let member_of = self.dns.iter().map(|dn| equals("memberOf", dn.as_str()));
        is_anybody(connection, directory, &any_of(&carried.chain(member_of).collect::<Vec<_>>())).await
    }

    /// How a person is a member.
    pub async fn membership(
        &self,
        connection: &mut Connection,
        directory: &Directory,
        person: &Entry,
    ) -> Result<Membership, Problem> {
        if self.contains(connection, directory, person).await? {
            return Ok(Membership::Direct);
        }
        if let Some(limit) = &self.limit {
            let names = self.values.join(", ");
            return Err(limited(limit, &format!("whether the person is in the group {}", quote(&names))));
        }
        let is_nested = is_nested(connection, directory, &self.dns, person).await?;
        Ok(if is_nested { Membership::Nested } else { Membership::None })
    }

    /// Whether a person is a direct member.
    async fn contains(
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
) -> Result<EntryPresence, Problem> {
    let query = Query {
        base: directory.user_base().as_str(),
        scope: Scope::Subtree,
        filter: &all_of(&[directory.people_filter(), filter.to_owned()]),
        attributes: NO_ATTRIBUTES,
        limit: 1,
        content: AttributeSelection::Values,
    };
    exists(connection, &query).await
}
