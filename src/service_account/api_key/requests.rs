//! What a person asks for by an annotation, which acts once for each new value: a new key now, or the end of the
//! running overlap. Pure.
//!
//! Which values were handled is recorded with the published key, in the same write. So a run that is cut short leaves
//! the request open for the next one, and none is handled twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::{REVOKE_PREVIOUS_ANNOTATION, ROTATE_ANNOTATION, service_account::ServiceAccountDetails};

/// How many characters of a value count. The rest of a longer one is ignored.
const VALUE_LIMIT: usize = 256;

/// One value for each of the two requests: what the annotations ask for, or what was handled last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRequests {
    /// The value that asks for a new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<String>,
    /// The value that asks to revoke the replaced keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_previous: Option<String>,
}

impl KeyRequests {
    /// What the annotations of a resource ask for.
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let value = |name| Some(annotations.get(name)?.chars().take(VALUE_LIMIT).collect());
        Self { rotate: value(ROTATE_ANNOTATION), revoke_previous: value(REVOKE_PREVIOUS_ANNOTATION) }
    }

    /// The requests that were handled last, as far as the status says.
    pub fn handled(details: &ServiceAccountDetails) -> Self {
        Self {
            rotate: details.last_handled_rotate.clone(),
            revoke_previous: details.last_handled_revoke_previous.clone(),
        }
    }

    /// The requests among these that were not handled yet.
    pub fn open(&self, handled: &Self) -> Self {
        self.those(handled, |asked, handled| asked != handled)
    }

    /// The requests among these that were handled.
    pub fn among(&self, handled: &Self) -> Self {
        self.those(handled, |asked, handled| asked == handled)
    }

    fn those(&self, handled: &Self, are_meant: fn(&Option<String>, &Option<String>) -> bool) -> Self {
        let meant = |asked: &Option<String>, handled| asked.clone().filter(|_| are_meant(asked, handled));
        Self {
            rotate: meant(&self.rotate, &handled.rotate),
            revoke_previous: meant(&self.revoke_previous, &handled.revoke_previous),
        }
    }

    /// Each request, as one text.
    pub fn described(self) -> Vec<String> {
        let rotate = self.rotate.map(|value| format!("{ROTATE_ANNOTATION}={value}"));
        let revoke = self.revoke_previous.map(|value| format!("{REVOKE_PREVIOUS_ANNOTATION}={value}"));
        rotate.into_iter().chain(revoke).collect()
    }

    /// Whether nothing is asked for, or nothing was handled.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These requests, or the others where these ask for nothing.
    pub fn or(self, others: &Self) -> Self {
        Self {
            rotate: self.rotate.or_else(|| others.rotate.clone()),
            revoke_previous: self.revoke_previous.or_else(|| others.revoke_previous.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(rotate: Option<&str>, revoke_previous: Option<&str>) -> KeyRequests {
        KeyRequests { rotate: rotate.map(str::to_owned), revoke_previous: revoke_previous.map(str::to_owned) }
    }

    #[test]
    fn a_new_value_is_open_until_it_is_handled() {
        for (asked, handled, open) in [
            (requests(None, None), requests(None, None), requests(None, None)),
            (requests(Some("1"), None), requests(None, None), requests(Some("1"), None)),
            (requests(Some("1"), None), requests(Some("1"), None), requests(None, None)),
            (requests(Some("2"), Some("1")), requests(Some("1"), Some("1")), requests(Some("2"), None)),
            (requests(Some("1"), Some("2")), requests(Some("1"), Some("1")), requests(None, Some("2"))),
            // Somebody removed the annotation.
            (requests(None, None), requests(Some("1"), Some("1")), requests(None, None)),
            // An annotation without text is a value, too.
            (requests(Some(""), None), requests(Some("1"), None), requests(Some(""), None)),
        ] {
            assert_eq!(asked.open(&handled), open, "{asked:?} {handled:?}");
            assert_eq!(open.or(&asked.among(&handled)), asked, "each request is either open or handled");
        }
    }

    #[test]
    fn a_long_value_counts_by_its_beginning() {
        let asked = |value: String| KeyRequests::of(&BTreeMap::from([(ROTATE_ANNOTATION.to_owned(), value)]));
        let long = asked("ä".repeat(300));
        assert_eq!(long.rotate.as_ref().map(|value| value.chars().count()), Some(VALUE_LIMIT));
        assert!(asked("ä".repeat(400)).open(&long).is_empty());
    }
}
