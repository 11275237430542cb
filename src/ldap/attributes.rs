//! The check `AttributesPresent`: whether people's entries hold what W&B Server reads.
//!
//! An attribute counts only where a value of it was read, and under the name that the spec gives it: a
//! directory may let an account search for what it may not read, and may answer an alias or another
//! spelling under a name of its own, where W&B Server does not find it.

use ldap3::Scope;

use super::{
    Directory, Dn,
    connection::{AttributeSelection, Connection, Query},
    entry::Entry,
    hints::HintTime,
    search::{SearchResult, all_of, find, has, limited, look_up},
    test_user::KnownPeople,
};
use crate::{
    api::Reason,
    engine::Checked,
    problem::{Problem, quote},
};

/// How many people are looked at.
const SAMPLE_SIZE: u16 = 100;

/// Looks at some people and counts who carry the attributes.
pub async fn attributes_present(
    connection: &mut Connection,
    directory: &Directory,
    known: &mut KnownPeople,
) -> Result<Checked, Problem> {
    let wanted: Vec<_> = WantedAttribute::all(directory).collect();
    let mut attributes: Vec<_> = wanted.iter().map(|wanted| wanted.attribute).collect();
    attributes.sort_unstable();
    attributes.dedup();
    let filter = directory.people_filter();
    let found = find(connection, &people(directory, &filter, &attributes)).await?;
    let sample = PeopleSample::of(connection, directory, found, known).await?;
    let (mut shares, mut time) = (Vec::new(), HintTime::default());
    for wanted in wanted {
        shares.push(Share::of(connection, directory, &sample, wanted, &mut time).await?);
    }
    judge(directory, &sample, &shares)
}

fn people<'a>(directory: &'a Directory, filter: &'a str, attributes: &'a [&'a str]) -> Query<'a> {
    Query {
        base: directory.user_base().as_str(),
        scope: Scope::Subtree,
        filter,
        attributes,
        limit: SAMPLE_SIZE,
        content: AttributeSelection::Values,
    }
}

/// An attribute that the spec names.
#[derive(Clone, Copy)]
struct WantedAttribute<'a> {
    /// What W&B Server takes it for.
    role: &'a str,
    attribute: &'a str,
}

impl<'a> WantedAttribute<'a> {
    /// The attributes for the e-mail address and the group, and the extra ones.
    fn all(directory: &'a Directory) -> impl Iterator<Item = Self> {
        let attributes = &directory.attributes;
        let main = [("email", &attributes.email), ("group", &attributes.group)];
        let extra = attributes.extra.iter().map(|(role, attribute)| (role.as_str(), attribute));
        main.into_iter().chain(extra).map(|(role, attribute)| Self { role, attribute })
    }
}

/// The people who are looked at.
struct PeopleSample {
    people: Vec<Entry>,
    /// What they are called in messages.
    called: &'static str,
    /// The limit of the directory's own at which it ended the search for them.
    limit: Option<String>,
}

impl PeopleSample {
    /// The people whom a search found, or else the ones of `spec.testUsers` where the directory ended it
    /// before it found anybody.
    async fn of(
        connection: &mut Connection,
        directory: &Directory,
        SearchResult { entries: people, refers_elsewhere, limit }: SearchResult,
        known: &mut KnownPeople,
    ) -> Result<Self, Problem> {
        let called = if people.len() == 1 { "sampled entry carries" } else { "sampled entries carry" };
        match limit {
            limit if !people.is_empty() => Ok(Self { people, called, limit }),
            Some(limit) => {
                let people = known.get(connection, directory).await.to_vec();
                if people.is_empty() {
                    return Err(limited(&limit, "whether people carry the attributes of spec.attributes"));
                }
                let called = if people.len() == 1 { "test user carries" } else { "test users carry" };
                Ok(Self { people, called, limit: Some(limit) })
            }
            None => {
                let elsewhere = if refers_elsewhere {
                    ", and the directory refers to other servers for more"
                } else {
                    ""
                };
                Err(Problem::new(
                    Reason::NoUsersFound,
                    format!(
                        "No entry under {} matches {}{elsewhere}. Check spec.userSearch, and that the account may read people's entries.",
                        quote(directory.user_base().as_str()),
                        directory.people_filter()
                    ),
                ))
            }
        }
    }
}

/// How many of the sampled entries carry an attribute.
struct Share<'a> {
    wanted: WantedAttribute<'a>,
    count: usize,
    others: OtherEntries,
}

/// How it is with entries that have the attribute, where nobody in the sample shows it.
enum OtherEntries {
    /// Somebody in the sample does, so that the rest does not matter.
    NotAsked,
    /// There are some, and their values can be read.
    Readable,
    /// There are some, and the directory answers the attribute under this name.
    Named(String),
    /// There are some, but no value of theirs can be read.
    Unreadable,
    /// There are none; which attributes there are, in a sentence.
    Absent(Option<String>),
    /// The directory ended the search for them at this limit.
    Undecided(String),
}

impl<'a> Share<'a> {
    /// Counts, and asks the directory for others where nobody counts: the first entries of a directory
    /// are often not typical of the rest.
    async fn of(
        connection: &mut Connection,
        directory: &Directory,
        sample: &PeopleSample,
        wanted: WantedAttribute<'a>,
        time: &mut HintTime,
    ) -> Result<Self, Problem> {
        let attribute = wanted.attribute;
        let carries = |person: &&Entry| person.values_as_written(attribute).next().is_some();
        let count = sample.people.iter().filter(carries).count();
        let others = match count {
            0 => match OtherEntries::of(connection, directory, sample, attribute).await? {
                OtherEntries::Absent(_) => {
                    // The server may list people in any order, and equal findings are to be equal.
                    let person = sample.people.iter().min_by(|left, right| left.dn.cmp(&right.dn));
                    OtherEntries::Absent(match person {
                        Some(person) => {
                            time.attributes_there(connection, person, wanted.role, attribute).await
                        }
                        None => None,
                    })
                }
                others => others,
            },
            _ => OtherEntries::NotAsked,
        };
        Ok(Self { wanted, count, others })
    }

