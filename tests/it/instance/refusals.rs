//! Everything else that an answer can be. Each is asked for once.

use std::time::Duration;

use serde_json::json;
use test_support::{
    WandbServer,
    hostile::{HttpServer, Response},
    wandb_server::Fault,
};
use wandb_auth_operator::api::Reason;

use super::{Way, credential, refusal};

const KEY: &str = "local-0123456789012345678901234567890123456789";

#[tokio::test]
async fn every_fault_has_its_reason_and_is_met_once() {
    let server = WandbServer::builder().start().unwrap();
    let key = credential(&server.service_account("ci", "research").unwrap());
    let way = Way::to(&server.base_url());
    for (asked, (fault, reason)) in (1..).zip([
        (Fault::Status(400), Reason::UnexpectedStatus),
        (Fault::Status(401), Reason::Unauthorized),
        (Fault::Status(403), Reason::AccessDenied),
        (Fault::Status(404), Reason::UnexpectedStatus),
        (Fault::Status(500), Reason::ServerUnavailable),
        (Fault::TooManyRequests { retry_after: 77 }, Reason::RateLimited),
        (Fault::MalformedJson, Reason::NotJson),
        (Fault::MisshapenErrors, Reason::InvalidDocument),
        (Fault::Error("internal error".to_owned()), Reason::QueryFailed),
        (Fault::Redirect("https://else.example".to_owned()), Reason::Redirected),
        (Fault::Close, Reason::ConnectionClosed),
        (Fault::CloseAfterPerforming, Reason::ConnectionClosed),
    ]) {
        let limited = matches!(fault, Fault::TooManyRequests { .. });
        server.fail_next(1, "generateApiKey", fault.clone());
        let refusal = refusal(way.instance().generate_api_key(&key, "x").await);
        assert_eq!(refusal.problem.reason, reason, "{fault:?}: {}", refusal.problem.message);
        assert_eq!(refusal.retry_after, limited.then_some(Duration::from_secs(77)), "{fault:?}");
        assert_eq!(server.requests("generateApiKey"), asked, "{fault:?}");
    }
    // The last fault came after the work.
    assert_eq!(server.keys_of("ci").len(), 2);
}

/// What asking for the account comes to when the server answers this.
async fn answered(response: Response) -> (Reason, String) {
    let server = HttpServer::plain(move |_| response.clone()).unwrap();
    let way = Way::to(&server.url(""));
    let problem = refusal(way.instance().viewer(&credential(KEY)).await).problem;
    assert_eq!(server.requests().len(), 1);
    (problem.reason, problem.message)
}

#[tokio::test]
async fn answers_that_are_no_result_are_told_apart() {
    let with = |data: serde_json::Value| Response::json(&data);
    for (response, reason, words) in [
        (with(json!({ "data": { "viewer": null } })), Reason::Unauthorized, "nobody's account"),
        (with(json!({ "data": {} })), Reason::Unauthorized, "nobody's account"),
        (with(json!({ "data": null })), Reason::InvalidDocument, "expected the account"),
        (with(json!({})), Reason::InvalidDocument, "expected the account"),
        (with(json!([])), Reason::InvalidDocument, "expected the account"),
        (with(json!({ "data": { "viewer": "ci" } })), Reason::InvalidDocument, "expected the account"),
        (with(json!({ "data": { "viewer": { "id": 7 } } })), Reason::InvalidDocument, "expected the account"),
        (with(json!({ "errors": "no" })), Reason::InvalidDocument, "errors to have a message"),
        (with(json!({ "errors": [{}] })), Reason::InvalidDocument, "errors to have a message"),
        (
            with(json!({ "errors": [{ "message": "a\nb" }, { "message": "c." }], "data": null })),
            Reason::QueryFailed,
            "answers viewer with an error: a b; c. Check",
        ),
        (Response::html("<html>Sign in</html>"), Reason::NotJson, "a web page instead of JSON"),
        (Response::status(200, "ok"), Reason::NotJson, "something else instead of JSON"),
        (Response::huge(2 << 20), Reason::ResponseTooLarge, "larger than 1 MiB"),
    ] {
        let (seen, message) = answered(response).await;
        assert_eq!(seen, reason, "{message}");
        assert!(message.contains(words), "{words} is not in: {message}");
    }
}

#[tokio::test]
async fn nothing_is_sent_where_the_policy_forbids_it() {
    let server =
        HttpServer::start("127.0.0.2".parse().unwrap(), None, |_| Response::status(200, "")).unwrap();
    let way = Way::to(&server.url(""));
    let problem = refusal(way.instance().viewer(&credential(KEY)).await).problem;
    assert_eq!((problem.reason, server.connections()), (Reason::EgressDenied, 0));
}
