//! Resources of all four kinds in many namespaces: until Ready, at rest, under edits and over a restart.

use std::time::{Duration, Instant};

use anyhow::Result;
use test_support::fleet::{Fleet, KINDS};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::{
    ceiling, edits,
    load::Load,
    options::Options,
    process::Process,
    report::{Cell, Report, grouped},
    restart,
    unrelated::{self, Cost},
};

/// Resources of one namespace, of all kinds together.
const IN_A_NAMESPACE: usize = 200;

/// The most namespaces.
const NAMESPACES: usize = 50;

/// How long memory is given to settle after the last change.
pub const SETTLING: Duration = Duration::from_secs(5);

/// How many namespaces so many resources are spread over.
pub fn namespaces(size: usize) -> usize {
    size.div_ceil(IN_A_NAMESPACE).clamp(1, NAMESPACES)
}

/// Measures each size.
pub async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    for &size in &options.sizes {
        eprintln!("  {} resources of four kinds …", grouped(size));
        measure_size(options, size, report).await?;
    }
    Ok(())
}

async fn measure_size(options: &Options, size: usize, report: &mut Report) -> Result<()> {
    let fleet = Fleet::start(&custom_resource_definitions(), namespaces(size)).await?;
    fleet.fill(&KINDS, size).await?;
    let without = unrelated::cost(&fleet, None).await?;

    let started = Instant::now();
    let operator = fleet.operator(&options.program)?;
    let process = Process(operator.id());
    let census = fleet.census(&KINDS)?;
    let load = Load::of((process, started), &census, size, async || fleet.requests()).await?;
    report.section(
        &format!("Requests until {} resources of four kinds are Ready:", grouped(size)),
        &["verb", "of", "number", "a resource"],
        load.requests_in_words(),
    );
    tokio::time::sleep(SETTLING).await;
    let resident = process.resident()?;
    let words = resident.words.clone();
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let cell = Cell::cost(words, resident.total as f64);
    report.add_sized("resident memory", size, cell, "20 MiB, at 10,000 64 MiB");

    eprintln!("  a Secret that concerns nobody …");
    unrelated_rows(report, size, &without, &unrelated::cost(&fleet, Some(process)).await?);
    eprintln!("  edits …");
    edits::measure(&fleet, size, report).await?;
    eprintln!("  a restart …");
    restart::measure(&fleet, operator, options, size, report).await?;
    eprintln!("  the ceiling …");
    let ceiling = ceiling::measure(&fleet, &KINDS, size, load.others_each()).await?;
    load.record(report, "four kinds", ("6 ms", Some(ceiling)));
    Ok(())
}

fn unrelated_rows(report: &mut Report, size: usize, without: &Cost, with: &Cost) {
    report.add_sized(
        "CPU for a change of a Secret that concerns nobody",
        size,
        Cell::milliseconds(with.controller),
        "0.05 ms",
    );
    let milliseconds = |cost: &Cost| cost.api_server.as_secs_f64() * 1000.0;
    report.add_sized(
        "the API server's CPU for it, with us and without",
        size,
        Cell::cost(
            format!("{:.2}, {:.2} ms", milliseconds(with), milliseconds(without)),
            with.api_server.as_secs_f64(),
        ),
        "two watches a scope",
    );
}
