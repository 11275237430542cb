//! What the kernel says of a process.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use crate::report::mebibytes;

/// The unit of times in `/proc`, which Linux fixes for programs (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// A process that runs.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

/// What a process holds in memory.
pub struct Resident {
    /// All of it.
    pub total: u64,
    /// The same for people, and how much of that only this process uses: the rest is its program file.
    pub words: String,
}

impl Process {
    /// The time that all of its threads were on a CPU so far.
    pub fn cpu(self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.0);
        let text = fs::read_to_string(&path).with_context(|| format!("{path}: this needs Linux"))?;
        // The program's name is in parentheses, and may hold any character.
        let (_, fields) = text.rsplit_once(')').context("the kernel's words are not as expected")?;
        let mut times = fields.split_whitespace().skip(11);
        let mut ticks =
            || times.next().and_then(|field| field.parse::<u64>().ok()).context("a time is missing");
        Ok(Duration::from_millis((ticks()? + ticks()?) * 1000 / TICKS_PER_SECOND))
    }

    /// What it holds in memory now.
    pub fn resident(self) -> Result<Resident> {
        let path = format!("/proc/{}/status", self.0);
        let status = fs::read_to_string(&path).with_context(|| format!("{path}: this needs Linux"))?;
        let size = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes =
                line.and_then(|line| line.split_whitespace().next()).context("a size is missing")?;
            Ok(kibibytes.parse::<u64>()? * 1024)
        };
        let total = size("VmRSS")?;
        let words = format!(
            "{} ({} without the program file; peak {})",
            mebibytes(total),
            mebibytes(size("RssAnon")?),
            mebibytes(size("VmHWM")?)
        );
        Ok(Resident { total, words })
    }
}
