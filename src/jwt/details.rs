//! The keys in the status, and the event when they change.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{
        jwt_issuer::{JwtIssuerDetails, KeyStatus},
        names::EventReason,
    },
    engine::{EventDraft, EventType},
    problem::enumerate,
};

/// The maximum length of an event's action, in bytes.
const ACTION_LIMIT: usize = 128;

/// The event that keys appeared, changed or vanished since the last fetch, if any did.
pub(super) fn events(previous: &JwtIssuerDetails, current: &JwtIssuerDetails) -> Option<EventDraft> {
    let (before, now) = (by_kid(previous.keys.as_ref()?), by_kid(current.keys.as_ref()?));
    let is_changed = |kid: &str| match (before.get(kid), now.get(kid)) {
        (Some(before), Some(now)) => differ(before, now),
        _ => false,
    };
    let missing_in = |one: &Keys<'_>, other: &Keys<'_>| -> Vec<String> {
        one.keys().filter(|kid| !other.contains_key(*kid)).map(|kid| (*kid).to_owned()).collect()
    };
    let replaced: Vec<_> = now.keys().filter(|kid| is_changed(kid)).map(|kid| (*kid).to_owned()).collect();
    let listed =
        |kids: Vec<String>, what: &str| (!kids.is_empty()).then(|| format!("{what} {}", enumerate(kids)));
    let changes: Vec<_> = [
        listed(missing_in(&now, &before), "new:"),
        listed(replaced, "changed:"),
        listed(missing_in(&before, &now), "gone:"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if changes.is_empty() {
        return None;
    }
    let changes = changes.join("; ");
    Some(EventDraft {
        tone: EventType::Normal,
        reason: EventReason::KeysChanged,
        action: changes.chars().filter(char::is_ascii).take(ACTION_LIMIT).collect(),
        note: format!("The issuer publishes other keys than before ({changes})."),
    })
}

/// The thumbprints of the keys for each identifier. `None` stands for an unknown thumbprint.
type Keys<'a> = BTreeMap<&'a str, BTreeSet<Option<&'a str>>>;

fn by_kid(keys: &[KeyStatus]) -> Keys<'_> {
    let mut sorted = Keys::new();
    for key in keys {
        sorted.entry(key.kid.as_str()).or_default().insert(key.thumbprint.as_deref());
    }
    sorted
}

/// Whether the keys differ. That is unknown for a status of an earlier version, which has no thumbprints.
fn differ(before: &BTreeSet<Option<&str>>, now: &BTreeSet<Option<&str>>) -> bool {
    before != now && !before.contains(&None) && !now.contains(&None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(keys: &[(&str, Option<&str>)]) -> JwtIssuerDetails {
        let key = |(kid, thumbprint): &(&str, Option<&str>)| KeyStatus {
            kid: (*kid).to_owned(),
            algorithm: "RS256".to_owned(),
            bits: 2048,
            thumbprint: thumbprint.map(str::to_owned),
        };
        JwtIssuerDetails { keys: Some(keys.iter().map(key).collect()) }
    }

    #[test]
    fn tells_what_appeared_and_vanished() {
        let details = |kids: &[&str]| details(&kids.iter().map(|kid| (*kid, None)).collect::<Vec<_>>());
        let note =
            |before: &[&str], now: &[&str]| events(&details(before), &details(now)).map(|event| event.action);
        assert_eq!(events(&JwtIssuerDetails::default(), &details(&["a"])), None, "the first ones");
        assert_eq!(note(&[], &["a"]).unwrap(), "new: a");
        assert_eq!(note(&["a", "b"], &["b", "a"]), None);
        assert_eq!(note(&["a"], &["a", "b"]).unwrap(), "new: b");
        assert_eq!(note(&["a", "b"], &["b"]).unwrap(), "gone: a");
        assert_eq!(note(&["a"], &[]).unwrap(), "gone: a");
        assert_eq!(note(&["a"], &["b", "c"]).unwrap(), "new: b, c; gone: a");
        assert_eq!(note(&["a"], &["x".repeat(200).as_str()]).unwrap().len(), ACTION_LIMIT);
    }

    #[test]
    fn tells_a_key_that_changed_under_its_identifier() {
        let note = |before: Option<&str>, now: Option<&str>| {
            events(&details(&[("a", before)]), &details(&[("a", now)])).map(|event| event.action)
        };
        assert_eq!(note(Some("1"), Some("2")).unwrap(), "changed: a");
        assert_eq!(note(Some("1"), Some("1")), None);
        // An earlier version of the operator wrote no thumbprints.
        assert_eq!(note(None, Some("1")), None);
    }
}
