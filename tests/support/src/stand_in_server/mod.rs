//! What a pod of W&B Server runs in tests: a process of its own that sends people to a directory.
//!
//! It is given exactly the variables of its container, finds the container's files below a directory that
//! stands for the root, and binds to the directory before it serves. Where that fails, it ends with code 1 as
//! the real server is assumed to do. With no variable of LDAP at all it serves and lets nobody in.

use std::{env, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    ChildProcess, LogCapture, http_client::HttpClient, pods::ContainerInputs, run_directory::RunDirectory,
    tools,
};

/// What the process writes before its address, when it serves.
pub const SERVING: &str = "serving on ";

/// A process that stands for W&B Server, killed when dropped.
#[derive(Debug)]
pub struct StandInServer {
    process: ChildProcess,
    _directory: RunDirectory,
}

impl StandInServer {
    /// Starts it, and does not wait.
    pub fn start(inputs: &ContainerInputs) -> Result<Self> {
        let program = tools::stand_in_server()?;
        let directory = RunDirectory::create("stand-in-server")?;
        let root = directory.path().join("root");
        fs::create_dir(&root)?;
        for (path, contents) in &inputs.files {
            write_below(&root, path, contents)?;
        }
        let mut command = Command::new(program);
        for (name, _) in env::vars_os() {
            command.env_remove(name);
        }
        command.arg(root).envs(&inputs.environment);
        let process = ChildProcess::spawn("the stand-in server", &command, &directory.path().join("log"))?;
        Ok(Self { process, _directory: directory })
    }

    /// Waits until it serves; its end is an error with its last words.
    pub fn wait_until_serving(&mut self, deadline: Duration) -> Result<SocketAddr> {
        let log = self.log().clone();
        self.process.wait_until_ready(deadline, || log.contains(SERVING).unwrap_or_default())?;
        self.address().context("it serves nowhere")
    }

    /// Where it serves, once it does.
    pub fn address(&self) -> Option<SocketAddr> {
        let log = self.log().read().ok()?;
        // The last line may be unfinished.
        let mut lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.find_map(|line| line.strip_prefix(SERVING)?.parse().ok())
    }

    /// The exit code, once it has ended.
    pub fn exit_code(&mut self) -> Result<Option<i32>> {
        let status = self.process.exit_status()?;
        Ok(status.map(|status| status.code().unwrap_or(137)))
    }

    /// Everything it wrote.
    pub fn log(&self) -> &LogCapture {
        self.process.log()
    }
}

/// Logs a person in at a stand-in server, and returns the HTTP status: 200, 401 for wrong credentials, or 403
/// for somebody who is not allowed to.
pub fn log_in(address: SocketAddr, email: &str, password: &str) -> Result<u16> {
    let body = json!({"email": email, "password": password}).to_string();
    let client = HttpClient { address, tls: None };
    Ok(client.send("POST /login", "Content-Type: application/json\r\n", &body)?.status)
}

fn write_below(root: &Path, path: &str, contents: &[u8]) -> Result<()> {
    let file = root.join(path.trim_start_matches('/'));
    let parent = file.parent().with_context(|| format!("{path} is no file"))?;
    fs::create_dir_all(parent)?;
    fs::write(&file, contents).with_context(|| format!("cannot write {}", file.display()))
}
