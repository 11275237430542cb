//! The queries and mutations that the operator sends to W&B Server.

use serde::Deserialize;
use serde_json::json;

use super::{
    ApiKey, Credential, Entity, Instance, ServerRefusal, Viewer,
    account::{ViewerPage, is_name},
    graphql::{Null, Operation},
};
use crate::{
    api::Reason,
    problem::quote,
    sensitive::{Redactor, Sensitive},
};

const VIEWER: Operation = Operation {
    field: "viewer",
    text: "query Viewer { viewer { id username email teams { edges { node { name } } pageInfo { hasNextPage endCursor } } apiKeys { edges { node { id name description } } pageInfo { hasNextPage endCursor } } } }",
    expected: "the account (data.viewer) with teams, apiKeys, and ids and a username of at most 128 printable characters without the key",
    recognize: |_| None,
    null: Null::Unauthorized,
};

/// The same query for a server whose lists have no pages.
const VIEWER_WITHOUT_PAGES: Operation = Operation {
    text: "query Viewer { viewer { id username email teams { edges { node { name } } } apiKeys { edges { node { id name description } } } } }",
    ..VIEWER
};

const MORE_TEAMS: Operation = Operation {
    text: "query Teams($after: String) { viewer { list: teams(after: $after) { edges { node { name } } pageInfo { hasNextPage endCursor } } } }",
    expected: "the account's teams (data.viewer)",
    ..VIEWER
};

const MORE_API_KEYS: Operation = Operation {
    text: "query ApiKeys($after: String) { viewer { list: apiKeys(after: $after) { edges { node { id name description } } pageInfo { hasNextPage endCursor } } } }",
    expected: "the account's keys (data.viewer)",
    ..VIEWER
};

const ENTITY: Operation = Operation {
    field: "entity",
    text: "query Entity($name: String!) { entity(name: $name) { members { id username email accountType } } }",
    expected: "the team (data.entity) with members",
    recognize: |_| None,
    null: Null::Nothing,
};

const CREATE_SERVICE_ACCOUNT: Operation = Operation {
    field: "createServiceAccount",
    text: "mutation CreateServiceAccount($description: String!, $entityName: String!) { createServiceAccount(input: {description: $description, entityName: $entityName}) { user { id } } }",
    expected: "the new account (data.createServiceAccount.user) with an id of at most 128 printable characters",
    recognize: |_| None,
    null: Null::Nothing,
};

const GENERATE_API_KEY: Operation = Operation {
    field: "generateApiKey",
    text: "mutation GenerateApiKey($description: String) { generateApiKey(input: {description: $description}) { apiKey { id name description } } }",
    expected: "the new key (data.generateApiKey.apiKey) with, as name, the key itself, and an id of at most 128 printable characters without it",
    recognize: recognize_key_refusal,
    null: Null::Nothing,
};

const DELETE_API_KEY: Operation = Operation {
    field: "deleteApiKey",
    text: "mutation DeleteApiKey($id: String!) { deleteApiKey(input: {id: $id}) { success } }",
    expected: "data.deleteApiKey with success",
    recognize: |_| None,
    null: Null::Nothing,
};

/// A key that the server has just made and never shows again.
#[derive(Clone)]
pub struct GeneratedKey {
    /// W&B's identifier of the key, which is needed to delete it.
    pub id: String,
    /// The key itself.
    pub key: ApiKey,
    /// The description that the server returned for the key.
    pub description: Option<String>,
}

