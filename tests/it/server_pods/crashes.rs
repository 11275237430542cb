//! An operator that is killed after any of its writes, and started again.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use test_support::{ApiProxy, ControlPlane, Mutation, Slapd};

use super::{from_pods, nothing_is_left, said, stage, start_through};
use crate::{
    delivery::{
        Stage,
        crashes::{Write, has_sprung, settled, title},
        eventually,
    },
    world::row,
};

/// Few at a time, for every one runs a directory and an operator.
const AT_A_TIME: usize = 3;

/// How many of the writes that a story is to have may be missed: when pods answer decides whether the operator has to
/// wait for them.
const SPARED: usize = 2;

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

/// Waits until the check is over and nothing is left of it.
async fn end(stage: &Stage) -> Result<()> {
    eventually("the end", || async { Ok(is_over(&outcome(stage).await?).then_some(())) }).await?;
    nothing_is_left(stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_nothing_is_left_and_the_end_is_the_same() -> Result<()> {
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let undisturbed = Box::pin(begin(&proxy)).await?;
    end(&undisturbed).await?;
    let expected = settled(&proxy, || outcome(&undisturbed)).await?;
    ensure!(is_over(&expected), "it was not over: {expected:#?}");
    let writes = proxy.mutations();
    ensure!(writes.iter().filter(|write| is_of_check(write)).count() >= 6, "{writes:#?}");
    drop(undisturbed);
    let rows = stream::iter(Write::all(&writes)).map(|write| {
        let expected = &expected;
        async move {
            let _row = row().await?;
            let was_killed = Box::pin(killed_after(&write, expected)).await;
            let was_killed = was_killed.with_context(|| format!("{write:?}"))?;
            anyhow::Ok((write, was_killed))
        }
    });
    let rows: Vec<_> = rows.buffer_unordered(AT_A_TIME).try_collect().await?;
    let missed: Vec<_> =
        rows.iter().filter(|(write, was_killed)| write.is_certain() && !was_killed).collect();
    ensure!(missed.len() <= SPARED, "it was never killed after {missed:#?}");
    Ok(())
}

fn is_of_check(write: &Mutation) -> bool {
    let path = write.path.split('?').next().unwrap_or_default();
    path.ends_with(super::NAME) || (write.method == "POST" && path.ends_with("/pods"))
}

/// Kills the operator after this write; says whether it came.
async fn killed_after(write: &Write, expected: &Outcome) -> Result<bool> {
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let mut stage = stage(&[]).await?;
    start_through(&mut stage, &proxy)?;
    let switch = stage.operator.as_ref().context("no operator")?.kill_switch()?;
    let meant = write.title.clone();
    proxy.lose_answer_to(move |write| title(write) == meant, write.times, move |_| switch.kill());
    stage.apply(&from_pods("")).await?;
    eventually("a death, or the end", || async {
        Ok((!proxy.is_armed() || is_over(&outcome(&stage).await?)).then_some(()))
    })
    .await?;
    let was_killed = has_sprung(&proxy, write.is_certain()).await?;
    if was_killed {
        start_through(&mut stage, &proxy)?;
    }
    end(&stage).await?;
    let waiting =
        eventually("the same end", || async { Ok((outcome(&stage).await? == *expected).then_some(())) })
            .await;
    if let Err(error) = waiting {
        let seen = outcome(&stage).await?;
        return Err(error.context(format!("expected {expected:#?} and saw {seen:#?}")));
    }
    ensure!(stage.directory.bind_attempts(Slapd::SERVICE_DN)? <= 4, "it was proven too often");
    stage.expect_two_ready_always().await?;
    Ok(was_killed)
}
