//! Servers that repeat what they were told.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::hostile::{HttpServer, Request, Response};
use wandb_auth_operator::{
    api::Reason,
    instance::{AccessToken, Credential},
    problem::Problem,
};

use super::{Way, credential, refusal};

const BARE: &str = "hunter2hunter2hunter2hunter2hunter2hunter2";
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJodW50ZXIyIn0.hunter2-hunter2";

/// A server that refuses with all that a request carried, some of it decoded, after some filling.
fn parrot(filling: usize, secret: &'static str, answer: fn(String) -> Response) -> HttpServer {
    HttpServer::plain(move |request: &Request| {
        let header = request.header("authorization").unwrap_or_default();
        let heard = format!("{} and {header} and {secret} and local-{secret}", request.body);
        answer(format!("{}{heard}", "no ".repeat(filling)))
    })
    .unwrap()
}

/// Every way of refusing that shows words.
fn answers() -> [fn(String) -> Response; 5] {
    [
        |words| Response::json(&json!({ "errors": [{ "message": words }] })),
        |words| Response::status(400, &json!({ "error": words, "error_description": words }).to_string()),
        |words| Response::status(403, &words),
        |words| Response::status(500, &json!({ "message": words }).to_string()),
        |words| Response::redirect(&format!("/?{}", words.replace(' ', "&"))),
    ]
}

#[track_caller]
fn assert_silent(problem: &Problem) {
    let Problem { message, .. } = problem;
    assert!(message.contains("[red") || message.contains('…'), "nothing was repeated: {message}");
    for part in ["hunter", "eyJ", "aHVudGVy", "YXBpOm"] {
        assert!(!message.contains(part), "{part} is in: {message}");
    }
}

#[tokio::test]
async fn what_a_server_repeats_is_taken_out() {
    let token = AccessToken { token: TOKEN.into(), expires_in: Duration::ZERO };
    for answer in answers() {
        // Filling moves the place where a long text is cut through what must not be seen.
        for filling in [0, 10, 30, 50, 60] {
            let server = parrot(filling, BARE, answer);
            let way = Way::to(&server.url(""));
            let key = credential(&format!("local-{BARE}"));
            assert_silent(&refusal(way.instance().viewer(&key).await).problem);

            let server = parrot(filling, TOKEN, answer);
            let way = Way::to(&server.url(""));
            let access = Credential::Token(token.clone());
            assert_silent(&refusal(way.instance().viewer(&access).await).problem);
            let exchanged = refusal(way.instance().exchange(&TOKEN.into()).await).problem;
            // Answers of GraphQL have no words that an exchange would repeat.
            if exchanged.reason != Reason::InvalidDocument {
                assert_silent(&exchanged);
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_the_server_made_is_not_shown_wherever_it_stands() {
    let made = format!("local-{BARE}");
    for answer in [
        json!({ "data": { "generateApiKey": { "apiKey": made } } }),
        json!({ "data": { "generateApiKey": { "apiKey": { "id": 1, "name": made } } } }),
        json!({ "data": { "generateApiKey": { "apiKey": { "id": "1", "name": format!("{made} ") } } } }),
        json!({ "data": { "generateApiKey": { "apiKey": { "id": "1", "name": made } } }, "errors": [{ "message": made }] }),
        json!({ "errors": [{ "message": format!("made {made}, but could not store it") }] }),
        Value::String(made.clone()),
    ] {
        let server = HttpServer::plain(move |_| Response::json(&answer)).unwrap();
        let way = Way::to(&server.url(""));
        let other = credential("0123456789012345678901234567890123456789");
        let problem = refusal(way.instance().generate_api_key(&other, "x").await).problem;
        assert!(!problem.message.contains("hunter"), "{}", problem.message);
    }
}
