//! The end of a process, in the hands of somebody else than its owner.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Kills one process, and never one that got its id later; for the hooks of servers.
#[derive(Debug, Clone)]
pub struct KillSwitch {
    process: Arc<OwnedFd>,
}

impl KillSwitch {
    pub(super) fn new(id: Pid) -> Result<Self> {
        let process = pidfd_open(id, PidfdFlags::empty()).context("cannot get hold of a process")?;
        Ok(Self { process: Arc::new(process) })
    }

    /// Stops the process as it is, until [`Self::resume`]: it does nothing, and its connections stay.
    pub fn pause(&self) {
        let _ = pidfd_send_signal(&self.process, Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        let _ = pidfd_send_signal(&self.process, Signal::CONT);
    }

    /// Kills the process and returns when it has ended, which it may have before.
    pub fn kill(&self) {
        // An error is that it has ended.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        // A signal to this process may interrupt the waiting.
        while poll(&mut ended, None) == Err(Errno::INTR) {}
    }
}
