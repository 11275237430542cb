//! The double against its own rules; what the real client makes of it is in `tests/wandb_client.rs`.

use std::sync::Mutex;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::http_client::{HttpAnswer, HttpClient};
use crate::process::{PATIENCE, wait_until};

mod exchange;

const VIEWER: &str = "query Who { viewer { username entity teams { edges { node { name } } }
    apiKeys { edges { node { id name description } } } } }";
const GENERATE: &str = "mutation G($d: String!) { generateApiKey(input: {description: $d}) {
    apiKey { id secret: name } } }";
const DELETE: &str = "mutation D($id: ID!) { deleteApiKey(input: {id: $id}) { success } }";

fn send(server: &WandbServer, authorization: &str, query: &str, variables: &Value) -> Result<HttpAnswer> {
    let client = HttpClient { address: server.address(), tls: None };
    let headers = format!("Content-Type: application/json\r\n{authorization}");
    let body = json!({ "query": query, "variables": variables, "operationName": "" });
    client.send("POST /graphql", &headers, &body.to_string())
}

fn basic(key: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("api:{key}")))
}

fn ask(server: &WandbServer, key: &str, query: &str, variables: &Value) -> Result<Value> {
    Ok(serde_json::from_str(&send(server, &basic(key), query, variables)?.body)?)
}

#[test]
fn an_account_replaces_its_key() -> Result<()> {
    let server = WandbServer::builder().start()?;
    let first = server.service_account("robot", "research")?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    server.before_revoking(move |key| log.lock().unwrap().push(key.description.clone()));

    let made = ask(&server, &first, GENERATE, &json!({ "d": "second" }))?;
    let second = made["data"]["generateApiKey"]["apiKey"]["secret"].as_str().unwrap().to_owned();
    assert_eq!(second.len(), 40);
    let viewer = &ask(&server, &second, VIEWER, &json!({}))?["data"]["viewer"];
    assert_eq!((&viewer["username"], &viewer["entity"]), (&json!("robot"), &json!("research")));
    assert_eq!(viewer["teams"], json!({ "edges": [{ "node": { "name": "research" } }] }));
    let keys = viewer["apiKeys"]["edges"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[1]["node"]["name"]), (2, &json!(second[..6])));
    assert_eq!(viewer.get("email"), None);

    let old = server.keys_of("robot")[0].id.clone();
    let deleted = ask(&server, &second, DELETE, &json!({ "id": old }))?;
    assert_eq!(deleted, json!({ "data": { "deleteApiKey": { "success": true } } }));
    assert_eq!((server.is_valid(&first), server.is_valid(&second)), (false, true));
    assert_eq!(*seen.lock().unwrap(), ["made by the test"]);
    assert_eq!(send(&server, &basic(&first), VIEWER, &json!({}))?.status, 401);

    let calls = server.calls();
    let asked: Vec<_> = calls.iter().map(|call| (call.account.as_deref(), call.operation.as_str())).collect();
    let robot = Some("robot");
    let expected = [(robot, "generateApiKey"), (robot, "viewer"), (robot, "deleteApiKey"), (None, "viewer")];
    assert_eq!(asked, expected);
    assert_eq!(calls[0].argument("/input/description"), Some("second"));
    assert_eq!(server.requests("viewer"), 2);
    Ok(())
}

