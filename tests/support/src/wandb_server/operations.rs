//! What each root field of GraphQL does.

use serde_json::{Value, json};

use super::account::{Account, AccountKind};
use super::caller::Caller;
use super::graphql::Field;
use super::serving::Serving;
use super::state::State;
use super::{WandbServer, account::Key};

/// Does what the field asks and says everything about it; the error is the server's answer.
pub(super) fn perform(serving: &Serving, caller: &Caller, field: &Field) -> Result<Value, String> {
    match field.name.as_str() {
        "viewer" => Ok(viewer(&serving.state(), caller, field)),
        "entity" => entity(&serving.state(), caller, field),
        "createServiceAccount" => create_service_account(&mut serving.state(), caller, field),
        "generateApiKey" => generate_key(&mut serving.state(), caller, field),
        "deleteApiKey" => delete_key(serving, caller, field),
        "deleteInvite" => delete_invite(&mut serving.state(), caller, field),
        other => Err(format!("the test's server does not know how to do {other}")),
    }
}

fn viewer(state: &State, caller: &Caller, field: &Field) -> Value {
    let Ok(account) = caller.account(state) else { return Value::Null };
    let teams: Vec<_> = account.teams.iter().map(|team| json!({ "node": { "name": team } })).collect();
    let keys: Vec<_> = account
        .keys
        .iter()
        .map(|key| json!({ "node": key_with_name(key, &state.listed_name(key)) }))
        .collect();
    json!({
        "id": account.id,
        "entity": account.default_entity(),
        "username": account.username,
        "email": account.email(),
        "name": account.username,
        "admin": account.is_admin(),
        "deletedAt": null,
        "flags": "{}",
        "teams": page(state.page_size, field, "teams", &teams),
        "apiKeys": page(state.page_size, field, "apiKeys", &keys),
    })
}

/// The page of a list that the field asks for.
fn page(size: usize, field: &Field, list: &str, edges: &[Value]) -> Value {
    let asked = field.selection.iter().find(|selected| selected.name == list);
    let after = asked.and_then(|selected| selected.arguments.get("after")?.as_str());
    let begin = after.and_then(|after| after.parse().ok()).unwrap_or(0_usize);
    let end = begin.saturating_add(size).min(edges.len());
    json!({
        "edges": edges.get(begin..end).unwrap_or_default(),
        "pageInfo": { "hasNextPage": end < edges.len(), "endCursor": end.to_string() },
    })
}

/// Those who are neither in a team nor administrators do not learn that it exists.
fn entity(state: &State, caller: &Caller, field: &Field) -> Result<Value, String> {
    let name = text(field, "/name")?;
    let account = caller.account(state)?;
    if account.username == name {
        return Ok(json!({ "id": account.id, "name": name, "isTeam": false, "members": [] }));
    }
    let exists = state.teams.iter().any(|team| team == name);
    if !exists || !(account.is_admin() || account.is_in(name)) {
        return Ok(Value::Null);
    }
    let members: Vec<_> = state.accounts.iter().filter(|account| account.is_in(name)).map(member).collect();
    Ok(json!({ "id": format!("Entity-{name}"), "name": name, "isTeam": true, "members": members }))
}

fn member(account: &Account) -> Value {
    json!({
        "id": account.id,
        "username": account.username,
        "email": account.email(),
        "admin": account.is_admin(),
        "accountType": account.account_type(),
    })
}

fn create_service_account(state: &mut State, caller: &Caller, field: &Field) -> Result<Value, String> {
    let (username, team) = (text(field, "/input/description")?, text(field, "/input/entityName")?);
    caller.administrator(state)?;
    if state.forbids_service_account_creation {
        return Err("creation of service accounts is disabled".to_owned());
    }
    if !state.teams.iter().any(|known| known == team) {
        return Err(format!("could not find entity {team}"));
    }
    if state.account(username).is_some() {
        return Err(format!("the username {username} is taken"));
    }
    let id = state.add_account(username, AccountKind::BuiltIn, Some(team));
    Ok(json!({ "user": { "id": id } }))
}

fn generate_key(state: &mut State, caller: &Caller, field: &Field) -> Result<Value, String> {
    // The SDK's own query lets the description be null.
    let description = text(field, "/input/description").unwrap_or_default();
    let owner = caller.key_owner(state)?;
    if state.forbids_key_creation {
        return Err("API key creation is disabled".to_owned());
    }
    if owner.keys.len() >= WandbServer::KEYS_PER_ACCOUNT {
        return Err(format!("an account cannot have more than {} API keys", WandbServer::KEYS_PER_ACCOUNT));
    }
    let owner = owner.username.clone();
    let key = state.add_key(&owner, description).ok_or("there are no random numbers")?;
    Ok(json!({ "apiKey": key_with_name(&key, &key.secret) }))
}

fn delete_key(serving: &Serving, caller: &Caller, field: &Field) -> Result<Value, String> {
    let id = text(field, "/input/id")?;
    let (owner, key) = {
        let state = serving.state();
        let owner = caller.key_owner(&state)?;
        let key = owner.keys.iter().find(|key| key.id == id).cloned();
        (owner.username.clone(), key.ok_or("could not find the API key")?)
    };
    let hook = serving.hooks().before_revoking.clone();
    if let Some(hook) = hook {
        hook(&key);
    }
    if let Some(owner) = serving.state().account_mut(&owner) {
        owner.keys.retain(|key| key.id != id);
    }
    Ok(json!({ "success": true }))
}

/// The account stays, as do its keys.
fn delete_invite(state: &mut State, caller: &Caller, field: &Field) -> Result<Value, String> {
    let (id, team) = (text(field, "/input/id")?, text(field, "/input/entityName")?);
    caller.administrator(state)?;
    let member = state.accounts.iter_mut().find(|account| account.id == id && account.is_in(team));
    let member = member.ok_or_else(|| format!("could not find the member in {team}"))?;
    member.teams.retain(|name| name != team);
    Ok(json!({ "success": true }))
}

/// A key as the API has it: what it is called is the whole secret, or what is shown of it.
fn key_with_name(key: &Key, name: &str) -> Value {
    json!({ "id": key.id, "name": name, "description": key.description })
}

fn text<'a>(field: &'a Field, pointer: &str) -> Result<&'a str, String> {
    let mut steps = pointer.split('/').skip(1);
    let first = steps.next().and_then(|name| field.arguments.get(name));
    let value = steps.fold(first, |value, name| value.and_then(|value| value.get(name)));
    value.and_then(Value::as_str).ok_or_else(|| format!("\"{}\" needs a text at {pointer}", field.name))
}
