//! A real program in the place of a container's image.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Result;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::ContainerInputs;

/// Where a container leaves its termination message by default.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Runs the program with the container's arguments, variables and files. Returns its exit code and its termination
/// message. The files are below a directory of their own, which the program is told as its root; beside it is the file
/// `hosts` with the pod's host aliases.
pub(super) fn execute(
    program: &Path,
    (pod, container): (&Pod, &Container),
    inputs: &ContainerInputs,
) -> Result<(i32, String)> {
    let directory = tempfile::tempdir()?;
    let root = directory.path().join("root");
    fs::create_dir(&root)?;
    for (path, contents) in &inputs.files {
        let file = root.join(path.trim_start_matches('/'));
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, contents)?;
    }
    let aliases = pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten());
    let aliases = aliases.map(|alias| {
        format!("{} {}\n", alias.ip, alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join(" "))
    });
    fs::write(directory.path().join("hosts"), aliases.collect::<String>())?;
    let message = directory.path().join("termination-log");
    let wanted = container.termination_message_path.as_deref().unwrap_or(TERMINATION_MESSAGE);
    let arguments =
        container.args.iter().flatten().map(|argument| {
            if argument == wanted { message.display().to_string() } else { argument.clone() }
        });
    let output = Command::new(program)
        .args(arguments)
        .arg("--root")
        .arg(&root)
        .current_dir(directory.path())
        .env_clear()
        .envs(&inputs.environment)
        .stdin(Stdio::null())
        .output()?;
    Ok((output.status.code().unwrap_or(137), fs::read_to_string(&message).unwrap_or_default()))
}
