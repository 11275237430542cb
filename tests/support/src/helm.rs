//! Helm with the chart of this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tools;

/// The release that documentation and tests install.
pub const RELEASE: &str = "wandb-auth-operator";

/// The namespace that charts are rendered for.
pub const NAMESPACE: &str = "wandb";

/// Runs `helm` with a chart and a configuration of its own, so that the person's plays no part.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    chart: PathBuf,
    home: tempfile::TempDir,
}

/// Where a release is installed.
#[derive(Clone, Copy, Debug)]
pub struct Installation<'a> {
    /// Who may do it, and on which cluster.
    pub kubeconfig: &'a Path,
    /// The release's namespace, which is made when it does not exist.
    pub namespace: &'a str,
}

impl Helm {
    /// With the chart as it is in the working tree.
    pub fn new() -> Result<Self> {
        Self::with_chart(chart())
    }

    /// With another chart: a directory or a package.
    pub fn with_chart(chart: PathBuf) -> Result<Self> {
        Ok(Self { program: tools::helm()?, chart, home: tempfile::tempdir()? })
    }

    /// What the release [`RELEASE`] in [`NAMESPACE`] comes to with these values; an error is in helm's words.
    pub fn template(&self, values: &Value) -> Result<String> {
        let values = self.values(values)?;
        self.run(&["template", RELEASE, self.chart()?, "--namespace", NAMESPACE, "--values", text(&values)?])
    }

    /// Installs or upgrades [`RELEASE`] with further arguments, such as `--wait` and `--timeout=1m`.
    pub fn upgrade_install(
        &self,
        installation: Installation<'_>,
        values: &Value,
        arguments: &[&str],
    ) -> Result<String> {
        let values = self.values(values)?;
        let command = ["upgrade", "--install", RELEASE, self.chart()?, "--create-namespace", "--values"];
        self.run(&[&command[..], &[text(&values)?], &installation.arguments()?, arguments].concat())
    }

    /// Uninstalls [`RELEASE`], with further arguments.
    pub fn uninstall(&self, installation: Installation<'_>, arguments: &[&str]) -> Result<String> {
        self.run(&[&["uninstall", RELEASE][..], &installation.arguments()?, arguments].concat())
    }

    /// Lints the chart with these values, strictly; an error is in helm's words.
    pub fn lint(&self, values: &Value) -> Result<()> {
        let values = self.values(values)?;
        self.run(&["lint", "--strict", self.chart()?, "--values", text(&values)?]).map(drop)
    }

    /// Runs any command of helm and returns what it printed; an error is in helm's words.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .env("HELM_CACHE_HOME", self.home.path())
            .env("HELM_CONFIG_HOME", self.home.path())
            .env("HELM_DATA_HOME", self.home.path())
            .env_remove("KUBECONFIG")
            .output()
            .context("helm does not start")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The chart's path, for [`Helm::run`].
    pub fn chart(&self) -> Result<&str> {
        text(&self.chart)
    }

    /// JSON is YAML, too.
    fn values(&self, values: &Value) -> Result<PathBuf> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile_in(self.home.path())?;
        std::fs::write(file.path(), values.to_string())?;
        let (_, path) = file.keep()?;
        Ok(path)
    }
}

impl<'a> Installation<'a> {
    fn arguments(&self) -> Result<[&'a str; 4]> {
        Ok(["--kubeconfig", text(self.kubeconfig)?, "--namespace", self.namespace])
    }
}

/// The directory of the chart.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/wandb-auth-operator")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not Unicode")
}
