//! The small chart of these tests, rendered by Helm itself: what Go's templates make of values is not retold here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::Helm;

/// A release of the chart.
#[derive(Debug)]
pub struct WandbChart {
    helm: Helm,
    _package: tempfile::TempDir,
}

impl WandbChart {
    /// Packs the chart as this release of `operator-wandb`.
    pub fn release(version: &str) -> Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("wandb-chart");
        let package = tempfile::tempdir()?;
        let directory = package.path().to_str().context("a path is not Unicode")?;
        let packer = Helm::with_chart(source)?;
        packer.run(&["package", packer.chart()?, "--version", version, "--destination", directory])?;
        let archive: PathBuf = package.path().join(format!("operator-wandb-{version}.tgz"));
        Ok(Self { helm: Helm::with_chart(archive)?, _package: package })
    }

    /// The objects of a resource of this name; an error is in Helm's words.
    pub fn render(&self, name: &str, namespace: &str, values: &Value) -> Result<Vec<Value>> {
        let file = tempfile::Builder::new().suffix(".json").tempfile()?;
        std::fs::write(file.path(), values.to_string())?;
        let values = file.path().to_str().context("a path is not Unicode")?;
        let arguments = ["template", name, self.helm.chart()?, "--namespace", namespace, "--values", values];
        let rendered = self.helm.run(&arguments)?;
        let documents = serde_yaml::Deserializer::from_str(&rendered).map(Value::deserialize);
        let documents: Vec<Value> = documents.collect::<Result<_, _>>()?;
        Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
    }
}
