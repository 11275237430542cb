//! Interprets the keys that the server lists for the account: who made them, and which of them is a given key.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    instance::{ApiKey, ListedKey},
    sensitive::Sensitive,
};

/// A key of the account, as the server lists it.
#[derive(Clone)]
pub struct RemoteKey {
    /// W&B's identifier of the key.
    pub id: String,
    /// The beginning of the key, or all of it.
    pub beginning: Option<Sensitive>,
    /// Who made the key.
    pub origin: KeyOrigin,
    /// When the key was made, if the operator made it.
    pub made: Option<Timestamp>,
}

/// Who made a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The operator made it for this resource.
    Ourselves,
    /// Somebody else made it.
    Others,
}

impl RemoteKey {
    /// Interprets a listed key for the resource with this UID.
    pub fn new(listed: &ListedKey, uid: &str) -> Self {
        let description = listed.description.as_deref().unwrap_or_default();
        let made = made_for(description, uid);
        let origin = if made.is_some() { KeyOrigin::Ourselves } else { KeyOrigin::Others };
        Self { id: listed.id.clone(), beginning: listed.name.as_ref().and_then(beginning), origin, made }
    }

    /// Whether another process may have generated the key just now and be about to publish it. The difference of
    /// times counts in both directions, so that a clock that is far ahead does not protect a key for ever.
    pub fn is_young(&self, now: Timestamp, patience: Duration) -> bool {
        self.made.is_some_and(|made| made.duration_since(now).unsigned_abs() < patience)
    }

    /// Whether this may be the given key, judged by its beginning.
    pub fn may_be(&self, key: &ApiKey) -> bool {
        let text = key.sensitive().expose();
        self.beginning.as_ref().is_none_or(|beginning| text.starts_with(beginning.expose()))
    }
}

/// The visible beginning of a key, without the characters that stand for the hidden rest.
fn beginning(name: &Sensitive) -> Option<Sensitive> {
    let beginning = name.expose().trim_end_matches(['*', '.', '…']);
    (!beginning.is_empty()).then(|| beginning.into())
}

/// The first word in the description of each generated key. The UID of the resource follows it.
pub const MARK: &str = "wandb-auth-operator";

/// The description of a generated key. By it, a later run finds a key that an interrupted run left behind.
pub fn describe(uid: &str, rotation: u32, now: Timestamp) -> String {
    format!("{MARK} {uid} rotation {rotation} {}", now.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

/// When the key with this description was generated, or `None` if it was not generated for this resource.
fn made_for(description: &str, uid: &str) -> Option<Timestamp> {
    let words: Vec<_> = description.split(' ').collect();
    let [MARK, of, "rotation", number, time] = words.as_slice() else { return None };
    let is_ours = !uid.is_empty() && *of == uid && number.parse::<u32>().is_ok();
    time.parse().ok().filter(|_| is_ours)
}

/// How many characters must differ to tell one key from another.
const DISTINCT: usize = 4;

/// The identifier of a key that a person copied, or `None` if it is not certain.
pub fn identify<'a>(key: &ApiKey, listed: &'a [RemoteKey]) -> Option<&'a str> {
    let is_it = |candidate: &&RemoteKey| {
        let others = listed.iter().filter(|other| other.id != candidate.id);
        begins_alone(key, candidate, others)
    };
    if let Some(found) = only(listed.iter().filter(is_it)) {
        return Some(&found.id);
    }
    // The person may have copied a key that the operator had generated, or restored it.
    if listed.iter().any(|listed| listed.origin == KeyOrigin::Ourselves && listed.may_be(key)) {
        return None;
    }
    let others = listed.iter().filter(|listed| listed.origin == KeyOrigin::Others);
    only(others).filter(|found| found.may_be(key)).map(|found| found.id.as_str())
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

/// Whether the candidate matches the key for at least [`DISTINCT`] characters more than any other listed key.
fn begins_alone<'a>(
    key: &ApiKey,
    candidate: &RemoteKey,
    others: impl Iterator<Item = &'a RemoteKey>,
) -> bool {
    let text = key.sensitive().expose();
    let Some(beginning) = candidate.beginning.as_ref().map(Sensitive::expose) else { return false };
    if beginning == text {
        return true;
    }
    let prefix = text.split_once('-').map_or(0, |(prefix, _)| prefix.len() + 1);
    let shared = others
        .filter_map(|other| other.beginning.as_ref())
        .map(|other| shared_length(other.expose(), text))
        .fold(prefix, usize::max);
    text.starts_with(beginning) && beginning.len() >= shared + DISTINCT
}

fn shared_length(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "local-0123456789abcdef0123456789abcdef01234567";

    fn listed(id: &str, beginning: Option<&str>, origin: KeyOrigin) -> RemoteKey {
        RemoteKey { id: id.to_owned(), beginning: beginning.map(Into::into), origin, made: None }
    }

    #[test]
    fn knows_its_own_descriptions() {
        let made = describe("uid-1", 3, "2026-01-02T03:04:05.678Z".parse().unwrap());
        assert_eq!(made, "wandb-auth-operator uid-1 rotation 3 2026-01-02T03:04:05Z");
        assert_eq!(made_for(&made, "uid-1"), "2026-01-02T03:04:05Z".parse().ok());
        for (description, uid) in [
            (made.as_str(), "uid-2"),
            (made.as_str(), ""),
            ("wandb-auth-operator uid-1 rotation x 2026-01-02T03:04:05Z", "uid-1"),
            ("wandb-auth-operator uid-1 rotation 3", "uid-1"),
            ("wandb-auth-operator uid-1 rotation 3 2026-01-02T03:04:05Z or so", "uid-1"),
            ("my key", "uid-1"),
            ("", "uid-1"),
        ] {
            assert_eq!(made_for(description, uid), None, "{description}");
        }
    }

    #[test]
    fn identifies_a_key_only_where_that_is_certain() {
        use KeyOrigin::{Others, Ourselves};
        let key = ApiKey::parse(&KEY.into()).ok().unwrap();
        for (keys, expected) in [
            // The server shows the whole key, or enough of it.
            (vec![listed("a", Some(KEY), Others), listed("b", Some("local-0123"), Others)], Some("a")),
            (
                vec![listed("a", Some("local-012345"), Others), listed("b", Some("local-998"), Others)],
                Some("a"),
            ),
            // A person copied a key that the operator had generated.
            (
                vec![listed("a", Some("local-012345"), Ourselves), listed("b", Some("local-99"), Others)],
                Some("a"),
            ),
            // This is the only key that a person can have copied.
            (vec![listed("a", Some("local-"), Others), listed("b", Some("local-99"), Ourselves)], Some("a")),
            // The key could also be one that the operator generated.
            (vec![listed("a", Some("local-"), Others), listed("b", Some("local-"), Ourselves)], None),
            (vec![listed("a", None, Others), listed("b", None, Ourselves)], None),
            (vec![listed("a", None, Others)], Some("a")),
            // The server shows too little of the key, or as much of another one.
            (vec![listed("a", Some("local-012"), Others), listed("b", Some("local-998"), Others)], None),
            (vec![listed("a", Some("local-01234"), Others), listed("b", Some("local-01239"), Others)], None),
            (vec![listed("a", None, Others), listed("b", None, Others)], None),
            // The list has only another key.
            (vec![listed("a", Some("local-998877"), Others)], None),
            (vec![], None),
        ] {
            assert_eq!(identify(&key, &keys), expected);
        }
    }
}
