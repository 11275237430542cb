//! `cargo demo`: the whole operator for a newcomer, on a Kubernetes API of its own.
//!
//! In reading order: [`servers`] are what people log in with, [`samples`] are the resources with what is
//! expected of each, [`preview`] checks some of them while the Kubernetes API is still being built, [`cluster`]
//! is where they live, [`operator`] manages them, and [`report`] shows what became of them.

mod cluster;
mod operator;
mod preview;
mod report;
mod samples;
mod servers;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use test_support::progress::{self, Waiting};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use cluster::{Cluster, Place};
use operator::InProcessOperator;
use servers::Servers;

/// Shows the operator at work: five resources that are right, and six with one realistic mistake each.
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Stop by itself, with exit code 0 only if everything turned out as expected.
    #[arg(long)]
    once: bool,

    /// Use the cluster of the current context, in a namespace of its own, instead of a local Kubernetes API.
    #[arg(long)]
    use_current_context: bool,
}

/// How the demo ended.
enum Ending {
    /// Everything was as expected.
    AsExpected,
    /// Something was not, and was told.
    NotAsExpected,
    /// By Ctrl-C.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::AsExpected => Self::SUCCESS,
            Ending::NotAsExpected => Self::from(1),
            // What a shell reports of a program that SIGINT ended.
            Ending::Interrupted => Self::from(130),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One provider for every TLS connection; a second installation can only be this same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(demonstrate(&arguments));
    // Ctrl-C may come while a component is built, which nobody waits for: it ends with this process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended.map_or_else(
        |error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        },
        ExitCode::from,
    )
}

/// Builds the stage, plays, and takes everything down again.
async fn demonstrate(arguments: &Arguments) -> Result<Ending> {
    let interrupted = interruption()?;
    progress::draw();
    println!("Everything runs on this machine and goes away when the demo ends.");
    println!("The first run builds or fetches what this machine lacks; every later one takes seconds.\n");
    // What takes longest comes first, and needs nobody to wait for it.
    let place = if arguments.use_current_context { Place::CurrentContext } else { Place::local() };

    let Some(servers) = interrupted.run_until_cancelled(Servers::start()).await else {
        return Ok(Ending::Interrupted);
    };
    let servers = servers?;
    let of_preview = preview::show(&servers)?;
    let Some(cluster) = interrupted.run_until_cancelled(Box::pin(Cluster::open(place))).await else {
        return Ok(Ending::Interrupted);
    };
    let cluster = cluster?;
    let ending = interrupted.run_until_cancelled(play(arguments, &servers, &cluster, of_preview)).await;
    cluster.close().await?;
    ending.unwrap_or(Ok(Ending::Interrupted))
}

/// Set by the first Ctrl-C or SIGTERM.
fn interruption() -> Result<CancellationToken> {
    let cannot = "Ctrl-C cannot be received on this system";
    let mut interrupt = signal(SignalKind::interrupt()).context(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).context(cannot)?;
    let interrupted = CancellationToken::new();
    let token = interrupted.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        println!();
        token.cancel();
    });
    Ok(interrupted)
}

/// Runs the operator on the sample resources and shows what it makes of them, and what was not as expected, there and in
/// the preview.
async fn play(
    arguments: &Arguments,
    servers: &Servers,
    cluster: &Cluster,
    of_preview: Vec<String>,
) -> Result<Ending> {
    let workspace = &cluster.workspace;
    let mut operator = InProcessOperator::start(cluster.operator.clone(), workspace.namespace())?;
    let shown = async {
        samples::apply(workspace, servers).await?;
        samples::settle(workspace).await;
        report::print(workspace).await?;
        samples::differences(workspace).await
    };
    let of_operator = tokio::select! {
        differences = shown => differences?,
        error = operator.end() => return Err(error),
    };
    let differences = [of_preview, of_operator].concat();
    report::print_differences(&differences);
    if arguments.once {
        return Ok(if differences.is_empty() { Ending::AsExpected } else { Ending::NotAsExpected });
    }
    report::print_what_to_try(workspace.namespace(), cluster.kubeconfig());
    Err(operator.end().await)
}

/// Says what is done next.
fn step(what: &str) {
    progress::say(&format!("• {what}"));
}

/// Says what is done next and, until that is over, for how long already: until what it returns is dropped.
#[must_use]
fn begin(what: &str) -> Waiting {
    step(what);
    // The details stand in the line above.
    Waiting::announced(what.split([':', ';']).next().unwrap_or(what))
}
