//! What a process writes, in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::wait_until;

const TAIL_LINES: usize = 30;

/// The standard output and standard error of a process, captured in a file.
#[derive(Debug, Clone)]
pub struct LogCapture {
    path: PathBuf,
}

impl LogCapture {
    /// The log in this file, which may have the output of an earlier start already.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }

    /// A handle to write with; every one appends, so that two processes do not overwrite each other.
    pub(super) fn writer(&self) -> std::io::Result<File> {
        File::options().append(true).open(&self.path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything written so far.
    pub fn read(&self) -> Result<String> {
        let bytes = fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether this text has been written.
    pub fn contains(&self, text: &str) -> Result<bool> {
        Ok(self.read()?.contains(text))
    }

    /// Waits until this text has been written.
    pub fn wait_for(&self, text: &str, deadline: Duration) -> Result<()> {
        wait_until(deadline, &format!("`{text}` in the log"), || self.contains(text))
            .with_context(|| self.tail())
    }

    /// The last lines, for an error message.
    pub fn tail(&self) -> String {
        match self.read() {
            Err(error) => format!("its log is unreadable: {error:#}"),
            Ok(text) if text.trim().is_empty() => "it wrote nothing".to_owned(),
            Ok(text) => {
                let lines: Vec<&str> = text.lines().collect();
                let skipped = lines.len().saturating_sub(TAIL_LINES);
                let last: Vec<&str> = lines.into_iter().skip(skipped).collect();
                format!("the end of its log:\n{}", last.join("\n"))
            }
        }
    }
}
