//! What the reference says of each reason, check and event: the pages of `docs/reference`, compiled into the program.
//!
//! The meaning of a name on those pages is made of the enums beside this file, and a test fails where the two differ.
//! What to do stands on the pages alone.

/// The pages, with the word for the names on each and the title above its table.
const PAGES: [(ReferenceTopic, &str); 3] = [
    (ReferenceTopic::Reason, include_str!("../../../docs/reference/reasons.md")),
    (ReferenceTopic::Check, include_str!("../../../docs/reference/checks.md")),
    (ReferenceTopic::Event, include_str!("../../../docs/reference/metrics-and-events.md")),
];

/// What a name is a name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceTopic {
    /// Of a condition or a check.
    Reason,
    /// Of a check.
    Check,
    /// Of an event.
    Event,
}

/// What the reference says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceEntry {
    /// What it is a name of.
    pub topic: ReferenceTopic,
    /// The name, such as `TlsVerifies`. That of a check may end with a part in angle brackets.
    pub name: String,
    /// What was seen, or what the check proves.
    pub meaning: String,
    /// Who ends it; nothing for what is well, and for names that are no reasons.
    pub ends: Option<String>,
    /// What to do about it.
    pub remedy: String,
}

impl ReferenceEntry {
    /// Every entry, in the order of the pages.
    pub fn all() -> Vec<Self> {
        PAGES.into_iter().flat_map(|(topic, page)| of_page(topic, page)).collect()
    }

    /// The entries of this name, whatever its case; `TestUser/0` is a name of `TestUser/<number>`.
    pub fn named(name: &str) -> Vec<Self> {
        let family = |name: &str| name.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let is_meant = |entry: &Self| {
            entry.name.eq_ignore_ascii_case(name)
                || entry.name.contains('<') && family(&entry.name) == family(name)
        };
        Self::all().into_iter().filter(is_meant).collect()
    }
}

/// The rows of the tables of names. A page may have tables of other things, which have other first cells.
fn of_page(topic: ReferenceTopic, page: &str) -> Vec<ReferenceEntry> {
    let tables = match topic {
        ReferenceTopic::Event => page.split_once("\n## Events\n").map_or("", |(_, events)| events),
        ReferenceTopic::Reason | ReferenceTopic::Check => page,
    };
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let entries = rows.filter_map(|row| {
        let mut cells = row.split(" | ");
        let (name, meaning) = (cells.next()?.trim_end_matches('`'), plain(cells.next()?));
        let ends = match topic {
            ReferenceTopic::Reason => Some(plain(cells.next()?)).filter(|ends| ends != "–"),
            ReferenceTopic::Check | ReferenceTopic::Event => None,
        };
        let remedy = plain(cells.next()?);
        Some(ReferenceEntry { topic, name: name.to_owned(), meaning, ends, remedy })
    });
    entries.collect()
}

/// A cell without what only a browser needs: a link becomes its text and the path of its page.
fn plain(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell;
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        let parts = link.split_once(']').and_then(|(label, after)| {
            let (address, after) = after.strip_prefix('(')?.split_once(')')?;
            Some((label, address, after))
        });
        if let Some((label, address, after)) = parts {
            text = text + label + " (" + &path_of(address) + ")";
            rest = after;
        } else {
            text.push('[');
            rest = link;
        }
    }
    text.push_str(rest);
    text.replace("\\|", "|").replace("&lt;", "<").trim().to_owned()
}

/// The path of a page in the repository, from its address in a page of `docs/reference`.
fn path_of(address: &str) -> String {
    let address = address.split('#').next().unwrap_or_default();
    match address.strip_prefix("../") {
        Some(rest) => format!("docs/{rest}"),
        None if address.contains("://") => address.to_owned(),
        None => format!("docs/reference/{address}"),
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;
    use crate::api::names::{CheckName, EventReason, Reason};

    #[test]
    fn every_name_has_an_entry() {
        let names = Reason::iter().map(|name| (ReferenceTopic::Reason, name.to_string()));
        let names = names.chain(CheckName::iter().map(|name| (ReferenceTopic::Check, name.to_string())));
        let names = names.chain(EventReason::iter().map(|name| (ReferenceTopic::Event, name.to_string())));
        for (topic, name) in names {
            let entries = ReferenceEntry::named(&name);
            let entry = entries.iter().find(|entry| entry.topic == topic);
            let entry = entry.unwrap_or_else(|| panic!("{topic:?} {name} has no entry"));
            assert!(entry.meaning.ends_with('.') && !entry.remedy.is_empty(), "{entry:?}");
            assert!(!entry.remedy.contains("]("), "{entry:?}");
        }
    }

    #[test]
    fn names_are_found_as_people_write_them() {
        for (name, count) in [
            ("holdinglastverified", 2),
            ("TestUser/0", 1),
            ("testuser", 1),
            ("Sample/ci", 1),
            ("Bind", 1),
            ("Bind/0", 0),
            ("Nonsense", 0),
        ] {
            assert_eq!(ReferenceEntry::named(name).len(), count, "{name}");
        }
    }

    #[test]
    fn links_become_paths() {
        for (cell, expected) in [
            (
                "See [Who decides](../concepts/precedence.md#older).",
                "See Who decides (docs/concepts/precedence.md).",
            ),
            (
                "`a[0]`, and [x](reasons.md), [z](https://example.com)",
                "`a[0]`, and x (docs/reference/reasons.md), z (https://example.com)",
            ),
            ("`DIR\\|FILE`", "`DIR|FILE`"),
        ] {
            assert_eq!(plain(cell), expected);
        }
    }
}
