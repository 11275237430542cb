//! `TokenExchange` at a server that has, or has not, been told of the issuer.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{WandbServer, hostile::HttpServer, tokens::SigningKey, wandb_server::Fault};
use wandb_auth_operator::api::{CheckName, CheckResult, Reason};

use super::{
    Examined, PATIENT, SUBJECT, examine, examine_within, network,
    scripted_issuer::{Issuer, claims},
    spec, with_samples,
};

const EXCHANGE: &str = "/oidc/token";

/// An issuer with one token, and a server that knows neither.
struct World {
    key: SigningKey,
    issuer: HttpServer,
    server: WandbServer,
    token: String,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::p256("one").unwrap();
        let issuer = Issuer::publishing(&[&key]).start();
        let token = key.sign(&claims(&issuer.url(""), &json!({}))).unwrap();
        let server = WandbServer::builder().start().unwrap();
        Self { key, issuer, server, token }
    }

    fn register(&self) {
        let jwks = json!({ "keys": [self.key.jwk().unwrap()] });
        self.server.register_issuer(&self.issuer.url(""), &jwks.to_string()).unwrap();
        self.server.accept_audience("my-org");
        self.server.federated_account(SUBJECT, "research");
    }

    fn spec(&self) -> Value {
        let mut spec = with_samples(&self.issuer.url(""), &[("ci", json!({ "valid": true }))]);
        spec["instance"] = json!({ "baseURL": self.server.base_url(), "insecurePlaintext": true });
        spec
    }

    async fn examine(&self) -> Examined {
        examine(&self.spec(), &[("ci", &self.token)]).await
    }
}

#[tokio::test]
async fn a_refusal_tells_the_clicks_and_a_success_that_they_were_made() {
    let world = World::new();
    let examined = world.examine().await;
    examined.assert_nothing_failed();
    let words = [
        "\"Set up JWT Issuer\"",
        "click \"Create\"",
        &world.issuer.url(""),
        "restart W&B Server",
        "is not registered",
        "invalid_grant",
    ];
    examined.assert(&CheckName::TokenExchange, CheckResult::Warning, Reason::ManualStepRequired, &words);

    world.register();
    let examined = world.examine().await;
    let words = ["accepts the token of ci, so the issuer is registered"];
    examined.assert(&CheckName::TokenExchange, CheckResult::Passed, Reason::Passed, &words);
    assert!(!examined.told().contains(&world.token));
}

#[tokio::test]
async fn a_server_in_trouble_keeps_nothing_back() {
    let world = World::new();
    world.register();
    for (fault, reason) in [
        (Fault::Status(503), Reason::ServerUnavailable),
        (Fault::TooManyRequests { retry_after: 7 }, Reason::RateLimited),
        (Fault::MalformedJson, Reason::NotJson),
        (Fault::Close, Reason::ConnectionClosed),
        (Fault::Redirect("http://169.254.169.254/".to_owned()), Reason::Redirected),
    ] {
        world.server.fail_next(1, EXCHANGE, fault);
        let examined = world.examine().await;
        examined.assert_nothing_failed();
        examined.assert(&CheckName::TokenExchange, CheckResult::Warning, reason, &[]);
        let pause = (reason == Reason::RateLimited).then_some(Duration::from_secs(7));
        assert_eq!(examined.findings.pause, pause);
    }
}

#[tokio::test]
async fn a_server_that_hangs_keeps_nothing_back_either() {
    let world = World::new();
    world.server.fail(EXCHANGE, Fault::Hang);
    let mut spec = world.spec();
    // Long enough for the checks before that.
    spec["checkTimeout"] = json!("10s");
    let limit = Duration::from_secs(10);
    let examined = examine_within(&network(), limit, &spec, &[("ci", &world.token)]).await;
    examined.assert_nothing_failed();
    examined.assert(&CheckName::TokenExchange, CheckResult::Warning, Reason::TimedOut, &["checkTimeout"]);
    assert!(examined.keys.is_some());
}

#[tokio::test]
async fn a_server_that_is_not_there_keeps_nothing_back_either() {
    let world = World::new();
    let mut spec = world.spec();
    spec["instance"]["baseURL"] = json!("http://127.0.0.1:1");
    let examined = examine(&spec, &[("ci", &world.token)]).await;
    examined.assert_nothing_failed();
    examined.assert(&CheckName::TokenExchange, CheckResult::Warning, Reason::ConnectionRefused, &[]);
}

#[tokio::test]
async fn only_tokens_that_keep_all_rules_leave_the_process() {
    let world = World::new();
    world.register();
    let url = world.issuer.url("");
    let late = world.key.sign(&claims(&url, &json!({ "exp": 1 }))).unwrap();
    let mut spec = world.spec();
    spec["samples"] = json!([
        { "name": "late", "tokenSecretRef": { "name": "tokens", "key": "late" }, "expect": { "valid": false } },
        { "name": "claims", "claims": claims(&url, &json!({})), "expect": { "valid": true } },
    ]);
    let examined = examine(&spec, &[("late", &late)]).await;
    examined.assert_nothing_failed();
    let words = ["a sample with a token", "Set up JWT Issuer"];
    examined.assert(&CheckName::TokenExchange, CheckResult::Warning, Reason::ManualStepRequired, &words);

    spec["samples"][0]["expect"] = json!({ "valid": true });
    let examined = examine(&spec, &[("late", &late)]).await;
    examined.assert(&CheckName::TokenExchange, CheckResult::Skipped, Reason::NotReached, &[]);
    assert_eq!(world.server.connections(), 0);
}

#[tokio::test]
async fn without_an_instance_the_clicks_are_told() {
    let world = World::new();
    let examined = examine_within(&network(), PATIENT, &spec(&world.issuer.url(""), &json!({})), &[]).await;
    let words =
        ["cannot see whether W&B Server accepts the issuer's tokens: set spec.instance", "Set up JWT Issuer"];
    examined.assert(&CheckName::TokenExchange, CheckResult::Warning, Reason::ManualStepRequired, &words);
}
