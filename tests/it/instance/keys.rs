//! Keys: whose they are, and how one replaces another.

use test_support::{WandbServer, wandb_server::Fault};
use wandb_auth_operator::{api::Reason, instance::Viewer};

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
async fn lists_are_read_to_their_end() {
    let server = WandbServer::builder().start().unwrap();
    let key = credential(&server.service_account("ci", "research").unwrap());
    for number in 0..9 {
        server.add_key("ci", &number.to_string()).unwrap();
    }
    let way = Way::to(&server.base_url());
    let instance = way.instance();
    let ids = |viewer: Viewer| -> Vec<_> { viewer.api_keys.into_iter().map(|key| key.id).collect() };
    let all: Vec<_> = server.keys_of("ci").into_iter().map(|key| key.id).collect();
    for (size, requests) in [(10, 1), (9, 2), (4, 3), (1, 10)] {
        server.set_page_size(size);
        let before = server.requests("viewer");
        assert_eq!(ids(granted(instance.viewer(&key).await)), all, "{size}");
        assert_eq!(server.requests("viewer") - before, requests, "{size}");
    }
    server.set_page_size(0);
    let endless = refusal(instance.viewer(&key).await).problem;
    assert_eq!(endless.reason, Reason::InvalidDocument);
    assert!(endless.message.contains("do not end"), "{}", endless.message);
    // A server whose lists have no pages.
    server.set_page_size(usize::MAX);
    let words = "Cannot query field \"pageInfo\" on type \"TeamConnection\".";
    for fault in [Fault::Error(words.to_owned()), Fault::Status(400)] {
        server.fail_next(1, "viewer", fault.clone());
        let answered = instance.viewer(&key).await;
        assert_eq!(answered.is_ok(), fault != Fault::Status(400), "only where it says so");
    }
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