impl Instance<'_> {
    /// The account to which the credential belongs.
    pub async fn viewer(&self, credential: &Credential) -> Result<Viewer, ServerRefusal> {
        let viewer: ViewerPage = match self.ask(credential, &VIEWER, json!({})).await {
            // The server's error says that it does not know the field `pageInfo`.
            Err(refusal) if refusal.problem.message.contains("pageInfo") => {
                self.ask(credential, &VIEWER_WITHOUT_PAGES, json!({})).await?
            }
            answered => answered?,
        };
        let ViewerPage { id, username, email, teams, api_keys } = viewer;
        let teams = self.rest(credential, &MORE_TEAMS, teams).await?;
        let teams = teams.into_iter().map(|team| team.name).collect();
        let api_keys = self.rest(credential, &MORE_API_KEYS, api_keys).await?;
        let viewer = Viewer { id, username, email, teams, api_keys };
        let redactor = credential.redactor();
        // The user name of an external account may be its subject, whose length the issuer decides.
        let is_subject = |name: &str| {
            matches!(credential, Credential::Token(_)) && viewer.username.as_deref() == Some(name)
        };
        let is_clean =
            |name: &str| (is_name(name) || is_subject(name)) && redactor.redact(name.to_owned()) == name;
        if viewer.names().all(is_clean) { Ok(viewer) } else { Err(self.misnamed(VIEWER.expected)) }
    }

    /// The team of this name, or `None` if there is no such team that the account may see.
    pub async fn entity(&self, credential: &Credential, name: &str) -> Result<Option<Entity>, ServerRefusal> {
        self.ask(credential, &ENTITY, json!({ "name": name })).await
    }

    /// Creates a service account in a team, and returns its identifier. Only an administrator of the team may do
    /// that.
    pub async fn create_service_account(
        &self,
        credential: &Credential,
        description: &str,
        team: &str,
    ) -> Result<String, ServerRefusal> {
        #[derive(Deserialize)]
        struct Created {
            user: User,
        }
        #[derive(Deserialize)]
        struct User {
            id: String,
        }
        let variables = json!({ "description": description, "entityName": team });
        let created: Created = self.ask(credential, &CREATE_SERVICE_ACCOUNT, variables).await?;
        if is_name(&created.user.id) {
            Ok(created.user.id)
        } else {
            Err(self.misnamed(CREATE_SERVICE_ACCOUNT.expected))
        }
    }

    /// Generates another key for the account to which the credential belongs.
    pub async fn generate_api_key(
        &self,
        credential: &Credential,
        description: &str,
    ) -> Result<GeneratedKey, ServerRefusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Generated {
            api_key: Shown,
        }
        #[derive(Deserialize)]
        struct Shown {
            id: String,
            name: String,
            description: Option<String>,
        }
        let variables = json!({ "description": description });
        let Generated { api_key: Shown { id, name, description: shown } } =
            self.ask(credential, &GENERATE_API_KEY, variables).await?;
        match ApiKey::parse(&Sensitive::new(name)) {
            Ok(key) if is_name(&id) && Redactor::new(key.secrets()).redact(id.clone()) == id => {
                Ok(GeneratedKey { id, key, description: shown })
            }
            Ok(_) => Err(self.misnamed(GENERATE_API_KEY.expected)),
            Err(problem) => Err(ServerRefusal::new(
                Reason::InvalidDocument,
                format!(
                    "The server made a key, but its answer shows something else, so nobody can use that key; delete the one described as \"{description}\" in the web UI. {}",
                    problem.message
                ),
            )),
        }
    }

    fn misnamed(&self, expected: &str) -> ServerRefusal {
        ServerRefusal::new(
            Reason::InvalidDocument,
            format!(
                "{} answers with an id or a username that cannot be one; expected {expected}. Check that the server is a W&B Server, and which version.",
                quote(self.base_url.graphql_url().as_str())
            ),
        )
    }

    /// Deletes a key of the account to which the credential belongs.
    pub async fn delete_api_key(&self, credential: &Credential, id: &str) -> Result<(), ServerRefusal> {
        #[derive(Deserialize)]
        struct Deleted {
            success: Option<bool>,
        }
        let deleted: Deleted = self.ask(credential, &DELETE_API_KEY, json!({ "id": id })).await?;
        if deleted.success == Some(true) {
            return Ok(());
        }
        Err(ServerRefusal::new(
            Reason::QueryFailed,
            "The server did not delete the API key, and does not say why. Delete it in the web UI, and look into the server's log.",
        ))
    }
}

/// Recognizes a refusal to make a key. The server's words are not documented, so usual phrases are searched for.
fn recognize_key_refusal(words: &str) -> Option<(Reason, &'static str)> {
    const NUMBER: [&str; 6] = ["too many", "more than", "maximum", "limit", "at most", "exceed"];
    const RATE: [&str; 2] = ["rate limit", "rate-limit"];
    const PERMISSION: [&str; 9] = [
        "disabled",
        "forbid",
        "not allowed",
        "not permitted",
        "not authorized",
        "denied",
        "may not",
        "cannot create",
        "cannot own",
    ];
    let words = words.to_lowercase();
    let has_one_of = |list: &[&str]| list.iter().any(|part| words.contains(part));
    if has_one_of(&NUMBER) && words.contains("key") && !RATE.iter().any(|part| words.contains(part)) {
        return Some((
            Reason::TooManyKeys,
            "Delete keys of the account that nobody uses, in the web UI; at most 100 are possible",
        ));
    }
    has_one_of(&PERMISSION).then_some((
        Reason::KeyCreationForbidden,
        "Let the account generate keys in the server's settings (disableApiKeyCreation), or leave spec.credentials.apiKey.rotation out and replace the key by hand",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_why_no_key_is_made() {
        for (words, reason) in [
            ("an account cannot have more than 100 API keys", Some(Reason::TooManyKeys)),
            ("API key limit reached", Some(Reason::TooManyKeys)),
            ("Maximum number of keys exceeded", Some(Reason::TooManyKeys)),
            ("API key creation is disabled", Some(Reason::KeyCreationForbidden)),
            ("permission denied", Some(Reason::KeyCreationForbidden)),
            ("external service accounts cannot own API keys", Some(Reason::KeyCreationForbidden)),
            ("cannot generate more than 100 API keys", Some(Reason::TooManyKeys)),
            ("API key rate limit exceeded", None),
            ("internal error", None),
            ("", None),
        ] {
            assert_eq!(recognize_key_refusal(words).map(|(reason, _)| reason), reason, "{words}");
        }
    }
}
