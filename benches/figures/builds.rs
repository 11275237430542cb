//! Builds of the operator side by side.

use std::time::Instant;

use anyhow::Result;
use test_support::fleet::{Fleet, KINDS};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::{
    load::Load,
    mixed::{SETTLING, namespaces},
    options::Options,
    process::Process,
    report::{Report, grouped, mebibytes},
};

/// Builds are compared with the largest size of those that do not exceed this.
const ENOUGH: usize = 1_000;

/// Measures each program that was named, and the operator itself.
pub async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if options.other_builds.is_empty() {
        return Ok(());
    }
    let size = options.sizes.iter().copied().filter(|size| *size <= ENOUGH).max().unwrap_or(ENOUGH);
    let mut rows = Vec::new();
    for program in [&options.program].into_iter().chain(&options.other_builds) {
        eprintln!("  {} …", program.display());
        let fleet = Fleet::start(&custom_resource_definitions(), namespaces(size)).await?;
        fleet.fill(&KINDS, size).await?;
        let started = Instant::now();
        let operator = fleet.operator(program)?;
        let process = Process(operator.id());
        let census = fleet.census(&KINDS)?;
        let load = Load::of((process, started), &census, size, async || fleet.requests()).await?;
        tokio::time::sleep(SETTLING).await;
        rows.push(vec![
            program.display().to_string(),
            mebibytes(program.metadata()?.len()),
            format!("{:.2} ms", load.cpu_each().as_secs_f64() * 1000.0),
            format!("{:.0}", load.rate()),
            grouped(size - load.ready.min(size)),
            process.resident()?.words,
        ]);
    }
    let title = format!("Builds, with {} resources of four kinds:", grouped(size));
    let header =
        ["program", "size", "CPU a resource until Ready", "Ready a second", "not Ready", "resident memory"];
    report.section(&title, &header, rows);
    Ok(())
}
