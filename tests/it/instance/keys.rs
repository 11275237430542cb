//! Keys: whose they are, and how one replaces another.

use test_support::{WandbServer, wandb_server::Fault};
use wandb_auth_operator::api::Reason;

use super::{Way, credential, granted, refusal};
use crate::world::certificate;

#[tokio::test]
async fn an_account_replaces_its_key() {
    let certificate = certificate().unwrap();
    let server = WandbServer::builder().certificate(&certificate).key_prefix("local").start().unwrap();
    let first = credential(&server.service_account("ci", "research").unwrap());
    let way = Way::to(&format!("{}/", server.base_url())).trusting(&certificate);
    let instance = way.instance();

    let viewer = granted(instance.viewer(&first).await);
    assert_eq!(viewer.username.as_deref(), Some("ci"));
    assert_eq!(viewer.teams, ["research"]);
    let old = viewer.api_keys.first().unwrap();
    assert_eq!(old.name.as_ref().unwrap().expose().len(), "local-".len() + 6);

    let generated = granted(instance.generate_api_key(&first, "made by a test").await);
    let known = server.keys_of("ci");
    assert_eq!(known[1].id, generated.id);
    assert_eq!(known[1].secret, generated.key.sensitive().expose());
    assert_eq!(known[1].description, "made by a test");

    let second = credential(generated.key.sensitive().expose());
    granted(instance.delete_api_key(&second, &old.id).await);
    assert_eq!(server.keys_of("ci").len(), 1);
    assert_eq!(granted(instance.viewer(&second).await).id, viewer.id);

    let gone = refusal(instance.viewer(&first).await).problem;
    assert_eq!(gone.reason, Reason::Unauthorized);
    assert!(gone.message.contains("the status 401 (invalid API key)"), "{}", gone.message);
    let twice = refusal(instance.delete_api_key(&second, &old.id).await).problem;
    assert_eq!(twice.reason, Reason::QueryFailed);
    assert!(twice.message.contains("could not find the API key"), "{}", twice.message);
}

#[tokio::test]
async fn an_old_server_lists_whole_keys() {
    let server = WandbServer::builder().lists_whole_keys().start().unwrap();
    let key = server.service_account("ci", "research").unwrap();
    let way = Way::to(&server.base_url());
    let viewer = granted(way.instance().viewer(&credential(&key)).await);
    assert_eq!(viewer.api_keys.first().unwrap().name.as_ref().unwrap().expose(), key);
}

#[tokio::test]
async fn a_server_that_makes_no_key_says_why() {
    let server = WandbServer::builder().start().unwrap();
    let key = credential(&server.service_account("ci", "research").unwrap());
    let way = Way::to(&server.base_url());
    let instance = way.instance();

    server.forbid_key_creation(true);
    let forbidden = refusal(instance.generate_api_key(&key, "x").await).problem;
    assert_eq!(forbidden.reason, Reason::KeyCreationForbidden);
    assert!(forbidden.message.contains("API key creation is disabled. Let"), "{}", forbidden.message);
    server.forbid_key_creation(false);

    for _ in 1..WandbServer::KEYS_PER_ACCOUNT {
        server.add_key("ci", "one of many").unwrap();
    }
    let many = refusal(instance.generate_api_key(&key, "x").await).problem;
    assert_eq!(many.reason, Reason::TooManyKeys);
    assert!(many.message.contains("more than 100 API keys. Delete"), "{}", many.message);
    assert_eq!(granted(instance.viewer(&key).await).api_keys.len(), WandbServer::KEYS_PER_ACCOUNT);

    server.fail("generateApiKey", Fault::Status(403));
    let denied = refusal(instance.generate_api_key(&key, "x").await).problem;
    assert_eq!(denied.reason, Reason::AccessDenied);
}
