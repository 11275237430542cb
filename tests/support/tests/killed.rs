//! What a killed test process leaves behind: nothing that runs.
//!
//! The test starts itself once more as the victim, and kills that.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use test_support::{ChildProcess, process::PATIENCE, wait_until};

/// Set for the victim, to the directory that it writes its child's process id to.
const VICTIM: &str = "TEST_SUPPORT_VICTIM_DIRECTORY";

#[test]
fn children_of_a_killed_process_are_killed() -> Result<()> {
    if let Some(directory) = env::var_os(VICTIM) {
        return be_the_victim(Path::new(&directory));
    }
    let directory = tempfile::tempdir()?;
    let mut victim = Command::new(env::current_exe()?)
        .env(VICTIM, directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let id_file = directory.path().join("id");
    wait_until(PATIENCE, "child of the victim", || Ok(id_file.exists()))?;
    let child = fs::read_to_string(&id_file)?;
    let command_line = Path::new("/proc").join(child.trim()).join("cmdline");
    let is_running = || Ok(fs::read(&command_line).is_ok_and(|line| line.starts_with(b"sleep\0")));
    wait_until(PATIENCE, "running child", is_running)?;

    victim.kill().context("cannot kill the victim")?;
    victim.wait()?;
    wait_until(PATIENCE, "end of the child", || Ok(!is_running()?))
}

fn be_the_victim(directory: &Path) -> Result<()> {
    let mut command = Command::new("sleep");
    command.arg("600");
    let mut child = ChildProcess::spawn("sleep", &command, &directory.join("log"))?;
    let unfinished = directory.join("id.unfinished");
    fs::write(&unfinished, child.id().to_string())?;
    fs::rename(unfinished, directory.join("id"))?;
    child.wait(PATIENCE * 4).map(drop)
}
