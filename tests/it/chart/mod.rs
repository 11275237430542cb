//! The chart, as Helm, Prometheus and the API server see it.
//!
//! The values that it is rendered with stand in `tests/cases/chart/`, and each on its own in `matrix.rs`.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod admission;
mod cluster_wide;
mod injection;
mod manifest;
mod matrix;
mod metadata;
mod monitoring;
mod names;
mod network;
mod notes;
mod refusals;
mod releases;
mod rendering;
mod rights;
mod values;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use test_support::{Helm, helm::chart};

/// Values under a name.
struct Case {
    name: String,
    values: Value,
}

/// What helm printed; nothing until it has been asked.
type Rendering = Arc<Mutex<Option<String>>>;

/// All values that the chart is rendered with.
fn cases() -> Result<Vec<Case>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/chart");
    let mut cases = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
        let values = serde_yaml::from_str(&fs::read_to_string(&path)?).with_context(|| name.clone())?;
        cases.push(Case { name, values });
    }
    cases.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(cases)
}

/// Those, and every value on its own.
fn every_case() -> Result<Vec<Case>> {
    Ok([cases()?, matrix::cases()?].into_iter().flatten().collect())
}

impl Case {
    /// The rendered chart without the definitions, which are the same everywhere.
    fn rendered(&self, helm: &Helm) -> Result<String> {
        // By the chart and the text of the values. Many tests look at the same cases, and each rendering is a process
        // of its own, so it is kept for the next test. An error is not kept.
        static RENDERED: Mutex<BTreeMap<(String, String), Rendering>> = Mutex::new(BTreeMap::new());
        let values = self.values_without_definitions();
        let key = (helm.chart()?.to_owned(), values.to_string());
        let mut all = RENDERED.lock().unwrap_or_else(PoisonError::into_inner);
        let rendering = Arc::clone(all.entry(key).or_default());
        // From here on only those tests wait that want the same rendering.
        drop(all);
        let mut kept = rendering.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = kept.as_ref() {
            return Ok(text.clone());
        }
        let text = helm.template(&values).with_context(|| self.name.clone())?;
        *kept = Some(text.clone());
        Ok(text)
    }

    fn values_without_definitions(&self) -> Value {
        let mut values = self.values.clone();
        // Without them nothing is kept either, and both false are refused.
        values["crds"] = json!({"enabled": false});
        values
    }
}

/// The text of a file of the chart.
fn file(path: &str) -> Result<String> {
    fs::read_to_string(chart().join(path)).with_context(|| path.to_owned())
}

/// The documents of a YAML stream.
fn documents(yaml: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(yaml).map(Value::deserialize);
    Ok(documents.filter(|document| !matches!(document, Ok(Value::Null))).collect::<Result<_, _>>()?)
}
