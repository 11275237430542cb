//! Primary groups: Active Directory records them as a number with each person, and neither the group
//! nor the person's `memberOf` shows that membership. Everybody is in "Domain Users" that way.

use super::{
    entry::Entry,
    search::{any_of, equals},
};

/// Holds the number of a person's primary group.
pub const PERSONS_NUMBER: &str = "primaryGroupID";

/// Holds a group's own number; Active Directory computes it when it is asked for by name.
const GROUPS_NUMBER: &str = "primaryGroupToken";

/// What [`PrimaryGroup::of`] looks at.
pub const GROUP_ATTRIBUTES: [&str; 4] = ["objectClass", "groupType", "sAMAccountName", GROUPS_NUMBER];

/// Whether a group can be the primary group of people.
#[derive(Debug, PartialEq, Eq)]
pub enum PrimaryGroup {
    /// The directory does not have such groups.
    Never,
    /// It can, but who is in it cannot be told.
    Unknown,
    /// It can, for people who carry one of these numbers.
    Numbered(Vec<String>),
}

impl PrimaryGroup {
    /// Judges the entries of one group.
    pub fn of(entries: &[Entry]) -> Self {
        let candidates: Vec<_> = entries.iter().filter(|entry| is_of_active_directory(entry)).collect();
        if candidates.is_empty() {
            return Self::Never;
        }
        let numbers = candidates.iter().map(|entry| entry.values(GROUPS_NUMBER).next().map(str::to_owned));
        numbers.collect::<Option<_>>().map_or(Self::Unknown, Self::Numbered)
    }

    /// Finds the people in it, if it is known how.
    pub fn filter(&self) -> Option<String> {
        match self {
            Self::Never | Self::Unknown => None,
            Self::Numbered(numbers) => {
                let filters: Vec<_> = numbers.iter().map(|number| equals(PERSONS_NUMBER, number)).collect();
                Some(any_of(&filters))
            }
        }
    }

    /// Whether it is this person's.
    pub fn contains(&self, person: &Entry) -> bool {
        match self {
            Self::Never | Self::Unknown => false,
            Self::Numbered(numbers) => {
                person.values(PERSONS_NUMBER).any(|value| numbers.iter().any(|number| number == value))
            }
        }
    }
}

fn is_of_active_directory(entry: &Entry) -> bool {
    entry.values("objectClass").any(|class| class.eq_ignore_ascii_case("group"))
        && entry.values("groupType").chain(entry.values("sAMAccountName")).next().is_some()
}