#[test]
fn administrators_make_and_remove_service_accounts() -> Result<()> {
    const CREATE: &str = "mutation C($e: String!, $d: String!) {
        result: createServiceAccount(input: {description: $d, entityName: $e}) { user { id } } }";
    const MEMBERS: &str = "query M($n: String!) { entity(name: $n) { isTeam members { id ...Shown } } }
        fragment Shown on Member { username accountType }";
    const REMOVE: &str = "mutation R($i: ID!) {
        deleteInvite(input: {id: $i, entityName: \"research\"}) { success } }";
    let server = WandbServer::builder().start()?;
    let (admin, alice) = (server.admin("root")?, server.user("alice", "research")?);
    let robot = json!({ "e": "research", "d": "robot" });

    let refused = ask(&server, &alice, CREATE, &robot)?;
    assert_eq!(refused["errors"][0]["message"], "permission denied");
    let made = ask(&server, &admin, CREATE, &robot)?;
    let id = &made["data"]["result"]["user"]["id"];
    let again = ask(&server, &admin, CREATE, &robot)?;
    assert_eq!(again["errors"][0]["message"], "the username robot is taken");
    assert_eq!(server.members("research"), ["alice", "robot"]);

    let team = ask(&server, &alice, MEMBERS, &json!({ "n": "research" }))?;
    let robot = json!({ "id": id, "username": "robot", "accountType": "SERVICE" });
    assert_eq!(team["data"]["entity"]["members"][1], robot);
    assert_eq!(ask(&server, &alice, MEMBERS, &json!({ "n": "other" }))?["data"]["entity"], Value::Null);
    let removed = ask(&server, &admin, REMOVE, &json!({ "i": id }))?;
    assert_eq!(removed["data"]["deleteInvite"]["success"], true);
    assert_eq!(server.members("research"), ["alice"]);
    Ok(())
}

#[test]
fn limits_and_settings_are_errors() -> Result<()> {
    let server = WandbServer::builder().key_prefix("local").lists_whole_keys().start()?;
    let key = server.service_account("robot", "research")?;
    let message = || -> Result<String> {
        let answer = ask(&server, &key, GENERATE, &json!({ "d": "" }))?;
        Ok(answer["errors"][0]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert!(key.starts_with("local-") && key.len() == 46, "{key}");
    let viewer = ask(&server, &key, VIEWER, &json!({}))?;
    assert_eq!(viewer["data"]["viewer"]["apiKeys"]["edges"][0]["node"]["name"], key);

    server.forbid_key_creation(true);
    assert_eq!(message()?, "API key creation is disabled");
    server.forbid_key_creation(false);
    for _ in 1..WandbServer::KEYS_PER_ACCOUNT {
        server.add_key("robot", "more")?;
    }
    assert_eq!(message()?, "an account cannot have more than 100 API keys");
    server.revoke(&server.keys_of("robot")[1].id)?;
    assert_eq!(message()?, "");
    Ok(())
}

#[test]
fn what_the_schema_does_not_have_is_refused_before_anything_is_done() -> Result<()> {
    let server = WandbServer::builder().start()?;
    let key = server.service_account("robot", "research")?;
    for (query, message) in [
        (GENERATE.replace("secret: name", "secret"), "Cannot query field \"secret\" on type \"ApiKey\"."),
        ("{ viewer }".to_owned(), "Field \"viewer\" must have a selection of subfields."),
        ("{ viewer { id } ".to_owned(), "Syntax Error: Unexpected end."),
        (
            "{ generateApiKey { apiKey { id } } }".to_owned(),
            "Cannot query field \"generateApiKey\" on type \"Query\".",
        ),
        ("{ viewer { ...Lost } }".to_owned(), "Unknown fragment \"Lost\"."),
    ] {
        let answer = send(&server, &basic(&key), &query, &json!({}))?;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(&json!(message).to_string()), "{}", answer.body);
    }
    assert_eq!(server.keys_of("robot").len(), 1);
    let nobody = send(&server, "", VIEWER, &json!({}))?;
    assert_eq!((nobody.status, nobody.body.as_str()), (200, r#"{"data":{"viewer":null}}"#));
    Ok(())
}

#[test]
fn faults_come_as_planned_and_end() -> Result<()> {
    let server = WandbServer::builder().start()?;
    let key = server.service_account("robot", "research")?;
    let viewer = || send(&server, &basic(&key), VIEWER, &json!({}));
    server.fail_next(1, "viewer", Fault::TooManyRequests { retry_after: 7 });
    server.fail_next(2, "viewer", Fault::Status(502));
    server.fail("viewer", Fault::MalformedJson);
    assert_eq!([viewer()?.status, viewer()?.status, viewer()?.status], [429, 502, 502]);
    assert!(serde_json::from_str::<Value>(&viewer()?.body).is_err());
    server.heal();
    for (fault, shown) in [
        (Fault::Error("out of order".to_owned()), "[{\"message\":\"out of order\"}]"),
        (Fault::MisshapenErrors, "\"something failed\""),
    ] {
        server.fail_next(1, "viewer", fault);
        assert!(viewer()?.body.contains(shown));
    }
    server.fail_next(1, "viewer", Fault::Redirect("https://wandb.example.org/login".to_owned()));
    assert_eq!(viewer()?.status, 302);
    assert_eq!(viewer()?.status, 200);

    server.fail_next(1, "generateApiKey", Fault::Close);
    assert!(send(&server, &basic(&key), GENERATE, &json!({ "d": "" })).is_err());
    assert_eq!(server.keys_of("robot").len(), 1);
    server.fail_next(1, "generateApiKey", Fault::CloseAfterPerforming);
    assert!(send(&server, &basic(&key), GENERATE, &json!({ "d": "" })).is_err());
    assert_eq!(server.keys_of("robot").len(), 2);
    Ok(())
}

#[test]
fn a_server_that_hangs_lets_go_when_it_is_dropped() -> Result<()> {
    let server = WandbServer::builder().start()?;
    server.fail("viewer", Fault::Hang);
    let client = HttpClient { address: server.address(), tls: None };
    let asking = std::thread::spawn(move || {
        client.send("POST /graphql", "", r#"{"query": "{ viewer { id } }"}"#).is_err()
    });
    wait_until(PATIENCE, "request", || Ok(server.requests("viewer") == 1))?;
    assert!(!asking.is_finished());
    drop(server);
    assert!(asking.join().unwrap());
    Ok(())
}

#[test]
fn hooks_may_ask_the_server() -> Result<()> {
    let server = Arc::new(WandbServer::builder().start()?);
    let key = server.service_account("robot", "research")?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, asked) = (seen.clone(), Arc::downgrade(&server));
    server.on_request(move |call, phase| {
        let keys = asked.upgrade().map(|server| server.keys_of("robot").len());
        log.lock().unwrap().push((call.operation.clone(), phase, keys));
    });
    ask(&server, &key, GENERATE, &json!({ "d": "" }))?;
    let operation = "generateApiKey".to_owned();
    let expected = [(operation.clone(), Phase::Before, Some(1)), (operation, Phase::After, Some(2))];
    assert_eq!(*seen.lock().unwrap(), expected);
    Ok(())
}
