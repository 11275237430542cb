//! `cargo bench --bench figures`: what the operator costs, as Markdown tables, beside what is aimed at.
//!
//! `benches/README.md` says what can be chosen. In reading order: [`options`] is what was chosen, [`report`] what is
//! printed, [`process`] what the kernel says of a process, [`load`] how resources become Ready and [`ceiling`] how fast
//! they could. The figures are [`start`], [`kinds`], [`mixed`] (with [`unrelated`], [`edits`] and [`restart`]),
//! [`neighbours`], [`builds`], [`peer`] and [`story`]. Only the last one asserts, since a busy machine is no bug.

mod builds;
mod ceiling;
mod edits;
mod kinds;
mod load;
mod mixed;
mod neighbours;
mod options;
mod peer;
mod process;
mod report;
mod restart;
mod start;
mod story;
mod unrelated;

use std::time::Instant;

use anyhow::{Context, Result};

use options::{Figure, Options};
use report::Report;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, without this argument, to see whether they start.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("These are measurements, not tests: cargo bench --bench figures");
        return Ok(());
    }
    // One provider for every TLS connection; a second installation can only be this same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = Options::of_process()?;
    let mut report = Report::default();
    let mut failure = None;
    for figure in &options.figures {
        let started = Instant::now();
        eprintln!("{figure} …");
        let outcome = measure(*figure, &options, &mut report).await;
        eprintln!("{figure}: {} s", started.elapsed().as_secs());
        // What was measured before is not lost.
        if let Err(error) = outcome.with_context(|| figure.to_string()) {
            eprintln!("{error:#}");
            failure = failure.or(Some(error));
        }
    }
    print!("{report}");
    failure.map_or(Ok(()), Err)
}

async fn measure(figure: Figure, options: &Options, report: &mut Report) -> Result<()> {
    match figure {
        Figure::Start => start::measure(options, report).await,
        Figure::Kinds => kinds::measure(options, report).await,
        Figure::Mixed => mixed::measure(options, report).await,
        Figure::Neighbours => neighbours::measure(options, report).await,
        Figure::Builds => builds::measure(options, report).await,
        Figure::Peer => peer::measure(options, report).await,
        Figure::Story => story::measure(options, report).await,
    }
}
