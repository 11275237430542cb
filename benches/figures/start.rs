//! From the start of the process until every resource is listed.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;
use test_support::Operator;

use crate::{
    table::{Table, milliseconds, percentile},
    world::{World, start_operator},
};

const STARTS: usize = 10;

/// Starts the operator several times on a namespace without resources.
pub async fn measure(world: &World, table: &mut Table) -> Result<()> {
    let workspace = world.workspace().await?;
    let mut durations = Vec::new();
    for _ in 0..STARTS {
        let started = SystemTime::now();
        let operator = start_operator(&workspace)?;
        operator.wait_until_ready()?;
        durations.push(became_ready(&operator)?.duration_since(started)?);
    }
    table.add(
        &format!("start to ready, {STARTS} times: median, maximum"),
        format!(
            "{}, {}",
            milliseconds(percentile(&durations, 50)),
            milliseconds(durations.iter().copied().max().unwrap_or(Duration::ZERO))
        ),
        "100 ms",
    );
    Ok(())
}

/// When it became ready by its own log, which is more exact than to ask it again and again.
fn became_ready(operator: &Operator) -> Result<SystemTime> {
    let log = operator.log().read()?;
    let line = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| {
            line.get("message").and_then(Value::as_str).is_some_and(|text| text.starts_with("ready:"))
        })
        .context("the operator's log does not say when it became ready")?;
    let timestamp = line.get("timestamp").and_then(Value::as_str).context("the log has no timestamps")?;
    Ok(timestamp.parse::<Timestamp>()?.into())
}
