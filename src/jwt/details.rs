//! What the status tells of the keys, and when a change of them is news.

use std::collections::BTreeSet;

use crate::{
    api::{jwt_issuer::JwtIssuerDetails, names::EventReason},
    engine::{Notice, Tone},
    problem::enumerate,
};

/// The most bytes of an action that an event takes.
const ACTION_LIMIT: usize = 128;

/// Which keys appeared and vanished, except when they are the first ones.
pub(super) fn news(previous: &JwtIssuerDetails, current: &JwtIssuerDetails) -> Option<Notice> {
    let kids = |details: &JwtIssuerDetails| -> BTreeSet<String> {
        details.keys.iter().map(|key| key.kid.clone()).collect()
    };
    let (before, now) = (kids(previous), kids(current));
    if before.is_empty() || before == now {
        return None;
    }
    let told =
        |kids: Vec<&String>, what: &str| (!kids.is_empty()).then(|| format!("{what} {}", enumerate(kids)));
    let changes: Vec<_> =
        [told(now.difference(&before).collect(), "new:"), told(before.difference(&now).collect(), "gone:")]
            .into_iter()
            .flatten()
            .collect();
    let changes = changes.join("; ");
    Some(Notice {
        tone: Tone::Normal,
        reason: EventReason::KeysChanged,
        action: changes.chars().filter(char::is_ascii).take(ACTION_LIMIT).collect(),
        note: format!("The issuer publishes other keys than before ({changes})."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::jwt_issuer::KeyStatus;

    fn details(kids: &[&str]) -> JwtIssuerDetails {
        let key =
            |kid: &&str| KeyStatus { kid: (*kid).to_owned(), algorithm: "RS256".to_owned(), bits: 2048 };
        JwtIssuerDetails { keys: kids.iter().map(key).collect() }
    }

    #[test]
    fn tells_what_appeared_and_vanished() {
        let note =
            |before: &[&str], now: &[&str]| news(&details(before), &details(now)).map(|notice| notice.action);
        assert_eq!(note(&[], &["a"]), None);
        assert_eq!(note(&["a", "b"], &["b", "a"]), None);
        assert_eq!(note(&["a"], &["a", "b"]).unwrap(), "new: b");
        assert_eq!(note(&["a", "b"], &["b"]).unwrap(), "gone: a");
        assert_eq!(note(&["a"], &["b", "c"]).unwrap(), "new: b, c; gone: a");
        assert_eq!(note(&["a"], &["x".repeat(200).as_str()]).unwrap().len(), ACTION_LIMIT);
    }
}
