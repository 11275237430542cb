//! What W&B Server tells of accounts and teams, as far as the operator asks. Every field may be null.

use serde::{Deserialize, Deserializer};

use super::pages::Page;
use crate::{problem::quote, sensitive::Sensitive};

/// The account that a credential belongs to. It has no `Debug`: old servers list whole keys.
pub struct Viewer {
    /// W&B's identifier.
    pub id: String,
    /// The user name.
    pub username: Option<String>,
    /// The e-mail address; service accounts may have none.
    pub email: Option<String>,
    /// The names of its teams.
    pub teams: Vec<String>,
    /// Its keys.
    pub api_keys: Vec<ListedKey>,
}

/// The same as the server tells it at first: with the first pages of its lists.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ViewerPage {
    pub(super) id: String,
    #[serde(default)]
    pub(super) username: Option<String>,
    #[serde(default)]
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) teams: Page<Team>,
    #[serde(default)]
    pub(super) api_keys: Page<ListedKey>,
}

/// A team, as the list of an account's teams shows it.
#[derive(Deserialize)]
pub(super) struct Team {
    pub(super) name: String,
}

impl Viewer {
    /// Everything that stands in messages and records as it is.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let keys = self.api_keys.iter().map(|key| key.id.as_str());
        [self.id.as_str()].into_iter().chain(self.username.as_deref()).chain(keys)
    }
}

/// The longest identifier or user name.
const LONGEST_NAME: usize = 128;

/// Whether a text can be an identifier or a user name.
pub(super) fn is_name(text: &str) -> bool {
    // What cannot be shown is not repeated as it is.
    (1..=LONGEST_NAME).contains(&text.chars().count()) && quote(text) == text
}

/// One of an account's keys, as a list shows it.
#[derive(Deserialize)]
pub struct ListedKey {
    /// W&B's identifier, by which the key is deleted.
    pub id: String,
    /// The first characters of the key; servers before 0.77 show all of them.
    #[serde(default, deserialize_with = "sensitive")]
    pub name: Option<Sensitive>,
    /// What the key is for, as its maker said.
    #[serde(default)]
    pub description: Option<String>,
}

/// A team, or the place of a person's own runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entity {
    /// Who is in it.
    #[serde(default, deserialize_with = "members")]
    pub members: Vec<Member>,
}

/// Somebody in a team.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// W&B's identifier.
    pub id: String,
    /// The user name.
    #[serde(default)]
    pub username: Option<String>,
    /// The e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// What it is, such as `SERVICE`.
    #[serde(default)]
    pub account_type: Option<String>,
}

fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Member>, D::Error> {
    let members = Option::<Vec<Option<Member>>>::deserialize(deserializer)?;
    // Whoever is named in an impossible way is not the account that is looked for.
    let has_name = |member: &Member| is_name(&member.id) && member.username.as_deref().is_none_or(is_name);
    Ok(members.unwrap_or_default().into_iter().flatten().filter(has_name).collect())
}

fn sensitive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sensitive>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Sensitive::from))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tolerates_what_is_null_missing_or_new() {
        let document = json!({ "id": "1", "teams": null, "email": null, "new": {} });
        let viewer: ViewerPage = serde_json::from_value(document).unwrap();
        assert!(viewer.username.is_none() && viewer.email.is_none());
        for members in [json!(null), json!([]), json!([null])] {
            let document = json!({ "members": members });
            assert!(serde_json::from_value::<Entity>(document).unwrap().members.is_empty());
        }
    }

    #[test]
    fn names_are_short_and_printable() {
        for name in ["ci", "a b", "QXBpS2V5OjE=", &"x".repeat(128)] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", " ci", "a  b", "a\nb", "a\u{202e}b", &"x".repeat(129)] {
            assert!(!is_name(text), "{text}");
        }
        let members = json!([{ "id": "1", "username": "ci\n" }, { "id": "2", "username": "ci" }]);
        let team: Entity = serde_json::from_value(json!({ "members": members })).unwrap();
        assert_eq!(team.members.len(), 1);
    }
}
