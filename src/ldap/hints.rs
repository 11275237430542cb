//! What the directory has instead of what was not found, so that a message can name the one fix.
//!
//! A hint costs one small search, and a search that fails is no hint: it never hides the failure that it is for.
//! Names are shown, never values of people's attributes.

use std::time::{Duration, Instant};

use ldap3::Scope;

use super::{
    Directory, Dn, GroupName,
    connection::{AttributeSelection, Connection, Query},
    entry::Entry,
    search::{ANYTHING, SearchResult, equals, find, look_up_names},
};
use crate::{
    problem::{enumerate, quote},
    similar::{ALIKE, likeness},
};

/// The entry in which a server describes itself (RFC 4512 section 5.1).
const ROOT_DSE: &str = "";

/// The attributes in which it says what it holds; the first is Active Directory's own.
const DEFAULT_CONTEXT: &str = "defaultNamingContext";
const CONTEXTS: &str = "namingContexts";

/// The most groups that are compared with a name.
const GROUPS: u16 = 200;

/// The most similar names that a message shows.
const SHOWN: usize = 3;

/// The time that all hints of one failure have together. The check has a limit of its own, and a slow hint must not
/// turn what a person has to mend into a time-out.
const TIME: Duration = Duration::from_secs(2);

/// The time that is left for the hints of one failure.
pub struct HintTime(Duration);

impl Default for HintTime {
    fn default() -> Self {
        Self(TIME)
    }
}

impl HintTime {
    /// As long as this.
    #[cfg(test)]
    pub fn of(time: Duration) -> Self {
        Self(time)
    }

    /// The hint, if it comes in time.
    async fn spend(&mut self, hint: impl Future<Output = Option<String>>) -> Option<String> {
        let begun = Instant::now();
        let hint = tokio::time::timeout(self.0, hint).await;
        self.0 = self.0.saturating_sub(begun.elapsed());
        hint.ok().flatten()
    }

    /// What the server holds, where the base does not exist.
    pub async fn naming_contexts(
        &mut self,
        connection: &mut Connection,
        field: &str,
        base: &Dn,
    ) -> Option<String> {
        self.spend(Box::pin(naming_contexts(connection, field, base))).await
    }

    /// Which groups there are, where one does not exist.
    pub async fn similar_groups(
        &mut self,
        connection: &mut Connection,
        directory: &Directory,
        name: &GroupName,
    ) -> Option<String> {
        self.spend(Box::pin(similar_groups(connection, directory, name))).await
    }

    /// Which attributes a person's entry has, where one is missing.
    pub async fn attributes_there(
        &mut self,
        connection: &mut Connection,
        person: &Entry,
        role: &str,
        attribute: &str,
    ) -> Option<String> {
        self.spend(Box::pin(attributes_there(connection, person, role, attribute))).await
    }
}

/// What the server holds, in a sentence; nothing where it does not say, or where the base is within it.
async fn naming_contexts(connection: &mut Connection, field: &str, base: &Dn) -> Option<String> {
    let query = Query {
        base: ROOT_DSE,
        scope: Scope::Base,
        filter: ANYTHING,
        attributes: &[DEFAULT_CONTEXT, CONTEXTS],
        limit: 1,
        content: AttributeSelection::Values,
    };
    let entry = find(connection, &query).await.ok()?.entries.into_iter().next()?;
    contexts_in_words(&entry, field, base)
}

fn contexts_in_words(entry: &Entry, field: &str, base: &Dn) -> Option<String> {
    let default: Vec<_> = entry.values(DEFAULT_CONTEXT).collect();
    let contexts: Vec<_> = if default.is_empty() { entry.values(CONTEXTS).collect() } else { default };
    let is_within = |context: &&str| Dn::parse(context).is_ok_and(|context| base.is_within(&context));
    if contexts.is_empty() || contexts.iter().any(is_within) {
        return None;
    }
    Some(match contexts.as_slice() {
        [only] => {
            let only = quote(only);
            format!(
                "The directory holds {only} (namingContexts): set {field} to that or to an entry below it."
            )
        }
        several => format!(
            "The directory holds {} (namingContexts): set {field} to one of these or to an entry below one.",
            enumerate_dns(several)
        ),
    })
}

