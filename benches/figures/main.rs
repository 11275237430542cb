//! `cargo bench --bench figures`: what the operator costs, as a Markdown table, beside what is aimed at.
//!
//! One of them alone: `cargo bench --bench figures -- neighbours`.
//!
//! In reading order: [`table`] is what is printed, [`world`] is what is measured against, and then
//! come the figures: [`start`], [`memory`], [`latency`] and [`neighbours`]. Nothing is asserted, since a busy
//! machine is no bug.

mod latency;
mod memory;
mod neighbours;
mod start;
mod table;
mod world;

use std::path::Path;

use anyhow::Result;

use table::Table;
use world::World;

/// The operator's program, as cargo built it for this benchmark.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wandb-auth-operator"))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, without this argument, to see whether they start.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("These are measurements, not tests: cargo bench --bench figures");
        return Ok(());
    }
    // One provider for every TLS connection; a second installation can only be this same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut table = Table::default();
    program_size(&mut table)?;
    eprintln!("starting the servers …");
    let world = World::start().await?;
    if is_wanted("start") {
        eprintln!("measuring the start …");
        start::measure(&world, &mut table).await?;
    }
    if is_wanted("memory") {
        eprintln!("measuring memory …");
        memory::measure(&world, &mut table).await?;
    }
    if is_wanted("latency") {
        eprintln!("measuring the time from an edit to Ready …");
        latency::measure(&world, &mut table).await?;
    }
    if is_wanted("neighbours") {
        eprintln!("measuring the same beside neighbours that hang …");
        neighbours::measure(&world, &mut table).await?;
    }
    print!("{table}");
    Ok(())
}

/// Whether the command line names this figure, or none at all.
fn is_wanted(figure: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == figure)
}

fn program_size(table: &mut Table) -> Result<()> {
    let mebibytes = table::mebibytes(program().metadata()?.len());
    let note = if cfg!(debug_assertions) { " (of an unoptimized build)" } else { "" };
    table.add("size of the program", format!("{mebibytes}{note}"), "12 MiB");
    Ok(())
}
