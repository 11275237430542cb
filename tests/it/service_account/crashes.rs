//! An operator that is killed anywhere in a rotation, and started again: one that is due, and one that a person asked
//! for together with the end of the overlap.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use test_support::{ApiProxy, ControlPlane};

use super::{Robot, eventually, expect_none, publish, published, service_account, watch_revocations};
use crate::world::{operator, program, row};

/// Few at a time, for every one runs an operator.
const AT_A_TIME: usize = 4;

/// Why a key is replaced.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// The interval is over. The overlap is short.
    Due,
    /// A person asks for it, and for the end of the overlap. Otherwise no key would be replaced or revoked.
    Asked,
}

const CAUSES: [Cause; 2] = [Cause::Due, Cause::Asked];

impl Cause {
    async fn arise(self, robot: &Robot) -> Result<()> {
        let rotation = match self {
            Self::Due => "rotation: {interval: 1h, overlap: 2s}",
            Self::Asked => "",
        };
        let resource = service_account("ci", &robot.server.base_url(), rotation, SHORT_PATIENCE);
        let asked = "annotations: {auth.wandb.com/rotate: leak, auth.wandb.com/revoke-previous: leak}";
        let resource = match self {
            Self::Due => resource,
            Self::Asked => resource.replace("{name: ci}", &format!("{{name: ci, {asked}}}")),
        };
        robot.workspace.apply(&resource).await
    }
}

/// A key that was made and not published is spared for twice the time limit. A check that took longer on a busy machine
/// is made again after the interval.
const SHORT_PATIENCE: &str = "checkTimeout: 2s\ncheckInterval: 10s";

/// More writes than a rotation takes, with the events of all of them.
const WRITES: usize = 8;

/// More announcements of requests than a rotation has: two each.
const ANNOUNCEMENTS: usize = 15;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_one_key_is_left() -> Result<()> {
    let cases = CAUSES.into_iter().flat_map(|cause| (1..=WRITES).map(move |write| (cause, write)));
    let killed = stream::iter(cases)
        .map(|(cause, write)| async move {
            let _row = row().await?;
            killed_at_write(cause, write).await.with_context(|| format!("{cause:?}, write {write}"))
        })
        .buffer_unordered(AT_A_TIME);
    let killed: Vec<usize> = killed.try_collect().await?;
    ensure!(killed.iter().sum::<usize>() >= 10, "it was killed too seldom: {killed:?}");
    Ok(())
}

/// Tells how often it was killed.
async fn killed_at_write(cause: Cause, write: usize) -> Result<usize> {
    let mut robot = prepared(cause).await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    robot.operator =
        robot.workspace.start_operator_through(&proxy, program(), &["--allow-egress", "127.0.0.0/8"])?;
    let switch = robot.operator.kill_switch()?;
    proxy.lose_answer(write, move |_| switch.kill());
    cause.arise(&robot).await?;
    eventually("a death, or the end", || async {
        Ok((!proxy.is_armed() || is_settled(&robot).await?).then_some(()))
    })
    .await?;
    finish(cause, robot, &mistakes).await?;
    Ok(usize::from(!proxy.is_armed()))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_request_is_the_last_one_key_is_left() -> Result<()> {
    let cases = CAUSES.into_iter().flat_map(|cause| (1..=ANNOUNCEMENTS).map(move |number| (cause, number)));
    let killed = stream::iter(cases)
        .map(|(cause, number)| async move {
            let _row = row().await?;
            killed_at_announcement(cause, number)
                .await
                .with_context(|| format!("{cause:?}, announcement {number}"))
        })
        .buffer_unordered(AT_A_TIME);
    let killed: Vec<usize> = killed.try_collect().await?;
    ensure!(killed.iter().sum::<usize>() >= 28, "it was killed too seldom: {killed:?}");
    Ok(())
}

/// Tells how often it was killed.
async fn killed_at_announcement(cause: Cause, number: usize) -> Result<usize> {
    let robot = prepared(cause).await?;
    let mistakes = watch_revocations(&robot.server, robot.workspace.secrets());
    let switch = robot.operator.kill_switch()?;
    let announced = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&announced);
    robot.server.on_request(move |_, _| {
        if counted.fetch_add(1, Ordering::SeqCst) + 1 == number {
            switch.kill();
        }
    });
    cause.arise(&robot).await?;
    let is_dead = || announced.load(Ordering::SeqCst) >= number;
    eventually("a death, or the end", || async {
        Ok((is_dead() || is_settled(&robot).await?).then_some(()))
    })
    .await?;
    let killed = usize::from(is_dead());
    finish(cause, robot, &mistakes).await?;
    Ok(killed)
}

/// A robot whose key was published long ago, and whose operator has nothing to do yet.
async fn prepared(cause: Cause) -> Result<Robot> {
    let robot = Robot::new().await?;
    let record = match cause {
        Cause::Due => r#"{"rotation":0,"since":"2026-01-01T00:00:00Z"}"#,
        // What a resource has from its beginning asks for nothing, unless a run has seen it without that.
        Cause::Asked => r#"{"rotation":0,"since":"2026-01-01T00:00:00Z","handled":{}}"#,
    };
    publish(&robot.workspace, &robot.server, &robot.bootstrap, record).await?;
    Ok(robot)
}

/// Starts another operator, and waits until one key is left: the published one.
async fn finish(cause: Cause, mut robot: Robot, mistakes: &std::sync::Mutex<Vec<String>>) -> Result<()> {
    robot.operator = operator(&robot.workspace)?;
    eventually("one key", || async { Ok(is_settled(&robot).await?.then_some(())) }).await?;
    robot.workspace.wait_until_ready(super::KIND, "ci").await?;
    if let Cause::Asked = cause {
        let is_handled = |status: &serde_json::Value| {
            status["lastHandledRotate"] == "leak" && status["lastHandledRevokePrevious"] == "leak"
        };
        robot.workspace.wait_for(super::KIND, "ci", is_handled).await?;
        ensure!(robot.server.keys_of("ci").iter().all(|key| key.secret != robot.bootstrap));
    }
    ensure!(is_settled(&robot).await?, "a key was made or revoked later");
    expect_none(mistakes)
}

/// Whether one key is left, which is a generated one and is published.
async fn is_settled(robot: &Robot) -> Result<bool> {
    let keys = robot.server.keys_of("ci");
    let published = published(&robot.workspace.secrets()).await?;
    ensure!(
        published.as_ref().is_some_and(|key| robot.server.is_valid(key)),
        "the published key is not valid"
    );
    Ok(keys.len() == 1
        && published.is_some_and(|published| keys.iter().all(|key| key.secret == published))
        && keys.iter().all(|key| key.description.contains(" rotation ")))
}