    /// What is wrong with it; `seen` tells the numbers.
    fn complaint(&self, seen: &str) -> Option<Problem> {
        let WantedAttribute { role, attribute } = self.wanted;
        let (reason, message) = match &self.others {
            OtherEntries::NotAsked | OtherEntries::Readable => return None,
            OtherEntries::Absent(there) if role == "email" => (
                Reason::AttributeMissing,
                format!(
                    "{seen}.{} W&B needs the e-mail address: set spec.attributes.email to the attribute that holds it, and check that the account may read that.",
                    after(there.as_deref())
                ),
            ),
            OtherEntries::Absent(there) => (
                Reason::AttributeMissing,
                format!(
                    "{seen}.{} Check spec.attributes.{role}, and that the account may read the attribute.",
                    after(there.as_deref())
                ),
            ),
            OtherEntries::Named(name) => (
                Reason::AttributeNameDiffers,
                format!(
                    "{seen}: the directory returns {attribute} under the name {name}, and W&B compares names exactly. Set spec.attributes.{role}: {name}."
                ),
            ),
            OtherEntries::Unreadable => (
                Reason::NotReadable,
                format!(
                    "{seen}: entries have {attribute}, but the account can only search for it, and cannot read its values. Allow the account to read it in the directory, or set spec.bind to another account."
                ),
            ),
            OtherEntries::Undecided(limit) => {
                return Some(limited(limit, &format!("whether people carry {attribute}")));
            }
        };
        Some(Problem::new(reason, message))
    }
}

/// A further sentence, where there is one.
fn after(sentence: Option<&str>) -> String {
    sentence.map_or_else(String::new, |sentence| format!(" {sentence}"))
}

impl OtherEntries {
    async fn of(
        connection: &mut Connection,
        directory: &Directory,
        sample: &PeopleSample,
        attribute: &str,
    ) -> Result<Self, Problem> {
        let filter = all_of(&[directory.people_filter(), has(attribute)]);
        // Asked for alone, so that whatever has a value is the answer.
        let only = [attribute];
        let found = find(connection, &people(directory, &filter, &only)).await?;
        let Some(limit) = found.limit.filter(|_| found.entries.is_empty()) else {
            return Ok(Self::read(&found.entries, attribute));
        };
        let mut entries = Vec::new();
        for dn in sample.people.iter().filter_map(|person| Dn::parse(&person.dn).ok()) {
            entries.extend(look_up(connection, &dn, &has(attribute), &only).await?);
        }
        Ok(match Self::read(&entries, attribute) {
            Self::Absent(_) => Self::Undecided(limit),
            others => others,
        })
    }

    /// Judges entries that have the attribute and of which nothing else was asked.
    fn read(entries: &[Entry], attribute: &str) -> Self {
        if entries.is_empty() {
            return Self::Absent(None);
        }
        if entries.iter().any(|entry| entry.values_as_written(attribute).next().is_some()) {
            return Self::Readable;
        }
        match entries.iter().flat_map(Entry::names).min() {
            Some(name) => Self::Named(quote(name)),
            None => Self::Unreadable,
        }
    }
}

/// An attribute that nobody has or shows fails where W&B Server cannot do without it, and is a warning
/// otherwise; one that only others than the sampled people have is a warning.
fn judge(directory: &Directory, sample: &PeopleSample, shares: &[Share<'_>]) -> Result<Checked, Problem> {
    let seen = seen(sample, shares);
    let mut remarks = Vec::new();
    for share in shares {
        let Some(complaint) = share.complaint(&seen) else { continue };
        match share.wanted.role {
            "email" => return Err(complaint),
            "group" if !directory.group_allow_list.is_empty() => {
                let message = format!("{} spec.groupAllowList needs the attribute.", complaint.message);
                return Err(Problem::new(complaint.reason, message));
            }
            _ => remarks.push(complaint),
        }
    }
    let only_others: Vec<_> = shares
        .iter()
        .filter(|share| matches!(share.others, OtherEntries::Readable))
        .map(|share| share.wanted.attribute)
        .collect();
    if !only_others.is_empty() {
        remarks.push(Problem::new(
            Reason::AttributeMissing,
            format!(
                "{seen}, although other entries carry {}. Set spec.userSearch so that it finds people only.",
                only_others.join(" and ")
            ),
        ));
    }
    if let Some(limit) = &sample.limit {
        remarks.push(Problem::new(
            Reason::SearchLimited,
            format!("{seen}. The directory limits searches ({limit}), so nobody else was looked at."),
        ));
    }
    let Some(first) = remarks.first() else { return Ok(Checked::passed((), format!("{seen}."))) };
    let reason = first.reason;
    let messages: Vec<_> = remarks.into_iter().map(|remark| remark.message).collect();
    Ok(Checked::warning((), reason, messages.join(" ")))
}

/// `1 of 3 sampled entries carry mail, 2 carry gidNumber`.
fn seen(sample: &PeopleSample, shares: &[Share<'_>]) -> String {
    let PeopleSample { people, called, .. } = sample;
    let mut parts = shares.iter().map(|share| format!("{} carry {}", share.count, share.wanted.attribute));
    let first = shares.first().map_or_else(String::new, |share| {
        format!("{} of {} {called} {}", share.count, people.len(), share.wanted.attribute)
    });
    let rest = parts.by_ref().skip(1);
    [first].into_iter().chain(rest).collect::<Vec<_>>().join(", ")
}
