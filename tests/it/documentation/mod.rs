//! The documentation tells the truth: its manifests are accepted, its messages are printed, its links lead somewhere,
//! and what can be generated is generated.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod commands;
mod examples;
mod links;
mod manifests;
mod messages;
mod names;
mod plain_words;
mod readme;
mod reference;
mod service_accounts;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A page that people read.
pub struct Page {
    /// Its path in the repository.
    path: PathBuf,
    text: String,
}

impl Page {
    pub fn read(path: &str) -> Result<Self> {
        let path = PathBuf::from(path);
        let text = fs::read_to_string(Path::new(ROOT).join(&path))
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self { path, text })
    }

    /// The fenced blocks whose language and further words are these.
    pub fn blocks(&self, info: &str) -> impl Iterator<Item = String> {
        let blocks = blocks(&self.text).into_iter();
        blocks.filter(move |block| block.info == info).map(|block| block.text).collect::<Vec<_>>().into_iter()
    }

    /// Whether it is made by the tests themselves.
    fn is_generated(&self) -> bool {
        self.path.starts_with("docs/reference") && !self.path.ends_with("index.md")
    }
}

/// Every page: the README and the book.
fn pages() -> Result<Vec<Page>> {
    let mut paths = vec![PathBuf::from("README.md")];
    add_files(Path::new("docs"), "md", &mut paths)?;
    ensure!(paths.len() > 40, "the book has more pages than {paths:?}");
    paths.sort();
    paths.iter().map(|path| Page::read(&path.to_string_lossy())).collect()
}

/// Adds the files below a folder of the repository whose names end so.
fn add_files(folder: &Path, extension: &str, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(Path::new(ROOT).join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            add_files(&path, extension, paths)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    Ok(())
}

/// The files that people are told to change and apply.
fn samples() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    add_files(Path::new("deploy/samples"), "yaml", &mut files)?;
    Ok(files)
}

/// What stands between two fences.
struct Block {
    /// The words after the first fence: the language, and what a test does with the block.
    info: String,
    /// Without the indentation of the first fence, as in a list.
    text: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indentation = line.len() - line.trim_start().len();
        let inner = lines.by_ref().take_while(|line| line.trim() != "```");
        let text = inner.map(|line| line.get(indentation..).unwrap_or_default().to_owned() + "\n").collect();
        blocks.push(Block { info: info.to_owned(), text });
    }
    blocks
}

/// The documents of a YAML text.
fn documents(yaml: &str) -> Result<Vec<Value>> {
    serde_yaml::Deserializer::from_str(yaml).map(|document| Ok(Value::deserialize(document)?)).collect()
}

/// The documented resources of the operator, the first of each kind and name.
pub fn documented_resources() -> Result<Vec<Value>> {
    let mut resources: Vec<Value> = Vec::new();
    for manifest in pages()?.iter().flat_map(|page| page.blocks("yaml")) {
        for document in documents(&manifest)? {
            let name = |of: &Value| (of.get("kind").cloned(), of.pointer("/metadata/name").cloned());
            let is_ours =
                document.get("apiVersion").is_some_and(|version| version == "auth.wandb.com/v1alpha1");
            if is_ours && !resources.iter().any(|other| name(other) == name(&document)) {
                resources.push(document);
            }
        }
    }
    Ok(resources)
}

/// Where the documented pod of a federated account mounts the Secret that it also takes its variables from.
pub fn documented_mount() -> Result<String> {
    let page = Page::read("docs/guides/federated-accounts.md")?;
    let manifests = page.blocks("yaml").map(|manifest| serde_yaml::from_str::<Value>(&manifest));
    let pod = manifests
        .filter_map(Result::ok)
        .find(|manifest| manifest.get("kind").is_some_and(|kind| kind == "Pod"))
        .context("the page shows no pod")?;
    let at = |path: &str| pod.pointer(path).and_then(Value::as_str).with_context(|| path.to_owned());
    let (container, volume) = ("/spec/containers/0", "/spec/volumes/0");
    ensure!(
        at(&format!("{container}/envFrom/0/secretRef/name"))? == at(&format!("{volume}/secret/secretName"))?
    );
    ensure!(at(&format!("{container}/volumeMounts/0/name"))? == at(&format!("{volume}/name"))?);
    ensure!(
        pod.pointer(&format!("{container}/volumeMounts/0/subPath")).is_none(),
        "it would never be renewed"
    );
    Ok(at(&format!("{container}/volumeMounts/0/mountPath"))?.to_owned())
}
