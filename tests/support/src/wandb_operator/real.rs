//! W&B's own operator in place of its stand-in, where an environment variable names its program.
//!
//! A chart archive, or a directory of definitions, may be named beside it. Without the program the stand-in is used; which of both runs is said on
//! standard error, so that nobody takes one for the other.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{ChildProcess, Workspace};

/// A program to run in place of a stand-in.
#[derive(Debug)]
pub(super) struct RealOperator {
    pub(super) program: PathBuf,
    /// The chart archive or, for the second generation, the directory of its definitions.
    pub(super) archive: Option<PathBuf>,
}

/// A running one, killed when dropped.
#[derive(Debug)]
pub(super) struct RunningOperator {
    _process: ChildProcess,
    _directory: tempfile::TempDir,
}

impl RealOperator {
    /// The program and the archive that these variables name; nothing where the stand-in is to be used.
    pub(super) fn named_by(program: &str, archive: &str) -> Result<Option<Self>> {
        let path = |variable: &str| env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let Some(found) = path(program) else {
            eprintln!("{program} names no program: the stand-in of the W&B operator is used");
            return Ok(None);
        };
        ensure!(found.is_file(), "{program} names no file: {}", found.display());
        let archive_path = path(archive);
        if let Some(archive_path) = &archive_path {
            ensure!(archive_path.exists(), "{archive} names nothing: {}", archive_path.display());
        }
        eprintln!("{program}: the W&B operator {} is used", found.display());
        Ok(Some(Self { program: found, archive: archive_path }))
    }

    /// Starts it on the workspace's namespace with a person's rights, its output going to a file of its own.
    pub(super) fn start(
        &self,
        workspace: &Workspace,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<RunningOperator> {
        self.start_with_files(workspace, arguments, environment, &[])
    }

    /// The same with these files below the directory in which it runs.
    pub(super) fn start_with_files(
        &self,
        workspace: &Workspace,
        arguments: &[&str],
        environment: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<RunningOperator> {
        let directory = tempfile::tempdir()?;
        for (name, content) in files {
            let path = directory.path().join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, content)?;
        }
        let kubeconfig = directory.path().join("kubeconfig");
        fs::write(&kubeconfig, serde_yaml::to_string(&workspace.person_kubeconfig()?)?)?;
        let home = directory.path().join("home");
        fs::create_dir(&home)?;
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(directory.path())
            .env("KUBECONFIG", &kubeconfig)
            .env("HOME", &home)
            .envs(environment.iter().copied());
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, &home);
        }
        let process = ChildProcess::spawn("W&B's operator", &command, &directory.path().join("log"))
            .context("W&B's operator does not start")?;
        Ok(RunningOperator { _process: process, _directory: directory })
    }
}