/// DNs hold commas, so they are divided by semicolons.
fn enumerate_dns(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().take(SHOWN).map(|name| quote(name)).collect();
    let more = if names.len() > SHOWN { " and more" } else { "" };
    format!("{}{more}", quoted.join("; "))
}

/// The groups whose names are like the one that does not exist, in a sentence.
async fn similar_groups(
    connection: &mut Connection,
    directory: &Directory,
    name: &GroupName,
) -> Option<String> {
    let wanted = match name {
        GroupName::Dn(dn) => dn.first_value()?.to_owned(),
        GroupName::Name(name) => name.clone(),
    };
    let class = directory.groups_filter();
    let mut found = Vec::new();
    let mut seen = GroupsSeen::All;
    // A group of this very name elsewhere is found in a directory of any size.
    for filter in [super::search::all_of(&[class.clone(), equals("cn", &wanted)]), class] {
        let query = Query {
            base: directory.group_base().as_str(),
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &["cn"],
            limit: GROUPS,
            content: AttributeSelection::Values,
        };
        let result = find(connection, &query).await.ok()?;
        seen = GroupsSeen::of(&result);
        found.extend(result.entries);
    }
    let known: Vec<_> = found
        .iter()
        .filter_map(|entry| {
            let cn = entry.values("cn").next()?;
            let shown = match name {
                GroupName::Dn(_) => entry.dn.as_str(),
                GroupName::Name(_) => cn,
            };
            Some((cn, shown))
        })
        .collect();
    similar_in_words(&wanted, &known, seen, directory.group_base())
}

/// How many of the groups a search showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupsSeen {
    /// All that the account may see.
    All,
    /// As many as were asked for, and there may be more.
    First,
    /// What the directory gave before it ended the search at a limit of its own.
    Some,
}

impl GroupsSeen {
    fn of(result: &SearchResult) -> Self {
        if result.limit.is_some() {
            Self::Some
        } else if result.entries.len() >= usize::from(GROUPS) {
            Self::First
        } else {
            Self::All
        }
    }
}

/// `known` are the names of groups, each with how it is shown. Nothing is said of groups that were not seen.
fn similar_in_words(wanted: &str, known: &[(&str, &str)], seen: GroupsSeen, base: &Dn) -> Option<String> {
    if known.is_empty() {
        let none = || format!("The account sees no group at all under {}.", quote(base.as_str()));
        return (seen == GroupsSeen::All).then(none);
    }
    let mut alike: Vec<_> = known
        .iter()
        .map(|(name, shown)| (likeness_of_groups(wanted, name), *shown))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    alike.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(right.1)));
    let mut names: Vec<_> = alike.into_iter().map(|(_, shown)| shown).collect();
    names.dedup();
    let words = match names.as_slice() {
        [] if seen == GroupsSeen::Some => return None,
        [] => {
            let mut all: Vec<_> = known.iter().map(|(_, shown)| *shown).collect();
            all.sort_unstable();
            all.dedup();
            let all = enumerate_dns(&all);
            if seen == GroupsSeen::First {
                format!(
                    "Among the first {GROUPS} groups none has a similar name; they are for example {all}."
                )
            } else {
                format!("None has a similar name; it has for example {all}.")
            }
        }
        [only] => format!("Did you mean {}?", quote(only)),
        several => format!("Similar names are {}.", enumerate_dns(several)),
    };
    Some(words)
}

