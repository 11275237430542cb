//! One key after the other, while the published one is valid all the time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use test_support::{
    ControlPlane, User, WandbServer, condition,
    wandb_server::{Fault, Phase},
};

use super::{
    KIND, LONG_ROTATION, Robot, content, eventually, expect_none, finding, most_requests, service_account,
    wait_for_retry, watch_revocations,
};
use crate::world::{operator, workspace};

/// When the server was asked for what.
struct RequestTimes(Arc<Mutex<Vec<(String, Timestamp)>>>);

impl RequestTimes {
    /// Records all of them from now on.
    fn record(server: &WandbServer) -> Self {
        let recorded = Self(Arc::default());
        let record = Arc::clone(&recorded.0);
        server.on_request(move |call, phase| {
            if phase == Phase::Before {
                let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
                record.push((call.operation.clone(), Timestamp::now()));
            }
        });
        recorded
    }

    /// The times of an operation, in their order.
    fn of(&self, operation: &str) -> Vec<Timestamp> {
        let record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.iter().filter(|(asked, _)| asked == operation).map(|(_, time)| *time).collect()
    }
}

/// When a key is to be replaced, as the status has it.
fn next_rotation(status: &Value) -> Result<Timestamp> {
    let time = status.get("nextRotation").cloned().unwrap_or_default();
    serde_json::from_value(time).with_context(|| status.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_in_time_and_the_old_one_revoked_after_the_overlap() -> Result<()> {
    /// What is surely left of the overlap of six seconds: the operator's clock may be behind at first by as much as an
    /// answer of the API server took, and is put right later.
    const OVERLAP: SignedDuration = SignedDuration::from_secs(3);
    /// The same of the interval of twenty seconds.
    const INTERVAL: SignedDuration = SignedDuration::from_secs(17);
    let robot = Robot::new().await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    let times = RequestTimes::record(&robot.server);
    robot.apply("rotation: {interval: 20s, overlap: 6s}", "checkInterval: 1h").await?;
    let status = robot.workspace.wait_until_ready(KIND, "ci").await?;
    assert!(status["keyID"].is_null());
    let first_due = next_rotation(&status)?;

    let second = robot.wait_for_rotation(&robot.bootstrap).await?;
    let uid = robot.workspace.resources(KIND)?.get("ci").await?.metadata.uid.context("a uid")?;
    let expected = format!("wandb-auth-operator {uid} rotation 1 ");
    ensure!(second.description.starts_with(&expected), "{}", second.description);
    let status = robot.workspace.wait_for(KIND, "ci", |status| status["keyID"] == *second.id).await?;
    assert_eq!(condition(&status, "Ready").context("Ready")?["status"], "True");
    let second_due = next_rotation(&status)?;
    let object = robot.workspace.resources(KIND)?.get("ci").await?;
    assert_eq!(object.metadata.finalizers, Some(vec!["auth.wandb.com/remote-credentials".to_owned()]));
    eventually("the end of the copied key", || async {
        Ok((!robot.server.is_valid(&robot.bootstrap)).then_some(()))
    })
    .await?;
    // The copied key is gone for good, and so may be the Secret that held it.
    robot.workspace.secrets().delete("sa-key", &kube::api::DeleteParams::default()).await?;

    let third = robot.wait_for_rotation(&second.secret).await?;
    // No further key, so that what follows may take as long as it likes.
    robot.apply("rotation: {interval: 2h, overlap: 6s}", "checkInterval: 1h").await?;
    eventually("one key", || async {
        let keys = robot.server.keys_of("ci");
        Ok(robot.published().await.is_ok_and(|key| keys.len() == 1 && keys[0].secret == key).then_some(()))
    })
    .await?;
    expect_none(&mistakes)?;
    let (made, revoked) = (times.of("generateApiKey"), times.of("deleteApiKey"));
    let due = [first_due, second_due];
    ensure!(
        made.iter().zip(due).all(|(made, due)| *made >= due),
        "a key was replaced before its time: at {made:?}, and due at {due:?}"
    );
    let are_apart = |(one, next): (&Timestamp, &Timestamp)| next.duration_since(*one) >= INTERVAL;
    ensure!(made.iter().zip(made.iter().skip(1)).all(are_apart), "keys followed too soon: {made:?}");
    ensure!(
        made.iter().zip(&revoked).all(|(made, revoked)| revoked.duration_since(*made) >= OVERLAP),
        "programs still used the old key: replaced at {made:?} and revoked at {revoked:?}"
    );
    eventually("the events", || async {
        let events = robot.workspace.events().await?;
        let words = ["KeyRotated", &second.id, &third.id, "instead of the key that a person copied"];
        Ok(words.iter().all(|word| events.contains(word)).then_some(()))
    })
    .await?;
    let metrics = robot.operator.get("/metrics")?.1;
    ensure!(metrics.contains("wandb_auth_api_key_age_seconds{kind=\"ServiceAccount\""), "{metrics}");
    let rotations = metrics.lines().find(|line| line.starts_with("wandb_auth_rotations_total{"));
    let replaced = format!(" {}", made.len());
    ensure!(
        rotations.is_some_and(|line| line.ends_with(&replaced)),
        "{} keys were replaced: {rotations:?}",
        made.len()
    );
    // One look a run, another after a new key, and nothing in between.
    let asked = robot.server.requests("viewer");
    let runs = robot.server.requests("/healthz");
    ensure!(asked <= runs + robot.server.requests("generateApiKey"), "{asked} of {runs} runs");
    Ok(())
}

/// The steps of a run are told together, but a new key is news of its own: alerts and people look for it.
#[tokio::test]
async fn a_rotation_is_an_event_of_its_own() -> Result<()> {
    let robot = Robot::rotated("checkInterval: 1h").await?;
    let events = eventually("the events of the rotation and of the run", || async {
        let events: Vec<Value> = serde_json::from_str(&robot.workspace.events().await?)?;
        let has = |reasons: &[&str]| {
            events.iter().any(|event| reasons.iter().any(|reason| event["reason"] == *reason))
        };
        Ok((has(&["KeyRotated"]) && has(&["Verified", "Published"])).then_some(events))
    })
    .await?;
    let of_key = |event: &&Value| event["note"].as_str().is_some_and(|note| note.contains("the new API key"));
    let told: Vec<_> = events.iter().filter(of_key).collect();
    let [rotation] = told.as_slice() else { anyhow::bail!("{events:#?}") };
    assert_eq!((&rotation["reason"], &rotation["type"]), (&json!("KeyRotated"), &json!("Normal")));
    let note = rotation["note"].as_str().unwrap_or_default();
    ensure!(note.starts_with("Published the new API key"), "{note}");
    for of_the_run in ["Wrote the current values", "No check failed"] {
        ensure!(!note.contains(of_the_run), "{note}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_forbids_keys_is_asked_once() -> Result<()> {
    for (refusal, reason) in [
        ("API key creation is disabled", "KeyCreationForbidden"),
        ("an account cannot have more than 100 API keys", "TooManyKeys"),
    ] {
        let robot = Robot::new().await?;
        robot.publish_long_ago().await?;
        robot.server.fail("generateApiKey", Fault::Error(refusal.to_owned()));
        robot.apply(LONG_ROTATION, "checkInterval: 10s").await?;
        let status = robot.workspace.wait_for_reason(KIND, "ci", "Verified", reason).await?;
        assert_eq!(finding(&status, "KeyRotation")?["reason"], reason);
        assert_eq!(condition(&status, "Published").context("Published")?["status"], "True");
        let Robot { server, workspace, operator: first, bootstrap } = robot;
        drop(first);
        let second = operator(&workspace)?;
        second.wait_until_ready()?;
        let before = server.requests("viewer");
        eventually("two more checks", || async {
            Ok((server.requests("viewer") >= before + 2).then_some(()))
        })
        .await?;
        assert_eq!(server.requests("generateApiKey"), 1);
        // Once the server allows it, a person says so.
        server.heal();
        workspace.recheck(KIND, "ci", "allowed").await?;
        workspace.wait_for(KIND, "ci", |status| status["keyID"].is_string()).await?;
        workspace.wait_until_ready(KIND, "ci").await?;
        assert_eq!((server.requests("generateApiKey"), server.is_valid(&bootstrap)), (2, true));
    }
    Ok(())
}

#[tokio::test]
async fn every_refusal_of_a_rotation_has_its_reason_and_leaves_the_published_key() -> Result<()> {
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    let cases = [
        (Fault::Status(403), "AccessDenied"),
        (Fault::TooManyRequests { retry_after: 3600 }, "RateLimited"),
        (Fault::Status(500), "ServerUnavailable"),
        (Fault::MalformedJson, "NotJson"),
        (Fault::MisshapenErrors, "InvalidDocument"),
        (Fault::Error("boom".to_owned()), "QueryFailed"),
    ];
    let started = Instant::now();
    let mut servers = Vec::new();
    for (number, (fault, _)) in cases.iter().enumerate() {
        let server = WandbServer::builder().start()?;
        let key = server.service_account("ci", "research")?;
        server.fail("generateApiKey", fault.clone());
        let name = format!("case-{number}");
        workspace.put_secret(&name, &[("key", &key)]).await?;
        let resource = service_account(
            &name,
            &server.base_url(),
            "rotation: {interval: 10s, overlap: 2s}",
            "failureThreshold: 1",
        );
        workspace.apply(&resource.replace("name: sa-key", &format!("name: {name}"))).await?;
        servers.push((name, key, server));
    }
    for ((name, key, server), (_, reason)) in servers.iter().zip(&cases) {
        let status = workspace.wait_for_reason(KIND, name, "Verified", reason).await?;
        assert_eq!(finding(&status, "KeyRotation")?["reason"], *reason);
        assert_eq!(condition(&status, "Published").context("Published")?["status"], "True", "{reason}");
        let secret = workspace.secrets().get(&format!("{name}-wsa")).await?;
        assert_eq!(content(&secret)["WANDB_API_KEY"], *key);
        ensure!(server.keys_of("ci").len() == 1 && !status.to_string().contains(key.as_str()));
    }
    let (_, _, retried) = &servers[2];
    wait_for_retry(retried).await?;
    for ((name, _, server), (_, reason)) in servers.iter().zip(&cases) {
        let requests = server.requests("generateApiKey");
        let most = if *reason == "ServerUnavailable" { most_requests(3, started) } else { 1 };
        ensure!((1..=most).contains(&requests), "{name}: {requests} requests ({reason})");
    }
    // What passes by itself is tried again.
    let (name, key, _) = &servers[2];
    retried.heal();
    workspace.wait_for(KIND, name, |status| status["keyID"].is_string()).await?;
    let secret = workspace.secrets().get(&format!("{name}-wsa")).await?;
    assert_ne!(content(&secret)["WANDB_API_KEY"], *key);
    Ok(())
}

#[tokio::test]
async fn an_old_key_that_cannot_be_revoked_is_told() -> Result<()> {
    let robot = Robot::new().await?;
    robot.publish_long_ago().await?;
    robot.server.fail("deleteApiKey", Fault::Status(500));
    robot.apply("rotation: {interval: 2h, overlap: 2s}", "failureThreshold: 1").await?;
    let new = robot.wait_for_rotation(&robot.bootstrap).await?;
    robot.workspace.wait_for_reason(KIND, "ci", "Verified", "ServerUnavailable").await?;
    let message = robot.finding("KeyRotation").await?["message"].to_string();
    ensure!(message.contains("stays valid"), "{message}");
    assert_eq!(robot.published().await?, new.secret);
    robot.server.heal();
    eventually("one key", || async { Ok((robot.server.keys_of("ci") == [new.clone()]).then_some(())) })
        .await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_leave_no_key_behind() -> Result<()> {
    let server = WandbServer::builder().lists_whole_keys().start()?;
    let bootstrap = server.service_account("ci", "research")?;
    // Somebody else's key of the account is left alone.
    let others = server.add_key("ci", "wandb-auth-operator of somebody else")?;
    let robot = Robot::at(server, bootstrap).await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    robot.publish_long_ago().await?;
    robot.server.fail_next(1, "generateApiKey", Fault::CloseAfterPerforming);
    robot.server.fail_next(1, "deleteApiKey", Fault::CloseAfterPerforming);
    robot.apply("rotation: {interval: 2h, overlap: 2s}", "checkInterval: 10s").await?;
    let new = robot.wait_for_rotation(&robot.bootstrap).await?;
    eventually("two keys", || async {
        Ok((robot.server.keys_of("ci") == [others.clone(), new.clone()]).then_some(()))
    })
    .await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    assert_eq!(robot.server.requests("generateApiKey"), 2);
    expect_none(&mistakes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_not_wanted_any_more_is_finished() -> Result<()> {
    let robot = Robot::new().await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    robot.publish_long_ago().await?;
    // Long enough that the spec changes before the end of it.
    robot.apply("rotation: {interval: 2h, overlap: 15s}", "").await?;
    let new = robot.wait_for_rotation(&robot.bootstrap).await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["keyID"] == *new.id).await?;
    robot.workspace.secrets().delete("sa-key", &kube::api::DeleteParams::default()).await?;
    robot.apply("", "").await?;
    eventually("one key", || async { Ok((robot.server.keys_of("ci") == [new.clone()]).then_some(())) })
        .await?;
    let status = robot.workspace.wait_until_ready(KIND, "ci").await?;
    assert_eq!((&status["keyID"], &status["nextRotation"]), (&json!(new.id), &Value::Null));
    assert_eq!(robot.published().await?, new.secret);
    expect_none(&mistakes)
}

#[tokio::test]
async fn checking_from_the_cluster_replaces_nothing() -> Result<()> {
    let robot = Robot::new().await?;
    robot.publish_long_ago().await?;
    let namespace = format!("metadata: {{namespace: {}, name: ", robot.workspace.namespace());
    let resource = service_account("ci", &robot.server.base_url(), LONG_ROTATION, "");
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ci.yaml");
    std::fs::write(&file, resource.replace("metadata: {name: ", &namespace))?;
    let output = std::process::Command::new(crate::world::program())
        .args(["check", "--from-cluster", "-f"])
        .arg(&file)
        .env("KUBECONFIG", ControlPlane::shared().await?.kubeconfig(User::Admin))
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    ensure!(printed.contains("only the running operator does it") && !printed.contains(&robot.bootstrap));
    assert_eq!((robot.server.requests("viewer"), robot.server.requests("generateApiKey")), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_new_key_that_the_server_does_not_accept_is_not_published() -> Result<()> {
    let robot = Robot::new().await?;
    robot.publish_long_ago().await?;
    let server = std::sync::Arc::downgrade(&robot.server);
    robot.server.on_request(move |call, phase| {
        if call.operation == "generateApiKey"
            && phase == Phase::After
            && let Some(server) = server.upgrade()
        {
            server.fail_next(1, "viewer", Fault::Status(401));
        }
    });
    robot.apply(LONG_ROTATION, "failureThreshold: 1").await?;
    let status = robot.workspace.wait_for_reason(KIND, "ci", "Verified", "Unauthorized").await?;
    let message = finding(&status, "KeyRotation")?["message"].to_string();
    ensure!(message.contains("which is not published"), "{message}");
    assert_eq!(robot.published().await?, robot.bootstrap);
    assert_eq!(robot.server.keys_of("ci").len(), 1, "it was revoked at once");
    Ok(())
}

#[tokio::test]
async fn a_key_that_cannot_be_told_from_others_is_left_to_a_person() -> Result<()> {
    let server = WandbServer::builder().start()?;
    let bootstrap = server.service_account("ci", "research")?;
    // Keys whose beginnings differ too little: the double shows six characters.
    let shared = bootstrap.get(..3).context("a beginning")?;
    while !server.add_key("ci", "a twin")?.secret.starts_with(shared) {
        let other = server.keys_of("ci").pop().context("the key that was made")?;
        server.revoke(&other.id)?;
    }
    let robot = Robot::at(server, bootstrap).await?;
    robot.publish_long_ago().await?;
    robot.apply("rotation: {interval: 2h, overlap: 0s}", "").await?;
    let new = robot.wait_for_rotation(&robot.bootstrap).await?;
    let told = |status: &Value| {
        finding(status, "KeyRotation").is_ok_and(|found| found["reason"] == "KeyNotIdentified")
    };
    let status = robot.workspace.wait_for(KIND, "ci", told).await?;
    assert_eq!(condition(&status, "Ready").context("Ready")?["status"], "True", "it is a warning");
    let message = finding(&status, "KeyRotation")?["message"].to_string();
    ensure!(message.contains("Whoever copied it must delete it in the web UI"), "{message}");
    robot.workspace.recheck(KIND, "ci", "look").await?;
    robot
        .workspace
        .wait_for(KIND, "ci", |status| {
            told(status) && status["checkedInputs"].to_string().contains("recheck=look")
        })
        .await?;
    assert_eq!(robot.server.keys_of("ci").len(), 3, "nobody guesses");
    // The person does it.
    for key in robot.server.keys_of("ci").iter().filter(|key| key.id != new.id) {
        robot.server.revoke(&key.id)?;
    }
    robot.workspace.recheck(KIND, "ci", "done").await?;
    robot
        .workspace
        .wait_for(KIND, "ci", |status| {
            finding(status, "KeyRotation").is_ok_and(|found| found["result"] == "Passed")
        })
        .await?;
    assert_eq!(robot.server.requests("deleteApiKey"), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_secret_that_is_restored_takes_no_key_from_programs() -> Result<()> {
    const ROTATION: &str = "rotation: {interval: 30s, overlap: 15s}";
    let robot = Robot::new().await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    robot.publish_long_ago().await?;
    robot.apply(ROTATION, "").await?;
    let first = robot.wait_for_rotation(&robot.bootstrap).await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["keyID"] == *first.id).await?;
    let backup = robot.workspace.secrets().get("ci-wsa").await?;
    let second = robot.wait_for_rotation(&first.secret).await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["keyID"] == *second.id).await?;
    // Nothing but the status knows of the second key then.
    let Robot { server, workspace, operator: before, bootstrap: _ } = robot;
    drop(before);
    let annotations = backup.metadata.annotations.clone().unwrap_or_default();
    let restored = json!({
        "metadata": { "annotations": { "auth.wandb.com/record": annotations["auth.wandb.com/record"] } },
        "stringData": { "WANDB_API_KEY": first.secret },
    });
    let patch = kube::api::Patch::Merge(&restored);
    workspace.secrets().patch("ci-wsa", &kube::api::PatchParams::default(), &patch).await?;
    let started = std::time::Instant::now();
    let _after = operator(&workspace)?;
    eventually("the end of the second key", || async {
        ensure!(server.is_valid(&super::published(&workspace.secrets()).await?.context("a key")?));
        Ok((!server.is_valid(&second.secret)).then_some(()))
    })
    .await?;
    ensure!(
        started.elapsed() >= Duration::from_secs(15),
        "programs had the overlap to take the first key up"
    );
    workspace.wait_until_ready(KIND, "ci").await?;
    expect_none(&mistakes)
}

#[tokio::test]
async fn a_generated_key_that_somebody_revoked_gives_way_to_the_copied_one() -> Result<()> {
    let robot = Robot::rotated("").await?;
    let generated = robot.server.keys_of("ci").last().cloned().context("a key")?;
    robot.server.revoke(&generated.id)?;
    robot.workspace.recheck(KIND, "ci", "revoked").await?;
    eventually("the copied key", || async {
        Ok((robot.published().await? == robot.bootstrap).then_some(()))
    })
    .await?;
    let status = robot
        .workspace
        .wait_for(KIND, "ci", |status| status["checkedInputs"].to_string().contains("recheck=revoked"))
        .await?;
    let found = finding(&status, "KeyAccepted")?;
    assert_eq!((&found["result"], &found["reason"]), (&json!("Warning"), &json!("Unauthorized")));
    assert_eq!(status["keyID"], Value::Null);
    assert_eq!(condition(&status, "Ready").context("Ready")?["status"], "True");
    Ok(())
}
