//! An operator that is killed after any of its writes, and started again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use test_support::{ApiProxy, ControlPlane, Mutation, Slapd};

use super::{from_pods, nothing_is_left, said, stage, start_through};
use crate::{
    delivery::{Stage, eventually, silence},
    world::row,
};

/// Few at a time, for every one runs a directory and an operator.
const AT_A_TIME: usize = 3;

/// Longer than the operator waits between two writes, save for what it waits for.
const SILENCE: Duration = Duration::from_millis(2500);

/// What is left in the end.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    conditions: BTreeSet<String>,
    revision: Value,
    server_pod: Value,
    checks: BTreeSet<String>,
}

async fn outcome(stage: &Stage) -> Result<Outcome> {
    let status = stage.workspace.status("LdapConfig", "corp").await?;
    let conditions = ["Verified", "Published", "RolledOut", "Ready"];
    let checks = status["checks"].as_array().into_iter().flatten();
    let seat = |check: &Value| format!("{} {} {}", check["name"], check["result"], check["from"]);
    Ok(Outcome {
        conditions: conditions.iter().map(|type_| format!("{type_} {}", said(&status, type_))).collect(),
        revision: status["revision"].clone(),
        server_pod: status["serverPod"].clone(),
        checks: checks.map(seat).collect(),
    })
}

fn is_over(outcome: &Outcome) -> bool {
    outcome.conditions.contains("Ready True Ready") && outcome.server_pod["revision"] == 1
}

/// Begins a check of new values, and awaits how it ends.
async fn begin(proxy: &ApiProxy) -> Result<Stage> {
    let mut stage = stage(&[]).await?;
    start_through(&mut stage, proxy)?;
    stage.apply(&from_pods("")).await?;
    Ok(stage)
}

async fn end(stage: &Stage) -> Result<Outcome> {
    let outcome = eventually("the end", || async {
        let outcome = outcome(stage).await?;
        Ok(is_over(&outcome).then_some(outcome))
    })
    .await?;
    nothing_is_left(stage).await?;
    Ok(outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_nothing_is_left_and_the_end_is_the_same() -> Result<()> {
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let undisturbed = Box::pin(begin(&proxy)).await?;
    let expected = end(&undisturbed).await?;
    silence(SILENCE, || async { Ok(proxy.mutations().len()) }).await?;
    let writes = proxy.mutations();
    ensure!(writes.iter().filter(|write| is_of_check(write)).count() >= 6, "{writes:#?}");
    drop(undisturbed);
    let rows = stream::iter(1..=writes.len()).map(|number| {
        let expected = &expected;
        async move {
            let _row = row().await?;
            Box::pin(killed_after(number, expected)).await.with_context(|| format!("write {number}"))
        }
    });
    let killed: Vec<bool> = rows.buffer_unordered(AT_A_TIME).try_collect().await?;
    ensure!(killed.iter().filter(|was_killed| **was_killed).count() + 2 >= writes.len(), "{killed:?}");
    Ok(())
}

fn is_of_check(write: &Mutation) -> bool {
    let path = write.path.split('?').next().unwrap_or_default();
    path.ends_with(super::NAME) || (write.method == "POST" && path.ends_with("/pods"))
}

/// Kills the operator after so many writes; says whether there were as many.
async fn killed_after(number: usize, expected: &Outcome) -> Result<bool> {
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let mut stage = stage(&[]).await?;
    start_through(&mut stage, &proxy)?;
    let switch = stage.operator.as_ref().context("no operator")?.kill_switch()?;
    proxy.lose_answer(number, move |_| switch.kill());
    stage.apply(&from_pods("")).await?;
    eventually("a death, or the end", || async {
        Ok((!proxy.is_armed() || is_over(&outcome(&stage).await?)).then_some(()))
    })
    .await?;
    if proxy.is_armed() {
        silence(SILENCE, || async { Ok(proxy.mutations().len()) }).await?;
    }
    let was_killed = !proxy.is_armed();
    proxy.disarm();
    if was_killed {
        start_through(&mut stage, &proxy)?;
    }
    assert_eq!(&end(&stage).await?, expected);
    ensure!(stage.directory.bind_attempts(Slapd::SERVICE_DN)? <= 4, "it was proven too often");
    stage.expect_two_ready_always().await?;
    Ok(was_killed)
}
