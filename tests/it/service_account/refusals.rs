//! Whatever the server answers has its reason, and none of it makes a storm.

use std::time::Instant;

use anyhow::{Result, ensure};
use test_support::{WandbServer, wandb_server::Fault};

use super::{KIND, Robot, finding, most_requests, service_account, wait_for_retry};
use crate::world::{operator, workspace};

#[tokio::test]
async fn every_refusal_has_its_reason_and_makes_no_storm() -> Result<()> {
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    let limited = || Fault::TooManyRequests { retry_after: 3600 };
    let cases = [
        ("/healthz", Fault::Status(503), "InstanceReachable", "ServerUnavailable"),
        ("/healthz", limited(), "InstanceReachable", "RateLimited"),
        ("/healthz", Fault::Close, "InstanceReachable", "ConnectionClosed"),
        ("/healthz", Fault::Hang, "InstanceReachable", "TimedOut"),
        ("viewer", Fault::Status(401), "KeyAccepted", "Unauthorized"),
        ("viewer", Fault::Status(403), "KeyAccepted", "AccessDenied"),
        ("viewer", limited(), "KeyAccepted", "RateLimited"),
        ("viewer", Fault::Status(500), "KeyAccepted", "ServerUnavailable"),
        ("viewer", Fault::Status(404), "KeyAccepted", "UnexpectedStatus"),
        ("viewer", Fault::MalformedJson, "KeyAccepted", "NotJson"),
        ("viewer", Fault::Error("boom".to_owned()), "KeyAccepted", "QueryFailed"),
        ("viewer", Fault::MisshapenErrors, "KeyAccepted", "InvalidDocument"),
        ("viewer", Fault::Redirect("http://elsewhere.example/".to_owned()), "KeyAccepted", "Redirected"),
        ("entity", Fault::Status(500), "Membership", "ServerUnavailable"),
    ];
    let started = Instant::now();
    let mut servers = Vec::new();
    for (number, (operation, fault, _, _)) in cases.iter().enumerate() {
        let server = WandbServer::builder().start()?;
        let name = format!("case-{number}");
        let key = server.service_account("ci", "research")?;
        workspace.put_secret(&name, &[("key", &key)]).await?;
        server.fail(operation, fault.clone());
        let resource = service_account(&name, &server.base_url(), "", "attribution: {username: alice}");
        workspace.apply(&resource.replace("name: sa-key", &format!("name: {name}"))).await?;
        servers.push((name, key, server));
    }
    for ((name, key, _), (_, _, check, reason)) in servers.iter().zip(&cases) {
        let status = workspace.wait_for_reason(KIND, name, "Verified", reason).await?;
        let found = finding(&status, check)?;
        assert_eq!((&found["result"], &found["reason"]), (&"Failed".into(), &(*reason).into()));
        assert!(!status.to_string().contains(key.as_str()));
        assert!(workspace.secrets().get_opt(&format!("{name}-wsa")).await?.is_none());
    }
    let (_, _, retried) = &servers[7];
    wait_for_retry(retried).await?;
    for ((name, _, server), (operation, _, _, reason)) in servers.iter().zip(&cases) {
        let requests = server.requests(operation);
        let most = if *reason == "RateLimited" { 1 } else { most_requests(4, started) };
        ensure!((1..=most).contains(&requests), "{name}: {requests} requests of {operation} ({reason})");
    }
    // What the server mended is seen without anybody's doing.
    let (name, ..) = &servers[7];
    retried.heal();
    workspace.wait_until_ready(KIND, name).await?;
    Ok(())
}

#[tokio::test]
async fn an_outage_keeps_what_is_published() -> Result<()> {
    let robot = Robot::rotated("failureThreshold: 1").await?;
    let before = robot.workspace.secrets().get("ci-wsa").await?;
    robot.server.fail("viewer", Fault::Status(500));
    robot.workspace.recheck(KIND, "ci", "outage").await?;
    let status = robot.workspace.wait_for_reason(KIND, "ci", "Verified", "ServerUnavailable").await?;
    assert_eq!(test_support::condition(&status, "Published").map(|it| &it["status"]), Some(&"True".into()));
    robot.server.heal();
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    let after = robot.workspace.secrets().get("ci-wsa").await?;
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version, "no write at all");
    Ok(())
}
