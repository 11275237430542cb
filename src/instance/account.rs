//! What W&B Server reports about accounts and teams, as far as the operator needs it. Every field may be null.

use serde::{Deserialize, Deserializer};

use super::pages::Page;
use crate::{problem::quote, sensitive::Sensitive};

/// The account to which a credential belongs. The type has no `Debug`, since old servers list whole keys.
pub struct Viewer {
    /// W&B's identifier of the account.
    pub id: String,
    /// The user name of the account.
    pub username: Option<String>,
    /// The e-mail address; service accounts may have none.
    pub email: Option<String>,
    /// The names of the account's teams.
    pub teams: Vec<String>,
    /// The API keys of the account.
    pub api_keys: Vec<ListedKey>,
}

/// An account as the first answer describes it, with only the first page of each list.
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
    /// The texts of the server that messages and records repeat unchanged.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let keys = self.api_keys.iter().map(|key| key.id.as_str());
        [self.id.as_str()].into_iter().chain(self.username.as_deref()).chain(keys)
    }
}

/// The longest identifier or user name, in characters.
const LONGEST_NAME: usize = 128;

/// Whether the text can be an identifier or a user name.
pub(super) fn is_name(text: &str) -> bool {
    // Messages and records repeat names unchanged, so a name must not have characters that cannot be shown.
    (1..=LONGEST_NAME).contains(&text.chars().count()) && quote(text) == text
}

/// An API key of the account, as the list of keys shows it.
#[derive(Deserialize)]
pub struct ListedKey {
    /// W&B's identifier of the key, which is needed to delete it.
    pub id: String,
    /// The first characters of the key. Servers before release 0.77 show all of them.
    #[serde(default, deserialize_with = "sensitive")]
    pub name: Option<Sensitive>,
    /// The description that the key got when it was made.
    #[serde(default)]
    pub description: Option<String>,
}

/// A team, or the place of a person's own runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entity {
    /// The members of the team.
    #[serde(default, deserialize_with = "members")]
    pub members: Vec<Member>,
}

/// A member of a team.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// W&B's identifier of the member.
    pub id: String,
    /// The user name.
    #[serde(default)]
    pub username: Option<String>,
    /// The e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// The type of the account, such as `SERVICE`.
    #[serde(default)]
    pub account_type: Option<String>,
}

fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Member>, D::Error> {
    let members = Option::<Vec<Option<Member>>>::deserialize(deserializer)?;
    // The operator looks for an account with a valid name, so members with invalid ones can be left out.
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
