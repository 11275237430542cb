//! Child processes that never outlive the test process, even when that one is killed.

mod kill_switch;
mod log;
mod spawner;

pub use kill_switch::KillSwitch;
pub use log::LogCapture;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that is expected to happen. It decides only how soon a test fails, so that it outlasts
/// a machine that builds at the same time.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Short against everything that is waited for, long against the cost of looking.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A running program, killed on drop and by the kernel when this process ends in any way.
#[derive(Debug)]
pub struct ChildProcess {
    name: String,
    child: Child,
    log: LogCapture,
}

impl ChildProcess {
    /// Starts a command with its output appended to the file `log`.
    ///
    /// Of the command, the program, arguments, environment changes and working directory count.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let log = LogCapture::open(log)?;
        let child = spawner::spawn(command, &log).with_context(|| {
            format!("cannot start {name}: install util-linux, whose setpriv makes it end with this process")
        })?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What it has written to standard output and standard error.
    pub fn log(&self) -> &LogCapture {
        &self.log
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot see whether {} runs", self.name))
    }

    /// Waits until `ready` is true; an end of the process or the deadline is an error with its log.
    pub fn wait_until_ready(&mut self, deadline: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.exit_status()? {
                bail!("{} ended with {status} before it was ready; {}", self.name, self.log.tail());
            }
            ensure!(
                started.elapsed() < deadline,
                "{} is not ready after {deadline:?}; {}",
                self.name,
                self.log.tail()
            );
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Sends SIGTERM, as Kubernetes does to a container.
    pub fn send_terminate(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::TERM)
            .with_context(|| format!("cannot send SIGTERM to {}", self.name))
    }

    /// Sends SIGINT, as a terminal does on Ctrl-C.
    pub fn send_interrupt(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::INT).with_context(|| format!("cannot send SIGINT to {}", self.name))
    }

    /// What kills it from a hook, which cannot have the process itself.
    pub fn kill_switch(&self) -> Result<KillSwitch> {
        KillSwitch::new(self.pid()?)
    }

    fn pid(&self) -> Result<Pid> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        id.with_context(|| format!("{} has no usable process id", self.name))
    }

    /// Waits for its end.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let mut status = None;
        wait_until(deadline, &format!("end of {}", self.name), || {
            status = self.exit_status()?;
            Ok(status.is_some())
        })
        .with_context(|| self.log.tail())?;
        status.with_context(|| format!("{} has not ended", self.name))
    }

    /// Sends SIGTERM and waits for its end.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.send_terminate()?;
        self.wait(deadline)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell about anything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` is true, looking every few milliseconds; the error names what was awaited.
pub fn wait_until(
    deadline: Duration,
    awaited: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let started = Instant::now();
    while !condition()? {
        ensure!(started.elapsed() < deadline, "no {awaited} after {deadline:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Runs a command to its end and returns what it wrote; any other end than success is an error.
pub(crate) fn run_to_completion(name: &str, command: &Command, log: &Path) -> Result<String> {
    if log.exists() {
        fs::remove_file(log)?;
    }
    let mut process = ChildProcess::spawn(name, command, log)?;
    let status = process.child.wait()?;
    ensure!(status.success(), "`{name}` ended with {status}; {}", process.log.tail());
    process.log.read()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, directory: &Path) -> Result<ChildProcess> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        ChildProcess::spawn("a shell", &command, &directory.join("log"))
    }

    #[test]
    fn a_failed_start_shows_the_log() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let mut process = shell("echo the port is taken >&2; exit 3", directory.path())?;
        let error = process.wait_until_ready(PATIENCE, || false);
        let message = format!("{:?}", error.err());
        assert!(message.contains("exit status: 3"), "{message}");
        assert!(message.contains("the port is taken"), "{message}");
        Ok(())
    }

    #[test]
    fn children_outlive_the_thread_that_asked_for_them() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().to_owned();
        let asking = std::thread::spawn(move || shell("echo started; exec sleep 600", &path));
        let mut process = asking.join().ok().context("the thread panicked")??;
        process.log().wait_for("started", PATIENCE)?;
        assert!(process.exit_status()?.is_none());
        let status = process.terminate(PATIENCE)?;
        assert!(!status.success());
        Ok(())
    }

    #[test]
    fn a_kill_switch_waits_for_the_end_and_outlives_the_process() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let mut process = shell("exec sleep 600", directory.path())?;
        let switch = process.kill_switch()?;
        assert!(process.exit_status()?.is_none());
        switch.kill();
        assert!(process.exit_status()?.is_some());
        switch.kill();
        Ok(())
    }

    #[test]
    fn a_deadline_names_what_was_awaited() {
        let error = wait_until(Duration::ZERO, "answer", || Ok(false));
        assert!(format!("{error:?}").contains("no answer after"));
    }
}
