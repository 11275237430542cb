//! What the operator asks W&B Server.

use serde::Deserialize;
use serde_json::json;

use super::{
    ApiKey, Credential, Entity, Instance, Refusal, Viewer, answer::unauthorized, graphql::Operation,
};
use crate::{api::Reason, sensitive::Sensitive};

const VIEWER: Operation = Operation {
    field: "viewer",
    text: "query Viewer { viewer { id username email entity teams { edges { node { name } } } apiKeys { edges { node { id name description } } } } }",
    expected: "the account (data.viewer) with id, teams and apiKeys",
    recognize: |_| None,
};

const ENTITY: Operation = Operation {
    field: "entity",
    text: "query Entity($name: String!) { entity(name: $name) { id name isTeam members { id username email admin accountType } } }",
    expected: "the team (data.entity) with id, name and members",
    recognize: |_| None,
};

const CREATE_SERVICE_ACCOUNT: Operation = Operation {
    field: "createServiceAccount",
    text: "mutation CreateServiceAccount($description: String!, $entityName: String!) { createServiceAccount(input: {description: $description, entityName: $entityName}) { user { id } } }",
    expected: "the new account (data.createServiceAccount.user) with id",
    recognize: |_| None,
};

const GENERATE_API_KEY: Operation = Operation {
    field: "generateApiKey",
    text: "mutation GenerateApiKey($description: String) { generateApiKey(input: {description: $description}) { apiKey { id name description } } }",
    expected: "the new key (data.generateApiKey.apiKey) with its id and, as name, the key itself",
    recognize: recognize_key_refusal,
};

const DELETE_API_KEY: Operation = Operation {
    field: "deleteApiKey",
    text: "mutation DeleteApiKey($id: String!) { deleteApiKey(input: {id: $id}) { success } }",
    expected: "data.deleteApiKey with success",
    recognize: |_| None,
};

/// A key that the server just made and never shows again.
#[derive(Clone)]
pub struct GeneratedKey {
    /// W&B's identifier, by which the key is deleted.
    pub id: String,
    /// The key.
    pub key: ApiKey,
}

impl Instance<'_> {
    /// The account that the credential belongs to.
    pub async fn viewer(&self, credential: &Credential) -> Result<Viewer, Refusal> {
        let viewer: Option<Viewer> = self.ask(credential, &VIEWER, json!({})).await?;
        viewer.ok_or_else(|| unauthorized(self.base_url.graphql_url(), "nobody's account", credential))
    }

    /// The team of that name, if there is one that the account may see.
    pub async fn entity(&self, credential: &Credential, name: &str) -> Result<Option<Entity>, Refusal> {
        self.ask(credential, &ENTITY, json!({ "name": name })).await
    }

    /// Makes a service account in a team, and gives its identifier. Only an administrator of the team may.
    pub async fn create_service_account(
        &self,
        credential: &Credential,
        description: &str,
        team: &str,
    ) -> Result<String, Refusal> {
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
        Ok(created.user.id)
    }

    /// Makes one more key for the account that the credential belongs to.
    pub async fn generate_api_key(
        &self,
        credential: &Credential,
        description: &str,
    ) -> Result<GeneratedKey, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Generated {
            api_key: Shown,
        }
        #[derive(Deserialize)]
        struct Shown {
            id: String,
            name: String,
        }
        let variables = json!({ "description": description });
        let Generated { api_key: Shown { id, name } } =
            self.ask(credential, &GENERATE_API_KEY, variables).await?;
        match ApiKey::parse(&Sensitive::new(name)) {
            Ok(key) => Ok(GeneratedKey { id, key }),
            Err(problem) => Err(Refusal::new(
                Reason::InvalidDocument,
                format!(
                    "The server made a key and shows something else for it, so nobody can use that key; delete the one described as \"{description}\" in the web UI. {}",
                    problem.message
                ),
            )),
        }
    }

    /// Deletes one of the keys of the account that the credential belongs to.
    pub async fn delete_api_key(&self, credential: &Credential, id: &str) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        struct Deleted {
            success: Option<bool>,
        }
        let deleted: Deleted = self.ask(credential, &DELETE_API_KEY, json!({ "id": id })).await?;
        if deleted.success == Some(true) {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::QueryFailed,
            "The server did not delete the API key, and does not say why. Delete it in the web UI, and look into the server's log.",
        ))
    }
}

/// Reads a refusal to make a key. The server's words are not documented, so the usual ones are looked for.
fn recognize_key_refusal(words: &str) -> Option<(Reason, &'static str)> {
    const NUMBER: [&str; 6] = ["too many", "more than", "maximum", "limit", "at most", "exceed"];
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
    if has_one_of(&NUMBER) && words.contains("key") && !words.contains("rate") {
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
            ("API key rate limit exceeded", None),
            ("internal error", None),
            ("", None),
        ] {
            assert_eq!(recognize_key_refusal(words).map(|(reason, _)| reason), reason, "{words}");
        }
    }
}
