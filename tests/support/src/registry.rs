//! A registry of images and charts, as `crane registry serve` has it.

use std::env;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::process::{ChildProcess, PATIENCE};
use crate::run_directory::RunDirectory;
use crate::{free_port, tools};

/// A running registry without TLS on 127.0.0.1, ended on drop. It keeps everything in memory.
#[derive(Debug)]
pub struct OciRegistry {
    _process: ChildProcess,
    crane: PathBuf,
    port: u16,
    directory: RunDirectory,
}

impl OciRegistry {
    /// One with nothing in it.
    pub fn start() -> Result<Self> {
        let directory = RunDirectory::create("registry")?;
        let (crane, port) = (tools::crane()?, free_port()?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(&crane);
        command.args(["registry", "serve", "--address", &address.to_string()]);
        let mut process = ChildProcess::spawn("the registry", &command, &directory.path().join("log"))?;
        process.wait_until_ready(PATIENCE, || TcpStream::connect(address).is_ok())?;
        Ok(Self { _process: process, crane, port, directory })
    }

    /// Its host and port, as references to images begin.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs crane with these arguments and returns what it prints.
    pub fn crane(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(&self.crane)?.args(arguments).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs the project's script that publishes below this name of the registry, with further variables.
    pub fn publish(&self, name: &str, archives: &[&Path], variables: &[(&str, &str)]) -> Result<Output> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/publish");
        let mut command = self.command(&script)?;
        command.args(archives).envs(variables.iter().copied());
        command.env("REGISTRY", format!("{}/{name}", self.host())).env("PLAIN_HTTP", "yes");
        command.output().context("the script that publishes does not start")
    }

    /// A command that finds the pinned tools, and nothing that the person has set up.
    fn command(&self, program: &Path) -> Result<Command> {
        let helm = tools::helm()?;
        let own = [&self.crane, &helm].map(|tool| tool.parent().unwrap_or(tool).to_owned());
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(own.into_iter().chain(env::split_paths(&path)))?;
        let mut command = Command::new(program);
        command.env("PATH", path).env("HOME", self.directory.path());
        for variable in ["SIGNING_KEY", "DOCUMENTATION_URL", "PLATFORMS", "DOCKER_CONFIG"] {
            command.env_remove(variable);
        }
        Ok(command)
    }
}

/// Writes an image for a platform as `cargo image` does, with one file of this content; returns its digest.
pub fn small_image(archive: &Path, architecture: &str, content: &str) -> Result<String> {
    let mut blobs = Vec::new();
    let mut add = |media_type: &str, content: Vec<u8>| {
        let name = sha256(&content);
        let descriptor =
            json!({"mediaType": media_type, "digest": format!("sha256:{name}"), "size": content.len()});
        blobs.push((format!("blobs/sha256/{name}"), content));
        descriptor
    };
    let layer = tar(&[("content".to_owned(), content.as_bytes().to_vec())])?;
    let configuration = json!({
        "architecture": architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]},
    });
    let layer = add("application/vnd.oci.image.layer.v1.tar", layer);
    let configuration = add("application/vnd.oci.image.config.v1+json", configuration.to_string().into());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type, "config": configuration, "layers": [layer]});
    let mut descriptor = add(media_type, manifest.to_string().into());
    let digest = descriptor.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(members) = descriptor.as_object_mut() {
        members.insert("platform".to_owned(), json!({"architecture": architecture, "os": "linux"}));
    }
    let index: Value = json!({"schemaVersion": 2, "manifests": [descriptor]});
    blobs.push(("index.json".to_owned(), index.to_string().into()));
    blobs.push(("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into()));
    std::fs::write(archive, tar(&blobs)?)?;
    Ok(digest)
}

fn tar(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(content.len())?);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
