//! A person asks for a new key now, or for the end of the overlap, by an annotation with a new value.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{KIND, Robot, eventually, expect_none, finding, watch_revocations};
use crate::world::operator;

const ROTATE: &str = "auth.wandb.com/rotate";
const REVOKE_PREVIOUS: &str = "auth.wandb.com/revoke-previous";

/// A robot whose copied key is published, and which has nothing to do for hours.
async fn resting() -> Result<Robot> {
    let robot = Robot::new().await?;
    robot.apply("", "checkInterval: 1h").await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    Ok(robot)
}

impl Robot {
    async fn ask(&self, requests: &[(&str, &str)]) -> Result<()> {
        let annotations: serde_json::Map<_, _> =
            requests.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        self.workspace.patch(KIND, "ci", &json!({ "metadata": { "annotations": annotations } })).await
    }

    /// Waits until only the published key is left.
    async fn wait_for_one_key(&self) -> Result<()> {
        eventually("one key", || async {
            let keys = self.server.keys_of("ci");
            let published = self.published().await?;
            Ok((keys.len() == 1 && keys.iter().all(|key| key.secret == published)).then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_value_acts_once() -> Result<()> {
    let robot = resting().await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    robot.ask(&[(ROTATE, "monday")]).await?;
    let second = robot.wait_for_rotation(&robot.bootstrap).await?;
    let handled = |status: &serde_json::Value| status["lastHandledRotate"] == "monday";
    let status = robot.workspace.wait_for(KIND, "ci", handled).await?;
    ensure!(status["keyID"] == *second.id, "the status names the new key: {status}");
    ensure!(robot.server.is_valid(&robot.bootstrap), "programs still use the replaced key");
    let object = robot.workspace.resources(KIND)?.get("ci").await?;
    ensure!(object.metadata.finalizers.is_some(), "a generated key is revoked with the resource");

    // A look for another reason is no request.
    robot.workspace.recheck(KIND, "ci", "look").await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["lastHandledRecheck"] == "look").await?;
    ensure!(robot.server.requests("generateApiKey") == 1, "the same value acts once");

    // The new key leaks, too, while the first one is in its overlap.
    robot.ask(&[(ROTATE, "tuesday")]).await?;
    let third = robot.wait_for_rotation(&second.secret).await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["keyID"] == *third.id).await?;
    for key in [&robot.bootstrap, &second.secret] {
        ensure!(robot.server.is_valid(key), "both replaced keys are in their overlap");
    }

    robot.ask(&[(REVOKE_PREVIOUS, "now")]).await?;
    robot.wait_for_one_key().await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["lastHandledRevokePrevious"] == "now").await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    expect_none(&mistakes)?;
    ensure!(robot.server.requests("generateApiKey") == 2, "one key for each request");
    eventually("the events", || async {
        let events = robot.workspace.events().await?;
        let words = ["KeyRotated", "OverlapEnded", "read the Secret again"];
        Ok(words.iter().all(|word| events.contains(word)).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_key_is_replaced_and_then_revoked_by_one_command() -> Result<()> {
    let robot = resting().await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    robot.ask(&[(ROTATE, "leak"), (REVOKE_PREVIOUS, "leak")]).await?;
    robot.wait_for_rotation(&robot.bootstrap).await?;
    robot.wait_for_one_key().await?;
    let is_handled = |status: &serde_json::Value| {
        status["lastHandledRotate"] == "leak" && status["lastHandledRevokePrevious"] == "leak"
    };
    robot.workspace.wait_for(KIND, "ci", is_handled).await?;
    expect_none(&mistakes)?;
    ensure!(!robot.server.is_valid(&robot.bootstrap) && robot.server.requests("generateApiKey") == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_comes_back_with_a_reverted_commit_does_nothing() -> Result<()> {
    let robot = resting().await?;
    robot.ask(&[(ROTATE, "one")]).await?;
    let second = robot.wait_for_rotation(&robot.bootstrap).await?;
    robot.ask(&[(ROTATE, "two")]).await?;
    let third = robot.wait_for_rotation(&second.secret).await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["lastHandledRotate"] == "two").await?;

    let is_told = |status: &serde_json::Value| {
        finding(status, "KeyRotation").is_ok_and(|finding| {
            finding["message"].as_str().is_some_and(|it| it.contains("acted on before and came back"))
        })
    };
    robot.ask(&[(ROTATE, "one")]).await?;
    robot.workspace.wait_for(KIND, "ci", is_told).await?;
    // The next process does not act on it either.
    let Robot { server, workspace, operator: first, bootstrap } = robot;
    drop(first);
    let robot = Robot { operator: operator(&workspace)?, server, workspace, bootstrap };
    robot.workspace.recheck(KIND, "ci", "look").await?;
    let status =
        robot.workspace.wait_for(KIND, "ci", |status| status["lastHandledRecheck"] == "look").await?;
    ensure!(is_told(&status), "{status}");
    ensure!(robot.published().await? == third.secret && robot.server.requests("generateApiKey") == 2);
    robot.ask(&[(ROTATE, "three")]).await?;
    robot.wait_for_rotation(&third.secret).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_while_no_operator_runs_is_done_by_the_next_one() -> Result<()> {
    let Robot { server, workspace, operator: first, bootstrap } = resting().await?;
    drop(first);
    let annotations = json!({ "metadata": { "annotations": { ROTATE: "meanwhile" } } });
    workspace.patch(KIND, "ci", &annotations).await?;
    let robot = Robot { operator: operator(&workspace)?, server, workspace, bootstrap };
    robot.wait_for_rotation(&robot.bootstrap).await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["lastHandledRotate"] == "meanwhile").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_valid_keys_is_bounded_and_the_condition_says_what_to_do() -> Result<()> {
    let robot = resting().await?;
    let mut published = robot.bootstrap.clone();
    for number in 0..4 {
        robot.ask(&[(ROTATE, &number.to_string())]).await?;
        published =
            robot.wait_for_rotation(&published).await.with_context(|| format!("key {number}"))?.secret;
    }
    robot.ask(&[(ROTATE, "too much")]).await?;
    let is_told = |status: &serde_json::Value| {
        finding(status, "KeyRotation").is_ok_and(|finding| finding["reason"] == "TooManyKeys")
    };
    let status = robot.workspace.wait_for(KIND, "ci", is_told).await?;
    let message = finding(&status, "KeyRotation")?["message"].to_string();
    for words in ["4 replaced keys are still valid", REVOKE_PREVIOUS] {
        ensure!(message.contains(words), "{message}");
    }
    ensure!(robot.published().await? == published && robot.server.keys_of("ci").len() == 5);

    // What the message says to do is enough for the key that was asked for.
    robot.ask(&[(REVOKE_PREVIOUS, "please")]).await?;
    robot.wait_for_rotation(&published).await?;
    robot.wait_for_one_key().await?;
    robot.workspace.wait_for(KIND, "ci", |status| status["lastHandledRotate"] == "too much").await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    Ok(())
}
