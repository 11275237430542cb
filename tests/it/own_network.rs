//! A network and mounts of one's own, in which a test may have every name, address and port.
//!
//! The system's own resolver is asked for names, and it reads one file and asks one port: so a test calls itself again
//! where it may bring both.

use std::{
    env, fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

const NAMESPACES: [&str; 6] = ["--user", "--map-root-user", "--net", "--mount", "--kill-child", "--fork"];

/// Says that the test is in a network of its own.
const INSIDE: &str = "WANDB_AUTH_TEST_NETWORK";

/// Whether this machine lets anybody make a network of one's own.
pub fn is_possible() -> bool {
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).args(["ip", "link", "set", "lo", "up"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Calls the ignored test of this name in a network of its own.
pub fn call(test: &str) -> Result<()> {
    let mut inside = Command::new("unshare");
    inside.args(NAMESPACES).arg(env::current_exe()?).args(["--exact", test, "--ignored"]).env(INSIDE, "yes");
    let output = inside.output()?;
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && printed.contains("1 passed"), "{printed}");
    Ok(())
}

/// Brings the loopback interface up, and gives the resolver these settings as long as the result is kept.
pub fn set_up(resolver: &str) -> Result<TempDir> {
    ensure!(env::var_os(INSIDE).is_some(), "this test changes the network that it is in");
    run("ip", &["link", "set", "lo", "up"])?;
    let own = tempfile::tempdir()?;
    let file = own.path().join("resolv.conf");
    fs::write(&file, resolver)?;
    run("mount", &["--bind", file.to_str().context("a path")?, "/etc/resolv.conf"])?;
    Ok(own)
}

/// Runs a program that changes the network or the mounts.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).status().with_context(|| program.to_owned())?;
    ensure!(status.success(), "{program} {}", arguments.join(" "));
    Ok(())
}
