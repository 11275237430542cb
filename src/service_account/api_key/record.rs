//! What is written down with a published key, and which key is the current one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Env, Values},
    instance::ApiKey,
    service_account::render::API_KEY,
};

/// What a later run must know of a published key and cannot ask anybody. Nothing in it is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// How many keys were generated before this one came into use.
    pub rotation: u32,
    /// W&B's identifier of a generated key; none for the key that a person copied.
    #[serde(default, rename = "keyID", skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When the server accepted it first, in whole seconds; nothing where it did not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The key before, while it may still be in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The key that a person copied was replaced, and which of the account's keys it is could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leftover: Option<Leftover>,
}

/// A key that was replaced and is still valid.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Previous {
    /// W&B's identifier.
    #[serde(rename = "keyID")]
    pub key_id: String,
    /// When it is to be revoked.
    pub until: Time,
}

/// A key that stays valid until a person finds and deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Leftover {
    /// The key that a person copied.
    Bootstrap,
}

impl Record {
    fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The record as it is written; equal records are equal texts.
    pub fn write(&self) -> String {
        // A record has nothing that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A key with its record.
#[derive(Clone, PartialEq)]
pub struct Current {
    /// The key.
    pub key: ApiKey,
    /// What is known of it.
    pub record: Record,
}

impl Current {
    /// What published values hold, if that is a key with a readable record.
    pub fn read(values: &Values) -> Option<Self> {
        let record = Record::read(values.record()?)?;
        let key = name_of(API_KEY).and_then(|name| ApiKey::parse(values.get(name)?).ok())?;
        Some(Self { key, record })
    }

    /// The key that is in use, of what the Secret holds and what this process saw pass last.
    ///
    /// The Secret decides, since another process may have replaced the key. Only where exactly one of
    /// key and record is as this process knows them, somebody edited the Secret.
    pub fn choose(published: Option<&Values>, last_verified: Option<&Values>) -> Option<Self> {
        match (published.and_then(Self::read), last_verified.and_then(Self::read)) {
            (Some(published), Some(last)) if published.key == last.key || published.record == last.record => {
                Some(last)
            }
            (Some(published), _) => Some(published),
            (None, last) => last,
        }
    }
}

fn name_of(env: Env) -> Option<&'static str> {
    env.names().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(key: &str, record: &str) -> Values {
        let mut values = Values::default();
        values.set(API_KEY, format!("{key}{}", "0".repeat(40)));
        values.set_record(record);
        values
    }

    fn generated(rotation: u32) -> String {
        format!(r#"{{"rotation":{rotation},"keyID":"ApiKey-{rotation}","since":"2026-01-01T00:00:00Z"}}"#)
    }

    #[test]
    fn is_written_as_it_was_read() {
        for text in [
            r#"{"rotation":0}"#.to_owned(),
            generated(7),
            r#"{"rotation":2,"keyID":"b","since":"2026-01-01T00:00:00Z","previous":{"keyID":"a","until":"2026-01-02T00:00:00Z"},"leftover":"Bootstrap"}"#.to_owned(),
        ] {
            assert_eq!(Record::read(&text).unwrap().write(), text);
        }
        assert_eq!(Record::read("rotation: 1"), None);
    }

    #[test]
    fn the_secret_decides_unless_somebody_edited_it() {
        let (one, two) = (generated(1), generated(2));
        for (published, last_verified, expected) in [
            (Some(values("a", &one)), None, "a1"),
            (Some(values("b", &two)), Some(values("a", &one)), "b2"),
            (Some(values("a", &one)), Some(values("b", &two)), "a1"),
            // The key or the record was edited.
            (Some(values("x", &one)), Some(values("a", &one)), "a1"),
            (Some(values("a", &two)), Some(values("a", &one)), "a1"),
            (Some(values("", "?")), Some(values("a", &one)), "a1"),
            (None, Some(values("a", &one)), "a1"),
            (Some(values("a", "?")), None, ""),
        ] {
            let current = Current::choose(published.as_ref(), last_verified.as_ref());
            let shown = current.map(|current| {
                let key = current.key.sensitive().expose().trim_end_matches('0').to_owned();
                format!("{key}{}", current.record.rotation)
            });
            assert_eq!(shown.unwrap_or_default(), expected);
        }
    }
}
