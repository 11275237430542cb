//! From the start of the process until every resource is listed, and what it holds without any resource.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;
use test_support::{Operator, fleet::Fleet};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::{
    mixed::SETTLING,
    options::Options,
    process::Process,
    report::{Report, mebibytes, milliseconds, percentile},
};

const STARTS: usize = 10;

/// Starts the operator several times without resources.
pub async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let note = if options.is_unoptimized() { " (of an unoptimized build)" } else { "" };
    let size = mebibytes(options.program.metadata()?.len());
    report.add("size of the program", format!("{size}{note}"), "12 MiB");
    let fleet = Fleet::start(&custom_resource_definitions(), 1).await?;
    let mut durations = Vec::new();
    for _ in 0..STARTS {
        let started = SystemTime::now();
        let operator = fleet.operator(&options.program)?;
        operator.wait_until_ready()?;
        durations.push(became_ready(&operator)?.duration_since(started)?);
    }
    report.add(
        &format!("start to ready, {STARTS} times: median, maximum"),
        format!(
            "{}, {}",
            milliseconds(percentile(&durations, 50)),
            milliseconds(durations.iter().copied().max().unwrap_or(Duration::ZERO))
        ),
        "100 ms",
    );
    let operator = fleet.operator(&options.program)?;
    operator.wait_until_ready()?;
    tokio::time::sleep(SETTLING).await;
    let resident = Process(operator.id()).resident()?;
    report.add("resident memory without resources", resident.words, "12 MiB");
    Ok(())
}

/// When it became ready by its own log, which is more exact than to ask it again and again.
pub fn became_ready(operator: &Operator) -> Result<SystemTime> {
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
