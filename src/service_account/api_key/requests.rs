//! What a person asks for by an annotation, which acts once for each new value: a new key now, or the end of the
//! running overlap. Pure.
//!
//! Which values were handled is recorded with the published key, in the same write. So a run that is cut short leaves
//! the request open for the next one, and none is handled twice. A value that comes back is no new one: Argo CD and Flux
//! bring an earlier value back when somebody reverts a commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    api::{REVOKE_PREVIOUS_ANNOTATION, ROTATE_ANNOTATION, service_account::ServiceAccountDetails},
    engine::digest_of,
};

/// How many characters of a value count. The rest of a longer one is ignored.
const VALUE_LIMIT: usize = 256;

/// How many handled values of an annotation are remembered beside the last one. A value that came before all of them
/// counts as a new one.
const REMEMBERED: usize = 16;

/// What the annotations ask for: one value for each of the two requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRequests {
    /// The value that asks for a new key.
    pub rotate: Option<String>,
    /// The value that asks to revoke the replaced keys.
    pub revoke_previous: Option<String>,
}

impl KeyRequests {
    /// What the annotations of a resource ask for.
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let value = |name| Some(annotations.get(name)?.chars().take(VALUE_LIMIT).collect());
        Self { rotate: value(ROTATE_ANNOTATION), revoke_previous: value(REVOKE_PREVIOUS_ANNOTATION) }
    }

    /// The requests among these that were not handled yet.
    pub fn open(&self, handled: &HandledRequests) -> Self {
        self.those(handled, |value, handled| !handled.contains(value))
    }

    /// The requests among these whose values were handled before others were, and so ask for nothing.
    pub fn repeated(&self, handled: &HandledRequests) -> Self {
        self.those(handled, |value, handled| {
            handled.contains(value) && handled.last.as_deref() != Some(value)
        })
    }

    fn those(&self, handled: &HandledRequests, are_meant: fn(&str, &HandledValues) -> bool) -> Self {
        let meant = |asked: &Option<String>, handled| asked.clone().filter(|value| are_meant(value, handled));
        Self {
            rotate: meant(&self.rotate, &handled.rotate),
            revoke_previous: meant(&self.revoke_previous, &handled.revoke_previous),
        }
    }

    /// Each request, as one text.
    pub fn described(self) -> impl Iterator<Item = String> {
        let rotate = self.rotate.map(|value| format!("{ROTATE_ANNOTATION}={value}"));
        let revoke = self.revoke_previous.map(|value| format!("{REVOKE_PREVIOUS_ANNOTATION}={value}"));
        rotate.into_iter().chain(revoke)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which values of the two annotations were handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "WrittenRequests", into = "WrittenRequests")]
pub struct HandledRequests {
    /// The values that asked for a new key.
    pub rotate: HandledValues,
    /// The values that asked to revoke the replaced keys.
    pub revoke_previous: HandledValues,
}

impl HandledRequests {
    /// What was handled, as far as the status says.
    pub fn of_status(details: &ServiceAccountDetails) -> Self {
        let rotate = (&details.last_handled_rotate, &details.earlier_rotate_digests);
        let revoke = (&details.last_handled_revoke_previous, &details.earlier_revoke_previous_digests);
        let values = |(last, earlier): (&Option<String>, &Vec<String>)| HandledValues {
            last: last.clone(),
            earlier: earlier.clone(),
        };
        Self { rotate: values(rotate), revoke_previous: values(revoke) }
    }

    /// The same after these requests were handled, too.
    #[must_use]
    pub fn with(self, requests: KeyRequests) -> Self {
        Self {
            rotate: self.rotate.with(requests.rotate),
            revoke_previous: self.revoke_previous.with(requests.revoke_previous),
        }
    }

    /// The same with what another place says was handled. The status knows more than the Secret if somebody restored an
    /// older one, and less if a run was cut short between both. Where both differ in the last value, the one that is
    /// asked for counts.
    #[must_use]
    pub fn and(self, others: &Self, asked: &KeyRequests) -> Self {
        Self {
            rotate: self.rotate.and(&others.rotate, asked.rotate.as_ref()),
            revoke_previous: self
                .revoke_previous
                .and(&others.revoke_previous, asked.revoke_previous.as_ref()),
        }
    }
}

/// The values of one annotation that were handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandledValues {
    /// The last one.
    pub last: Option<String>,
    /// The digests of those before it, the oldest one first.
    pub earlier: Vec<String>,
}

impl HandledValues {
    fn contains(&self, value: &str) -> bool {
        self.last.as_deref() == Some(value) || self.earlier.contains(&digest_of(value))
    }

    fn with(self, value: Option<String>) -> Self {
        if value.is_none() || value == self.last {
            return self;
        }
        Self::new(value, self.digests().collect())
    }

    fn and(self, others: &Self, asked: Option<&String>) -> Self {
        let own: Vec<_> = self.digests().collect();
        let earlier = others.digests().filter(|digest| !own.contains(digest)).chain(own.iter().cloned());
        let last =
            if asked.is_some() && asked == others.last.as_ref() { asked.cloned() } else { self.last.clone() };
        Self::new(last, earlier.collect())
    }

