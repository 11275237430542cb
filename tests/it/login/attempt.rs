//! The program while it waits for a browser.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    command_line::call::Directory,
    world::{PATIENCE, program},
};

/// A running `login -o json`.
pub struct Attempt {
    child: Child,
    keyboard: Option<ChildStdin>,
    errors: Receiver<String>,
    shown: String,
    _files: Directory,
}

/// How it ended.
pub struct Outcome {
    /// The exit code.
    pub code: i32,
    /// What was printed for programs.
    pub report: Value,
    /// Everything that was printed.
    pub printed: String,
}

impl Attempt {
    /// Starts it on the files `main.yaml` and `references.yaml`.
    pub fn begin(files: Directory, more: &str) -> Result<Self> {
        let mut child = Command::new(program())
            .args("login -f main.yaml -f references.yaml -o json".split(' ').chain(more.split_whitespace()))
            .current_dir(files.path())
            .env_clear()
            .env("HOME", files.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let keyboard = child.stdin.take();
        let (sender, errors) = channel();
        let lines = BufReader::new(child.stderr.take().context("standard error is piped")?).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, keyboard, errors, shown: String::new(), _files: files })
    }

    /// The address that the person is asked to open.
    pub fn address(&mut self) -> Result<String> {
        loop {
            let line =
                self.errors.recv_timeout(PATIENCE).with_context(|| format!("no address: {}", self.shown))?;
            self.shown = format!("{}{line}\n", self.shown);
            if let Some(address) = line.trim().strip_prefix("http") {
                return Ok(format!("http{address}"));
            }
        }
    }

    /// Pastes the address at which the browser ended.
    pub fn paste(&mut self, address: &str) -> Result<()> {
        let mut keyboard = self.keyboard.take().context("one address is pasted")?;
        Ok(keyboard.write_all(format!("{address}\n").as_bytes())?)
    }

    /// Waits until it has ended.
    pub fn end(mut self) -> Result<Outcome> {
        drop(self.keyboard.take());
        let mut output = String::new();
        self.child.stdout.take().context("standard output is piped")?.read_to_string(&mut output)?;
        let code = self.child.wait()?.code().context("the program was killed")?;
        let errors: Vec<_> = self.errors.iter().collect();
        let printed = format!("{}{}\n{output}", self.shown, errors.join("\n"));
        anyhow::ensure!(!printed.contains("panicked"), "{printed}");
        let report = serde_json::from_str(&output).with_context(|| printed.clone())?;
        Ok(Outcome { code, report, printed })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // It has ended, unless a test failed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
