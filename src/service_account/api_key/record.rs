//! What is stored in the Secret along with a published key, and which key is the current one.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::requests::{HandledRequests, KeyRequests};
use crate::{
    api::{InstanceSpec, service_account::PreviousKey},
    engine::Values,
    instance::{ApiKey, BaseUrl},
    service_account::{
        account::AccountSettings,
        render::{API_KEY, BASE_URL},
    },
};

/// What a later run must know about a published key and can learn nowhere else. It contains nothing secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// How many keys had been generated when this one came into use.
    pub rotation: u32,
    /// W&B's identifier of a generated key; `None` for the key that a person copied.
    #[serde(default, rename = "keyID", skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When the server first accepted the key, in whole seconds; `None` if it has not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The replaced keys whose overlap has not ended. There is one at most, unless somebody restored an older
    /// Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Previous>,
    /// Set if the key that a person copied was replaced, but could not be identified among the account's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leftover: Option<Leftover>,
    /// What a person asked for, as far as it was handled; `None` before the first run that knows of requests. What is
    /// asked for then counts as handled, so that neither a new resource nor a way back from an older version of the
    /// operator replaces or revokes a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<HandledRequests>,
}

/// A replaced key that is still valid.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Previous {
    /// W&B's identifier of the key.
    #[serde(rename = "keyID")]
    pub key_id: String,
    /// When the key must be revoked.
    pub until: Time,
}

impl Previous {
    /// The key as the status names it.
    pub fn of_status(PreviousKey { key_id, valid_until }: &PreviousKey) -> Self {
        Self { key_id: key_id.clone(), until: valid_until.clone() }
    }

    /// The key as the status is to name it.
    pub fn status(self) -> PreviousKey {
        PreviousKey { key_id: self.key_id, valid_until: self.until }
    }
}

/// A key that stays valid until a person finds and deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Leftover {
    /// The key that a person copied.
    Bootstrap,
}

/// A record as it is stored, with the server and account to which its key belongs.
#[derive(Deserialize, Serialize)]
struct WrittenRecord {
    #[serde(flatten)]
    record: Record,
    /// The server, as [`BaseUrl::root`] returns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The user name of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

impl Record {
    /// What a person asks for and no run has handled yet.
    pub fn open(&self, asked: &KeyRequests) -> KeyRequests {
        self.handled.as_ref().map(|handled| asked.open(handled)).unwrap_or_default()
    }

    /// What a person asks for with a value that was handled before, and is not done again.
    pub fn repeated(&self, asked: &KeyRequests) -> KeyRequests {
        self.handled.as_ref().map(|handled| asked.repeated(handled)).unwrap_or_default()
    }

    /// The text to store with the key of this account. Equal records produce equal texts.
    pub fn write(self, account: &AccountSettings) -> String {
        let server = Some(account.base_url.root().to_owned());
        let written = WrittenRecord { record: self, server, account: Some(account.account_name.clone()) };
        // Serialization cannot fail, since a record contains nothing that JSON cannot express.
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

/// The server for which values were published.
pub fn server(values: &Values) -> Option<BaseUrl> {
    let base_url = values.get(BASE_URL.names().next()?)?.expose().to_owned();
    BaseUrl::parse(&InstanceSpec { base_url, insecure_plaintext: true }).ok()
}

/// A key with its record.
#[derive(Clone, PartialEq)]
pub struct Current {
    /// The key.
    pub key: ApiKey,
    /// What is recorded about the key.
    pub record: Record,
}

impl Current {
    /// The key in published values, of any account; `None` if there is no key or its record is unreadable.
    pub fn read(values: &Values) -> Option<Self> {
        let WrittenRecord { record, .. } = WrittenRecord::read(values)?;
        let key = API_KEY.names().next().and_then(|name| ApiKey::parse(values.get(name)?).ok())?;
        Some(Self { key, record })
    }

    /// Like `read`, but only if the key belongs to this account. No other server may see the key, and its record is
    /// meaningless there.
    pub fn read_of(values: &Values, account: &AccountSettings) -> Option<Self> {
        WrittenRecord::read(values).filter(|written| written.is_of(values, account))?;
        Self::read(values)
    }

    /// Determines the key in use from the Secret and from what this process verified last.
    ///
    /// Normally the Secret decides, since another process may have replaced the key. But if either the key or the
    /// record, and not both, differs from what this process knows, somebody edited the Secret, so the last verified
    /// key counts.
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

/// The time in whole seconds, as a record holds it.
pub(super) fn whole_seconds(now: Timestamp) -> Option<Time> {
    Timestamp::from_second(now.as_second()).ok().map(Time)
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
            r#"{"rotation":2,"keyID":"b","since":"2026-01-01T00:00:00Z","previous":[{"keyID":"a","until":"2026-01-02T00:00:00Z"}],"leftover":"Bootstrap","handled":{"rotate":"1","revokePrevious":"2"}}"#.to_owned(),
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
            // A record without a server belongs to the published server.
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
            // Somebody edited the key or the record.
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