/// How alike two names are: one within the other counts as alike.
fn likeness_of_groups(wanted: &str, name: &str) -> f64 {
    const SHORTEST: usize = 3;
    let (wanted, name) = (wanted.to_lowercase(), name.to_lowercase());
    let is_within = |part: &str, whole: &str| part.chars().count() >= SHORTEST && whole.contains(part);
    let alike = likeness(&wanted, &name);
    if is_within(&wanted, &name) || is_within(&name, &wanted) { alike.max(ALIKE) } else { alike }
}

/// The names of the attributes that a person's entry has, the likely ones first, in a sentence.
async fn attributes_there(
    connection: &mut Connection,
    person: &Entry,
    role: &str,
    attribute: &str,
) -> Option<String> {
    const EVERY_USER_ATTRIBUTE: &[&str] = &["*", "memberOf"];
    let dn = Dn::parse(&person.dn).ok()?;
    let entry = look_up_names(connection, &dn, ANYTHING, EVERY_USER_ATTRIBUTE).await.ok()??;
    attributes_in_words(entry.answered_names(), role, attribute)
}

fn attributes_in_words<'a>(
    names: impl Iterator<Item = &'a str>,
    role: &str,
    attribute: &str,
) -> Option<String> {
    let usual: &[&str] = match role {
        "email" => &["mail", "userPrincipalName", "email", "rfc822Mailbox"],
        "group" => &["memberOf", "isMemberOf", "gidNumber", "departmentNumber", "ou"],
        _ => &[],
    };
    let is_usual = |name: &str| usual.iter().any(|usual| usual.eq_ignore_ascii_case(name));
    let mut names: Vec<_> = names.filter(|name| !name.eq_ignore_ascii_case("objectClass")).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let rank = |name: &&str| {
        let likeness = likeness(attribute, name);
        if is_usual(name) { likeness + 1.0 } else { likeness }
    };
    names.sort_by(|left, right| rank(right).total_cmp(&rank(left)).then(left.cmp(right)));
    Some(format!("Among the attributes of an entry are {}.", enumerate(names)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{EgressPolicy, Network};

    #[test]
    fn a_base_elsewhere_is_told_what_the_directory_holds() {
        let base = Dn::parse("dc=example,dc=com").unwrap();
        let entry = |attribute: &str, values: &[&str]| Entry::with("", &[(attribute, values)]);
        for (entry, words) in [
            (
                entry(CONTEXTS, &["dc=example,dc=org"]),
                Some("dc=example,dc=org (namingContexts): set spec.baseDN to that"),
            ),
            (
                entry(CONTEXTS, &["dc=a", "dc=b"]),
                Some("holds dc=a; dc=b (namingContexts): set spec.baseDN to one of these"),
            ),
            (entry(CONTEXTS, &["dc=a", "dc=b", "dc=c", "dc=d"]), Some("dc=c and more (namingContexts)")),
            (entry(DEFAULT_CONTEXT, &["DC=corp"]), Some("holds DC=corp")),
            // The base is within it, so that the closest entry says more.
            (entry(CONTEXTS, &["DC=Com"]), None),
            (entry(CONTEXTS, &[]), None),
        ] {
            let told = contexts_in_words(&entry, "spec.baseDN", &base);
            assert_eq!(told.is_some(), words.is_some(), "{told:?}");
            assert!(told.unwrap_or_default().contains(words.unwrap_or_default()), "{words:?}");
        }
    }

    #[test]
    fn a_missing_group_is_told_the_similar_ones() {
        let base = Dn::parse("ou=groups,dc=example,dc=org").unwrap();
        for (wanted, known, words) in [
            (
                "wandb-user",
                &[("wandb-users", "wandb-users"), ("staff", "staff")][..],
                "Did you mean wandb-users?",
            ),
            ("wandb", &[("wandb-users", "a"), ("wandb-admins", "b")], "Similar names are a; b."),
            ("nonsense", &[("staff", "staff"), ("empty", "empty")], "it has for example empty; staff."),
            ("wandb", &[("WANDB", "cn=WANDB,ou=b")], "Did you mean cn=WANDB,ou=b?"),
            ("wandb", &[], "sees no group at all under ou=groups"),
        ] {
            let told = similar_in_words(wanted, known, GroupsSeen::All, &base).unwrap();
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn nothing_is_said_of_groups_that_were_not_seen() {
        let base = Dn::parse("ou=groups,dc=example,dc=org").unwrap();
        let (alike, other) = (&[("wandb-users", "wandb-users")][..], &[("staff", "staff")][..]);
        let first = "Among the first 200 groups none has a similar name; they are for example staff.";
        for (known, seen, expected) in [
            (alike, GroupsSeen::Some, Some("Did you mean wandb-users?")),
            (other, GroupsSeen::Some, None),
            (&[], GroupsSeen::Some, None),
            (alike, GroupsSeen::First, Some("Did you mean wandb-users?")),
            (other, GroupsSeen::First, Some(first)),
            (&[], GroupsSeen::First, None),
        ] {
            let told = similar_in_words("wandb-user", known, seen, &base);
            assert_eq!(told.as_deref(), expected, "{known:?} {seen:?}");
        }
    }

    #[test]
    fn a_search_that_was_cut_did_not_show_all() {
        let result = |count: u16, limit: Option<&str>| SearchResult {
            entries: (0..count).map(|_| Entry::with("cn=a", &[])).collect(),
            refers_elsewhere: false,
            limit: limit.map(str::to_owned),
        };
        for (result, seen) in [
            (result(0, None), GroupsSeen::All),
            (result(199, None), GroupsSeen::All),
            (result(200, None), GroupsSeen::First),
            (result(0, Some("code 11")), GroupsSeen::Some),
            (result(50, Some("code 4")), GroupsSeen::Some),
        ] {
            assert_eq!(GroupsSeen::of(&result), seen);
        }
    }

    #[tokio::test]
    async fn all_hints_of_a_failure_have_one_time_together() {
        let mut time = HintTime(Duration::from_millis(400));
        assert_eq!(time.spend(async { Some("a".to_owned()) }).await.as_deref(), Some("a"));
        // With a time of its own for each, it would take two minutes.
        let spent = async {
            for _ in 0..300 {
                assert_eq!(time.spend(std::future::pending()).await, None);
            }
        };
        let spent = tokio::time::timeout(Duration::from_mins(1), spent).await;
        assert!(spent.is_ok(), "each has a time of its own");
        assert_eq!(time.0, Duration::ZERO);
        assert!(HintTime::default().0 <= Duration::from_secs(2));
    }

    /// A directory that takes connections and never answers.
    #[tokio::test]
    async fn a_directory_that_is_silent_gives_no_hint() {
        let (stream, _silent) = tokio::io::duplex(1024);
        let network = Network::new(EgressPolicy::Unrestricted);
        let mut connection = Connection::open(Box::new(stream), network.meter()).await.unwrap();
        let base = Dn::parse("dc=example,dc=org").unwrap();
        let mut time = HintTime(Duration::from_millis(20));
        assert_eq!(time.naming_contexts(&mut connection, "spec.baseDN", &base).await, None);
        assert!(!connection.is_over(), "the checks go on");
    }

    #[test]
    fn likely_attributes_come_first() {
        let told =
            attributes_in_words(["cn", "objectClass", "sn", "mail"].into_iter(), "email", "mailAddress");
        assert!(
            told.as_deref()
                .is_some_and(|told| told.starts_with("Among the attributes of an entry are mail, ")),
            "{told:?}"
        );
        assert!(!told.unwrap_or_default().contains("objectClass"));
        let told = attributes_in_words(["cn", "displayName"].into_iter(), "name", "displayname2");
        assert_eq!(told.as_deref(), Some("Among the attributes of an entry are displayName, cn."));
        assert_eq!(attributes_in_words(std::iter::empty(), "email", "mail"), None);
    }
}
