//! The real W&B client, against which the double of the server is itself checked.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::process::{ChildProcess, LogCapture};
use crate::run_directory::RunDirectory;
use crate::tools::{self, WandbClientInstallation};

/// Long enough for its retries, on a machine that builds at the same time.
const DEADLINE: Duration = Duration::from_mins(3);

/// The `wandb` package for Python.
#[derive(Debug, Clone)]
pub struct WandbClient {
    installation: WandbClientInstallation,
}

/// What the client can be made to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WandbAction {
    /// `wandb.login(verify=True)`: gives `loggedIn`.
    Login,
    /// `wandb.Api().viewer`: gives its `username`, `entity`, `email`, `admin`, `teams` and `apiKeys`.
    Viewer,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok(Value),
    Error(String),
}

impl WandbClient {
    /// The client, installed first where this machine has none.
    pub fn install() -> Result<Self> {
        Ok(Self { installation: tools::wandb_client()? })
    }

    /// Runs an action; an error of the client itself is in its own words.
    ///
    /// The client sees these environment variables and no other of the test's, so which server it
    /// asks, as whom, and with which certificates is all theirs to say. Its home is a new one.
    pub fn run(
        &self,
        environment: &[(&str, &str)],
        action: WandbAction,
    ) -> Result<std::result::Result<Value, String>> {
        let directory = RunDirectory::create("wandb")?;
        let answer = directory.path().join("answer.json");
        let mut command = Command::new("env");
        // Not the changes of this command's environment, which would be made to the test's own.
        command.arg("--ignore-environment").args([
            "PATH=/usr/bin:/bin",
            "LANG=C.UTF-8",
            "WANDB_SILENT=true",
            "WANDB_ERROR_REPORTING=false",
        ]);
        for variable in ["HOME", "TMPDIR", "WANDB_DIR"] {
            command.arg(format!("{variable}={}", directory.path().display()));
        }
        command
            .args(environment.iter().map(|(name, value)| format!("{name}={value}")))
            .arg(&self.installation.python)
            .arg(&self.installation.script)
            .arg(action.name())
            .arg(&answer)
            .current_dir(directory.path());

        let log = LogCapture::open(&directory.path().join("client.log"))?;
        let mut process = ChildProcess::spawn("the W&B client", &command, log.path())?;
        let status = process.wait(DEADLINE)?;
        if !status.success() {
            bail!("the W&B client ended with {status}; {}", log.tail());
        }
        let answer = std::fs::read_to_string(answer).context("the W&B client left no answer")?;
        Ok(match serde_json::from_str(&answer)? {
            Outcome::Ok(value) => Ok(value),
            Outcome::Error(text) => Err(text),
        })
    }
}

impl WandbAction {
    fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Viewer => "viewer",
        }
    }
}
