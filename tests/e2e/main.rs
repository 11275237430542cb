//! The product as its users get it: the chart on a real node with real pods. `cargo e2e`, as root on Linux.

use std::process::ExitCode;

use anyhow::Result;
use test_support::{
    Node,
    node::{machine, services},
    tools,
};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the end-to-end test failed: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    if machine::is_inside() {
        return story().map(|()| ExitCode::SUCCESS);
    }
    if let Some(obstacle) = machine::obstacle() {
        println!("the end-to-end test does not run here: {obstacle}");
        return Ok(ExitCode::SUCCESS);
    }
    prepare()?;
    machine::run()
}

/// Fetches and builds everything, since nothing can be fetched inside the machine.
fn prepare() -> Result<()> {
    tools::kubernetes()?;
    tools::node()?;
    tools::helm()?;
    tools::slapd()?;
    tools::openid_provider()?;
    tools::stand_in_server()?;
    Ok(())
}

#[tokio::main]
async fn story() -> Result<()> {
    let started = std::time::Instant::now();
    let mut node = Node::start().await?;
    println!("node {:?}", started.elapsed());
    let servers = services::servers()?;
    node.kubectl(&["apply", "-f", "-"], &servers.manifest.to_string())?;
    node.wait_for(&["deployment", "--all", "--namespace=identity"], "Available")?;
    println!("servers {:?}", started.elapsed());
    println!("{}", node.kubectl(&["get", "pods", "-A", "-o", "wide"], "")?);
    node.reboot()?;
    println!("reboot {:?}", started.elapsed());
    println!("{}", node.kubectl(&["get", "pods", "-A", "-o", "wide"], "")?);
    Ok(())
}
