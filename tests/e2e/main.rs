//! The product as its users get it: the chart on a real node with real pods. `cargo e2e`, as root on Linux.
//!
//! It is one story, since each step goes on from the one before, and one node is as much as a small machine
//! carries. Where no node can run it says why, and succeeds.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod cluster;
mod delivering;
mod disturbing;
mod documented;
mod injecting;
mod installing;
mod permissions;
mod seats;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use test_support::{Node, node::machine, tools};

use crate::cluster::Cluster;

/// Where the image is; without it, the test makes one.
const IMAGE: &str = "WANDB_AUTH_TEST_IMAGE";

fn main() -> ExitCode {
    let outcome = if machine::is_inside() { story().map(|()| ExitCode::SUCCESS) } else { outside() };
    outcome.unwrap_or_else(|error| {
        eprintln!("the end-to-end test failed: {error:?}");
        ExitCode::FAILURE
    })
}

/// Fetches and builds everything, since nothing can be fetched inside the machine, and goes inside.
fn outside() -> Result<ExitCode> {
    if let Some(obstacle) = machine::obstacle() {
        println!("not checked: the chart on a real node, which does not run here: {obstacle}");
        return Ok(ExitCode::SUCCESS);
    }
    tools::kubernetes()?;
    tools::node()?;
    tools::helm()?;
    tools::crane()?;
    tools::slapd()?;
    tools::openid_provider()?;
    tools::stand_in_server()?;
    tools::wandb_client()?;
    if env::var_os(IMAGE).is_some() {
        return machine::run(&[]);
    }
    let directory = tempfile::tempdir()?;
    let image = image(directory.path())?;
    machine::run(&[(IMAGE, image.as_os_str())])
}

/// Makes the image as `cargo image` does for everybody, by the profile that takes the least time.
fn image(directory: &Path) -> Result<PathBuf> {
    let image = directory.join("image.tar");
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["image", "--profile", "quick", "--output"])
        .arg(&image)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    ensure!(command.status().context("cargo does not start")?.success(), "cargo image failed");
    Ok(image)
}

#[tokio::main]
async fn story() -> Result<()> {
    let image = env::var_os(IMAGE).context("the image is nowhere")?;
    let node = Node::start().await?;
    node.import_image(Path::new(&image))?;
    let mut cluster = Cluster::new(node)?;

    step("the documented path with kind", || documented::the_path_with_kind(&cluster))?;
    step("the documented path without Helm", || documented::the_path_without_helm(&cluster))?;
    step("servers run in pods", || delivering::start_servers(&cluster))?;
    step("image and chart are published", || cluster.publish(Path::new(&image)))?;
    step("helm install from the registry", || installing::install(&cluster))?;
    step("the example that helm prints", || installing::the_printed_example_runs(&cluster))?;
    step("the operator's pod is restricted", installing::the_pod_is_restricted)?;
    step("all four kinds become Ready", || delivering::every_kind_becomes_ready(&cluster))?;
    step("people log in", || delivering::people_log_in(&cluster))?;
    step("the server's pods decide what is reached", || seats::the_servers_pods_decide(&cluster))?;
    step("a Job with nothing but the label logs in", || injecting::a_job_logs_in(&cluster))?;
    step("a pod waits for its Secret", || injecting::a_pod_waits_for_its_secret(&cluster))?;
    step("helm upgrade writes no Secret", || installing::upgrade_writes_no_secret(&cluster))?;
    step("a killed operator changes nothing", || disturbing::a_killed_operator_changes_nothing(&cluster))?;
    step("a reboot changes nothing", || disturbing::a_reboot_changes_nothing(&mut cluster))?;
    let [kill, sigterm] =
        step("another replica takes over", || disturbing::another_replica_takes_over(&cluster))?;
    println!("     nobody led for {kill:.1?} after a kill, for {sigterm:.1?} after SIGTERM");
    step("everything else that the operator does", || permissions::exercise(&cluster))?;
    step("resources of a later version", || permissions::meet_a_stranger(&cluster))?;
    step("rights granted are rights used", || {
        permissions::every_right_is_used_and_every_use_is_granted(&cluster)
    })?;
    step("helm uninstall locks nobody out", || installing::uninstalling_locks_nobody_out(&cluster))
}

/// Tells the step and how long it took.
fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = run().with_context(|| format!("the step that failed: {name}"))?;
    println!("ok   {name} ({:.1?})", started.elapsed());
    Ok(result)
}
