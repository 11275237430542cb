//! Calls the program as a person does.

use std::{
    fmt, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

use anyhow::{Context, Result};
use regex::Regex;
use tempfile::TempDir;

use crate::world::{CLIENT_SECRET, PASSWORD, program};

/// A directory with manifests, in which the program is called.
pub struct Directory {
    directory: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Directory {
    /// A directory with these files.
    pub fn with(files: &[(&str, &str)]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        for (name, text) in files {
            let file = directory.path().join(name);
            fs::create_dir_all(file.parent().context("a file has a directory")?)?;
            fs::write(file, text)?;
        }
        Ok(Self { directory, variables: Vec::new() })
    }

    /// Sets an environment variable for the calls; there are none otherwise.
    pub fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Calls the program with these words.
    pub fn call(&self, words: &str) -> Result<Printed> {
        self.call_with_input(words, "")
    }

    /// Calls the program with these words and standard input.
    pub fn call_with_input(&self, words: &str, input: &str) -> Result<Printed> {
        let mut child = Command::new(program())
            .args(words.split_whitespace())
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // A program that ends without reading is no failure of the caller's.
        let _ = child.stdin.take().context("standard input is piped")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        let printed = Printed {
            words: words.to_owned(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
            code: output.status.code().context("the program was killed")?,
            directory: self.path().display().to_string(),
        };
        assert!(!printed.stderr.contains("panicked"), "{printed}");
        Ok(printed)
    }
}

/// What one call printed, and how it ended.
pub struct Printed {
    words: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code.
    pub code: i32,
    directory: String,
}

impl Printed {
    /// Standard output, read as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout).with_context(|| self.to_string())
    }

    /// Fails if any of the tests' secrets was printed.
    pub fn assert_no_secret(&self) {
        for secret in [PASSWORD, CLIENT_SECRET, PLANTED] {
            assert!(!self.stdout.contains(secret) && !self.stderr.contains(secret), "{self}");
        }
    }
}

/// A wrong password that must not be printed.
pub const PLANTED: &str = "planted-password-5c1e";

/// What differs from run to run, and what stands for it in snapshots.
static REDACTIONS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let redactions = [
        (r"127\.0\.0\.1:[0-9]{2,5}", "127.0.0.1:<port>"),
        (r"Port [0-9]+", "Port <port>"),
        (r" +\([0-9]+\.[0-9] ms\)", "  (<time>)"),
        (r#""durationsMilliseconds": \[[^\]]*\]"#, r#""durationsMilliseconds": [<times>]"#),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "<date>"),
        (r"(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", "<certificate>"),
    ];
    redactions
        .into_iter()
        .filter_map(|(pattern, stand_in)| Some((Regex::new(pattern).ok()?, stand_in)))
        .collect()
});

/// A terminal's contents, with a stand-in for everything that differs from run to run.
impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { words, stdout, stderr, code, directory } = self;
        let errors = if stderr.is_empty() { String::new() } else { format!("--- standard error\n{stderr}") };
        let text = format!("$ wandb-auth-operator {words}\n{stdout}{errors}--- exit code {code}");
        let mut text = text.replace(directory, "<directory>");
        for (pattern, stand_in) in REDACTIONS.iter() {
            // A check that took no measurable time shows none.
            text = pattern.replace_all(&text, *stand_in).into_owned();
        }
        f.write_str(&text.replace("  (<time>)", ""))
    }
}
