//! What is written down with a published key, and which key is the current one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use crate::{
    api::InstanceSpec,
    engine::Values,
    instance::{ApiKey, BaseUrl},
    service_account::{
        render::{API_KEY, BASE_URL},
        settings::AccountSettings,
    },
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
    /// The keys before, while they may still be in use: one, unless somebody restored an older Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Previous>,
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

/// A record as it is written: with the place where its key is one.
#[derive(Deserialize, Serialize)]
struct WrittenRecord {
    #[serde(flatten)]
    record: Record,
    /// The server, as [`BaseUrl::root`] spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The account's user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

impl Record {
    /// The record as it is written for the key of this account; equal records are equal texts.
    pub fn write(self, account: &AccountSettings) -> String {
        let server = Some(account.base_url.root().to_owned());
        let written = WrittenRecord { record: self, server, account: Some(account.account_name.clone()) };
        // A record has nothing that JSON cannot hold.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

impl WrittenRecord {
    fn read(values: &Values) -> Option<Self> {
        serde_json::from_str(values.record()?).ok()
    }

    fn is_of(&self, values: &Values, account: &AccountSettings) -> bool {
        let server = self.server.clone().or_else(|| Some(server(values)?.root().to_owned()));
        let is_same_account = self.account.as_ref().is_none_or(|name| *name == account.account_name);
        is_same_account && server.as_deref() == Some(account.base_url.root())
    }
}

/// The server that published values are for.
pub fn server(values: &Values) -> Option<BaseUrl> {
    let base_url = values.get(BASE_URL.names().next()?)?.expose().to_owned();
    BaseUrl::parse(&InstanceSpec { base_url, insecure_plaintext: true }).ok()
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
    /// What published values hold, if that is a key with a readable record, of whichever account.
    pub fn read(values: &Values) -> Option<Self> {
        let WrittenRecord { record, .. } = WrittenRecord::read(values)?;
        let key = API_KEY.names().next().and_then(|name| ApiKey::parse(values.get(name)?).ok())?;
        Some(Self { key, record })
    }

    /// The same, if it is this account's: no other server may see the key, nor is its record of any use there.
    pub fn read_of(values: &Values, account: &AccountSettings) -> Option<Self> {
        WrittenRecord::read(values).filter(|written| written.is_of(values, account))?;
        Self::read(values)
    }

    /// The key that is in use, of what the Secret holds and what this process saw pass last.
    ///
    /// The Secret decides, since another process may have replaced the key. Only where exactly one of
    /// key and record is as this process knows them, somebody edited the Secret.
    pub fn choose(published: Option<Self>, last_verified: Option<Self>) -> Option<Self> {
        match (published, last_verified) {
            (Some(published), Some(last)) if published.key == last.key || published.record == last.record => {
                Some(last)
            }
            (Some(published), _) => Some(published),
            (None, last) => last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_account::settings::{ServiceAccountSettings, tests::object};

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
            r#"{"rotation":2,"keyID":"b","since":"2026-01-01T00:00:00Z","previous":[{"keyID":"a","until":"2026-01-02T00:00:00Z"}],"leftover":"Bootstrap"}"#.to_owned(),
        ] {
            let account = account("https://wandb.example.com", "ci");
            let read = Current::read_of(&values("a", &text), &account);
            assert!(read.is_none(), "nothing says whose it is");
            let record = Current::read(&values("a", &text)).unwrap().record.write(&account);
            let place = r#","server":"https://wandb.example.com","account":"ci"}"#;
            assert_eq!(record, format!("{}{place}", text.strip_suffix('}').unwrap()));
        }
        assert!(Current::read(&values("a", "rotation: 1")).is_none());
    }

    fn account(base_url: &str, name: &str) -> AccountSettings {
        let changes = serde_json::json!({ "instance": { "baseURL": base_url }, "accountName": name });
        ServiceAccountSettings::parse(&object(&changes)).ok().unwrap().account
    }

    #[test]
    fn a_key_is_one_servers_and_accounts() {
        let at_home = account("https://wandb.example.com", "ci");
        let record = Record::default().write(&at_home);
        for (base_url, name, expected) in [
            ("https://wandb.example.com", "ci", true),
            ("https://WANDB.example.com:443/", "ci", true),
            ("https://other.example.com", "ci", false),
            ("https://wandb.example.com", "other", false),
        ] {
            let account = account(base_url, name);
            assert_eq!(Current::read_of(&values("a", &record), &account).is_some(), expected, "{base_url}");
            // A record without a place goes by the published server.
            let mut values = values("a", r#"{"rotation":0}"#);
            values.set(BASE_URL, "https://wandb.example.com/");
            let is_there = base_url != "https://other.example.com";
            assert_eq!(Current::read_of(&values, &account).is_some(), is_there);
        }
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
            let current = Current::choose(
                published.as_ref().and_then(Current::read),
                last_verified.as_ref().and_then(Current::read),
            );
            let shown = current.map(|current| {
                let key = current.key.sensitive().expose().trim_end_matches('0').to_owned();
                format!("{key}{}", current.record.rotation)
            });
            assert_eq!(shown.unwrap_or_default(), expected);
        }
    }
}
