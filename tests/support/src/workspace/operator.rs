//! The operator as a process.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use kube::config::Kubeconfig;

use crate::{
    ChildProcess, LogCapture,
    http_client::HttpClient,
    process::{KillSwitch, PATIENCE},
};

/// An operator process, killed when dropped.
pub struct Operator {
    process: ChildProcess,
    _directory: tempfile::TempDir,
}

impl Operator {
    /// Starts it and waits until it is ready.
    pub(super) fn start(
        program: &Path,
        kubeconfig: &Kubeconfig,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let own_kubeconfig = directory.path().join("kubeconfig");
        fs::write(&own_kubeconfig, serde_yaml::to_string(kubeconfig)?)?;
        let mut command = Command::new(program);
        command
            .args(["run", "--metrics-address", "127.0.0.1:0", "--log-format", "json"])
            .args(arguments)
            .env("KUBECONFIG", own_kubeconfig)
            .env("POD_NAME", "operator")
            .envs(environment.iter().copied());
        let process = ChildProcess::spawn("wandb-auth-operator", &command, &directory.path().join("log"))?;
        let operator = Self { process, _directory: directory };
        operator.log().wait_for("serving /metrics", PATIENCE)?;
        Ok(operator)
    }

    /// Everything it wrote.
    pub fn log(&self) -> &LogCapture {
        self.process.log()
    }

    /// The process itself, to stop or kill it.
    pub fn process(&mut self) -> &mut ChildProcess {
        &mut self.process
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What kills it from a hook of a server.
    pub fn kill_switch(&self) -> Result<KillSwitch> {
        self.process.kill_switch()
    }

    /// What an HTTP path of its own server answers.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let log = self.log().read()?;
        let serving = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|line| line["address"].as_str().map(str::to_owned))
            .context("the operator did not say where it serves")?;
        let client = HttpClient { address: serving.parse()?, tls: None };
        let answer = client.send(&format!("GET {path}"), "", "")?;
        Ok((answer.status, answer.body))
    }

    /// Waits until it says that it is ready.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.log().wait_for("\"message\":\"ready: ", PATIENCE)
    }
}

/// The kubeconfig with that namespace in its contexts, as a pod's service account has its own.
pub(super) fn in_namespace(kubeconfig: &Path, namespace: &str) -> Result<Kubeconfig> {
    let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    for context in kubeconfig.contexts.iter_mut().filter_map(|named| named.context.as_mut()) {
        context.namespace = Some(namespace.to_owned());
    }
    Ok(kubeconfig)
}

/// The kubeconfig of whom the token is for.
pub(super) fn with_token(mut kubeconfig: Kubeconfig, token: &str) -> Kubeconfig {
    for user in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        user.token = Some(token.to_owned().into());
    }
    kubeconfig
}

/// The kubeconfig with another server, and so without the authority of its own.
pub(super) fn with_server(mut kubeconfig: Kubeconfig, url: &str) -> Kubeconfig {
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.server = Some(url.to_owned());
        cluster.certificate_authority = None;
    }
    kubeconfig
}