    fn new(last: Option<String>, mut earlier: Vec<String>) -> Self {
        let digest = last.as_deref().map(digest_of);
        earlier.retain(|each| Some(each) != digest.as_ref());
        earlier.drain(..earlier.len().saturating_sub(REMEMBERED));
        Self { last, earlier }
    }

    /// The digest of every value, the oldest one first.
    fn digests(&self) -> impl Iterator<Item = String> {
        self.earlier.iter().cloned().chain(self.last.as_deref().map(digest_of))
    }
}

/// Handled requests as they are stored. Earlier versions of the operator stored the last values alone.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenRequests {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoke_previous: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier_rotate_digests: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier_revoke_previous_digests: Vec<String>,
}

impl From<WrittenRequests> for HandledRequests {
    fn from(written: WrittenRequests) -> Self {
        Self {
            rotate: HandledValues { last: written.rotate, earlier: written.earlier_rotate_digests },
            revoke_previous: HandledValues {
                last: written.revoke_previous,
                earlier: written.earlier_revoke_previous_digests,
            },
        }
    }
}

impl From<HandledRequests> for WrittenRequests {
    fn from(HandledRequests { rotate, revoke_previous }: HandledRequests) -> Self {
        Self {
            rotate: rotate.last,
            revoke_previous: revoke_previous.last,
            earlier_rotate_digests: rotate.earlier,
            earlier_revoke_previous_digests: revoke_previous.earlier,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(rotate: Option<&str>, revoke_previous: Option<&str>) -> KeyRequests {
        KeyRequests { rotate: rotate.map(str::to_owned), revoke_previous: revoke_previous.map(str::to_owned) }
    }

    fn handled(requests: KeyRequests) -> HandledRequests {
        HandledRequests::default().with(requests)
    }

    #[test]
    fn a_new_value_is_open_until_it_is_handled() {
        for (asked, before, open) in [
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
            let before = handled(before);
            assert_eq!(asked.open(&before), open, "{asked:?} {before:?}");
            assert!(asked.open(&before.with(open)).is_empty(), "{asked:?} is handled once");
        }
    }

    #[test]
    fn a_value_that_comes_back_asks_for_nothing() {
        let asked = |number: usize| requests(Some(&number.to_string()), None);
        let mut seen = HandledRequests::default();
        for number in 0..=REMEMBERED {
            assert_eq!(asked(number).open(&seen), asked(number));
            seen = seen.with(asked(number));
            for earlier in 0..number {
                assert!(asked(earlier).open(&seen).is_empty(), "{earlier} after {number}");
                assert_eq!(asked(earlier).repeated(&seen), asked(earlier));
            }
            assert!(
                asked(number).repeated(&seen).is_empty(),
                "it is the last one, and nobody has to be told"
            );
        }
        assert_eq!(seen.rotate.earlier.len(), REMEMBERED);
        // The list is bounded, and the oldest value goes first.
        let later = seen.with(asked(REMEMBERED + 1));
        assert_eq!(later.rotate.earlier.len(), REMEMBERED);
        assert_eq!(asked(0).open(&later), asked(0));
        assert!(asked(1).open(&later).is_empty());
    }

    #[test]
    fn the_secret_and_the_status_know_together_what_was_handled() {
        let one = handled(requests(Some("1"), None));
        let two = one.clone().with(requests(Some("2"), Some("x")));
        let everything = [requests(Some("1"), Some("x")), requests(Some("2"), None)];
        for asked in ["1", "2", "3"] {
            let asked = requests(Some(asked), None);
            // The status is behind, somebody restored an older Secret, or both are the same.
            for (secret, status) in
                [(&two, &one), (&one, &two), (&two, &two), (&two, &handled(requests(None, None)))]
            {
                let known = secret.clone().and(status, &asked);
                assert!(everything.iter().all(|each| each.open(&known).is_empty()), "{secret:?} {status:?}");
                assert_eq!(known.clone().and(status, &asked), known, "the status takes it over");
                assert_eq!(known.clone().and(&known, &asked), known);
            }
        }
    }

    #[test]
    fn what_an_earlier_version_stored_is_read() {
        let stored = r#"{"rotate":"1","revokePrevious":"2"}"#;
        let read: HandledRequests = serde_json::from_str(stored).unwrap();
        assert_eq!(read, handled(requests(Some("1"), Some("2"))));
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
        let next = read.with(requests(Some("3"), None));
        let again = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        assert_eq!(next, again);
        assert!(requests(Some("1"), None).open(&again).is_empty());
    }

    #[test]
    fn a_long_value_counts_by_its_beginning() {
        let asked = |value: String| KeyRequests::of(&BTreeMap::from([(ROTATE_ANNOTATION.to_owned(), value)]));
        let long = asked("ä".repeat(300));
        assert_eq!(long.rotate.as_ref().map(|value| value.chars().count()), Some(VALUE_LIMIT));
        assert!(asked("ä".repeat(400)).open(&handled(long)).is_empty());
    }
}
