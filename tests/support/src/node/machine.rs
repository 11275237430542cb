//! A machine of one's own: this program again, with a network, mounts and processes that nobody else sees.
//!
//! Whatever is started in it ends with it, also when this process is killed: the kernel ends every process of
//! a process namespace with its first.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use super::cgroups;

/// What the names of machines begin with, before the id of the process outside.
const PREFIX: &str = "wandb-auth-test-";
/// Says inside which machine a process is; its value is the name of the machine's control group.
const VARIABLE: &str = "WANDB_AUTH_TEST_MACHINE";
const NAMESPACES: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Whether this process is inside a machine.
pub fn is_inside() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// The name of the machine that this process is inside.
pub(super) fn current() -> Result<String> {
    env::var(VARIABLE).context("this process is not inside a machine of its own")
}

/// Why no machine can be made here, for a person.
pub fn obstacle() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a Kubernetes node needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some(
            "a Kubernetes node needs root; run this as root, in a virtual machine for example".to_owned(),
        );
    }
    if !is_root_of_the_machine() {
        return Some(
            "a Kubernetes node needs the machine's root, and this one is of a user namespace".to_owned(),
        );
    }
    let mut attempt = Command::new("unshare");
    attempt.args(NAMESPACES).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    if !attempt.status().is_ok_and(|status| status.success()) {
        return Some("`unshare --net --mount --pid` is refused here, as it is in most containers".to_owned());
    }
    if !cgroups::are_writable() {
        return Some("no control group can be made below /sys/fs/cgroup".to_owned());
    }
    None
}

/// Outside of user namespaces every user is mapped to itself.
fn is_root_of_the_machine() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Runs this program with its arguments inside a machine, with further environment variables; how it ended.
pub fn run(environment: &[(&str, &OsStr)]) -> Result<ExitCode> {
    cgroups::remove_abandoned(PREFIX);
    let name = format!("{PREFIX}{}", std::process::id());
    // A shell as the first process reaps orphans. Its end, and so everybody's, is tied to this process.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "unshare"])
        .args(NAMESPACES)
        .args(["--", "sh", "-c", r#""$@"; exit $?"#, "sh"])
        .args(env::args_os())
        .env(VARIABLE, &name)
        .envs(environment.iter().copied())
        .status();
    cgroups::remove(&name);
    let status = status.context("cannot make a machine: install util-linux")?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
